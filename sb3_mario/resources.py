"""Where the files that are not Python lie: in the installed package, or in the checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def lua_bridge_dir() -> Path:
    """Return the folder of ``main.lua``, which runs inside FCEUX."""
    return _find("lua_bridge", "main.lua")


def hyperparams_dir() -> Path:
    """Return the folder of the hyperparameters, one YAML file per algorithm."""
    return _find("hyperparams", "dueling_dqn.yml")


def pretrained_dir() -> Path:
    """Return the folder of the trained agents that come with the package."""
    return _find("pretrained", "Foxtrot-1-1.zip")


def _find(folder: str, must_hold: str) -> Path:
    """Return the packaged folder, or the one at the top of a checkout.

    Raises:
        FileNotFoundError: Neither holds the file that it must.
    """
    places = [PACKAGE / folder, PACKAGE.parent / folder]
    for place in places:
        if (place / must_hold).is_file():
            return place
    raise FileNotFoundError(
        f"{must_hold} is in neither {places[0]} nor {places[1]}: the installation is incomplete, "
        "install sb3-mario again"
    )
