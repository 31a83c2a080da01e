"""Files that are not Python are found in the package, then in the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb3_mario import resources


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package in an empty checkout."""
    package = tmp_path / "checkout" / "sb3_mario"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", package)
    return package


def put(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).touch()
    return folder


def test_both_folders_are_whole() -> None:
    assert (resources.lua_bridge_dir() / "websocket" / "server.lua").is_file()
    names = {path.name for path in resources.hyperparams_dir().glob("*.yml")}
    assert names == {"dqn.yml", "dueling_dqn.yml"}


def test_the_package_goes_before_the_checkout(package: Path) -> None:
    in_checkout = put(package.parent / "lua_bridge", "main.lua")
    assert resources.lua_bridge_dir() == in_checkout
    in_package = put(package / "lua_bridge", "main.lua")
    assert resources.lua_bridge_dir() == in_package


def test_an_incomplete_installation_says_what_is_missing_and_where(package: Path) -> None:
    (package / "lua_bridge").mkdir()
    with pytest.raises(FileNotFoundError, match=r"main\.lua is in neither .*install") as error:
        resources.lua_bridge_dir()
    assert str(package / "lua_bridge") in str(error.value)
    assert str(package.parent / "lua_bridge") in str(error.value)
    with pytest.raises(FileNotFoundError, match=r"dueling_dqn\.yml is in neither"):
        resources.hyperparams_dir()
