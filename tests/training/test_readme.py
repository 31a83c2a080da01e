"""README's blocks of Python, and its commands about a run that is there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FREE_GAME
from tests.training.trainer import ROOT, Finished

TEXT = (ROOT / "README.md").read_text()


@pytest.fixture
def folder(finished: Finished, tmp_path: Path) -> Path:
    """A folder with ``logs/``, as a run has left it."""
    shutil.copytree(finished.path.parents[1], tmp_path / "logs")
    return tmp_path


def run(*words: str | Path, cwd: Path) -> str:
    variables = {"PYTHONPATH": str(ROOT), "SB3_MARIO_ROM": str(FREE_GAME), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def command(start: str) -> list[str]:
    """Words of the one command of README that starts so, without ``python``."""
    (line,) = re.findall(rf"^python ({re.escape(start)}.*)$", TEXT, re.MULTILINE)
    return shlex.split(line, comments=True)


def test_the_blocks_of_python_run_in_order(folder: Path) -> None:
    watch, load, whole = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert "model.learn(100_000)" in whole
    script = folder / "readme.py"
    script.write_text(
        "\n".join(
            [
                # No window opens before the first reset, and no episode is played in it here.
                watch,
                "observation = env.observation_space.sample()",
                load,
                "assert action in env.action_space",
                "env.close()",
                whole.replace("100_000", "150"),
                "assert model.num_timesteps >= 150",
                "env.close()",
            ]
        )
    )
    run(script, cwd=folder)


def test_a_run_is_plotted(folder: Path) -> None:
    words = command("-m sb3_mario.plot ")
    paths = [path.relative_to(folder) for path in folder.glob(words.pop())]
    assert paths
    run(*words, *paths, cwd=folder)
    assert list(folder.rglob("*.png"))


def test_an_agent_is_judged(folder: Path) -> None:
    script, *words = command("enjoy.py --load-best --evaluate")
    run(ROOT / script, *words, "--episodes", "2", cwd=folder)
    assert json.loads((folder / "evaluation.json").read_text())
