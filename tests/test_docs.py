"""What the documentation says, works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("pretrained/*.md")), ROOT / "README.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.real_rom
def test_the_tutorials_blocks_run_in_order(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text())
    assert len(blocks) >= 7
    script = tmp_path / "tutorial.py"
    script.write_text("import torch\ntorch.set_num_threads(1)\n" + "\n".join(blocks))
    result = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "episodes after 1 to 30 frames" in result.stdout


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_block_of_python_is_python(path: Path) -> None:
    for block in BLOCK.findall(path.read_text()):
        compile(block, path.name, "exec")


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_files_and_links_that_are_named_are_there(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target
    for name in re.findall(
        r"`((?:sb3_mario|benchmarks|hyperparams|tests|lua_bridge)/[\w/.-]+)`", text
    ):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_flags_that_are_named_are_known(path: Path) -> None:
    commands = re.findall(r"python (train|enjoy)\.py((?:\\\n|[^`\n#])*)", path.read_text())
    option = r"(?<![\w-])--?[a-zA-Z][\w-]*"
    known = {
        name: set(re.findall(option, subprocess.run(
            [sys.executable, f"{name}.py", "--help"], cwd=ROOT, capture_output=True, text=True,
            check=True,
        ).stdout))
        for name in {name for name, _ in commands}
    }  # fmt: skip
    for name, words in commands:
        for flag in re.findall(r"(?<!\S)--?[a-z][\w-]*", words):
            assert flag in known[name], f"{name}.py {flag}"
