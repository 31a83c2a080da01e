"""The wheel: what is in it, and that it works away from the checkout."""

from __future__ import annotations

import ast
import configparser
import email.message
import email.parser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sb3_mario

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sb3_mario"
# Names to import that differ from the names to install.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "Xlib": "python-xlib",
    "cv2": "opencv-python",
    "yaml": "pyyaml",
    "stable_baselines3": "stable-baselines3",
}


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that neither uses what the other left behind."""
    base = tmp_path_factory.mktemp("wheel")
    shutil.copytree(
        ROOT,
        base / "source",
        ignore=shutil.ignore_patterns(
            *(".git", ".venv*", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"),
            *("build", "dist", "logs"),
        ),
    )
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation")
    run(*build, "--outdir", base / "dist", base / "source", cwd=base)
    (path,) = (base / "dist").iterdir()
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed in, without what it depends on."""
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    run(*pip, "--target", target, wheel, cwd=target)
    return target


def listed_packages() -> list[str]:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    return config["options"]["packages"].split()


def test_every_package_is_listed() -> None:
    folders = {path.parent.relative_to(ROOT) for path in PACKAGE.rglob("*.py")}
    packages = {".".join(folder.parts) for folder in folders}
    assert packages <= set(listed_packages())
    assert all((ROOT / folder / "__init__.py").is_file() for folder in folders)


def test_every_listed_package_is_there_once() -> None:
    listed = listed_packages()
    assert len(listed) == len(set(listed))
    for name in listed:
        folder = ROOT / name.replace(".", "/")
        outside = ROOT / name.removeprefix("sb3_mario.").replace(".", "/")
        assert folder.is_dir() or outside.is_dir(), name


def test_the_wheel_holds_the_code_and_what_it_reads(names: set[str]) -> None:
    expected = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")}
    for folder, pattern in (
        ("lua_bridge", "*.lua"),
        ("hyperparams", "*.yml"),
        ("homebrew", "*.nes"),
        ("pretrained", "*.zip"),
        ("pretrained", "*.md"),
    ):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob(pattern)}
        expected |= {f"sb3_mario/{path}" for path in files if "spec" not in path.parts}
    assert "sb3_mario/lua_bridge/websocket/server.lua" in expected
    assert "sb3_mario/hyperparams/dueling_dqn.yml" in expected
    assert "sb3_mario/homebrew/foxtrot.nes" in expected
    assert "sb3_mario/pretrained/Foxtrot-1-1.zip" in expected
    assert expected | {"sb3_mario/py.typed"} <= names


def test_the_wheel_holds_nothing_else(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"sb3_mario", f"sb3_mario-{sb3_mario.__version__}.dist-info"}
    strange = re.compile(r"(^|/)(tests?|spec|benchmarks|logs|__pycache__)/|_spec\.lua$|\.pyc$")
    assert [name for name in names if strange.search(name)] == []


def test_the_metadata_is_that_of_setup_cfg(metadata: email.message.Message, wheel: Path) -> None:
    assert metadata["Name"] == "sb3-mario"
    assert metadata["Version"] == sb3_mario.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    with zipfile.ZipFile(wheel) as archive:
        folder = f"sb3_mario-{sb3_mario.__version__}.dist-info"
        scripts = archive.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert "sb3-mario-train = sb3_mario.training.run:main" in scripts


def test_whatever_is_imported_is_required(metadata: email.message.Message) -> None:
    required = {
        re.split(r"[<>=!~; \[]", requirement)[0].lower()
        for requirement in metadata.get_all("Requires-Dist", [])
        if "extra ==" not in requirement or "extra == 'screen'" in requirement.replace('"', "'")
    }
    imported = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module
                imported.add(node.module.partition(".")[0])
    others = imported - sys.stdlib_module_names - {"sb3_mario"}
    assert "torch" in others
    assert {DISTRIBUTIONS.get(name, name) for name in others} <= required


def test_the_command_is_installed(installed: Path, tmp_path: Path) -> None:
    command = (sys.executable, installed / "bin" / "sb3-mario-train", "--help")
    assert "--trained-agent" in run(*command, cwd=tmp_path, PYTHONPATH=str(installed))


@pytest.mark.real_rom
def test_the_installed_package_plays_away_from_the_checkout(
    installed: Path, rom: Path, tmp_path: Path
) -> None:
    code = f"""
import warnings
warnings.simplefilter("error")
from pathlib import Path
import gymnasium as gym
import sb3_mario
from sb3_mario import resources
from sb3_mario.training.config import load_hyperparams, make_settings
installed = Path({str(installed)!r})
for path in (Path(sb3_mario.__file__), resources.lua_bridge_dir(), resources.hyperparams_dir()):
    assert path.is_relative_to(installed), path
env_id = "sb3_mario/SuperMarioBros-1-1-v0"
for algorithm in ("dueling_dqn", "dqn"):
    make_settings(load_hyperparams(algorithm, env_id), algorithm, env_id)
env = gym.make(env_id, rom={str(rom)!r})
observation, start = env.reset(seed=0)
for _ in range(10):
    observation, reward, terminated, truncated, info = env.step(1)
env.close()
print(observation.shape, info["x_pos"] > start["x_pos"])
"""
    printed = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed))
    assert printed == "(8, 84, 84) True\n"


def test_the_installed_package_plays_its_free_game_where_no_other_is(
    installed: Path, tmp_path: Path
) -> None:
    code = f"""
import sys, warnings
warnings.simplefilter("error")
sys.modules["gym_super_mario_bros"] = None  # as if it were not installed
import gymnasium as gym
import sb3_mario
from sb3_mario.game.roms import find_rom
rom = find_rom()
assert rom.path.is_relative_to({str(installed)!r}), rom.path
env = gym.make("sb3_mario/SuperMarioBros-1-1-v0")
_, start = env.reset(seed=0)
for _ in range(10):
    *_, info = env.step(1)
rom_played = env.unwrapped.rom
env.close()
print(rom.source, rom_played == rom, info["x_pos"] > start["x_pos"])
"""
    alone = {"PYTHONPATH": str(installed), "SB3_MARIO_ROM": ""}
    printed = run(sys.executable, "-c", code, cwd=tmp_path, **alone)
    assert printed == "homebrew True True\n"
