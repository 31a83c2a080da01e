"""`make docs`: each public name has its place in the API pages, and a docstring."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import sb3_mario

ROOT = Path(__file__).parents[1]
MODULES = [
    "sb3_mario",
    *(module.name for module in pkgutil.walk_packages(sb3_mario.__path__, "sb3_mario.")),
]
# Modules below these have no page: what is public in them is named in their package's ``__all__``.
CLOSED = tuple(
    f"{name}." for name in MODULES[1:] if hasattr(importlib.import_module(name), "__all__")
)
PAGES = [name for name in MODULES if not name.startswith(CLOSED)]


def public(module: ModuleType) -> list[str]:
    """Names in ``__all__``, else the classes and functions that are defined in the module."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def members(owner: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A class or function, and a class's public methods and properties that it defines itself."""
    yield name, owner
    if inspect.isclass(owner):
        for key, value in vars(owner).items():
            value = getattr(value, "__func__", value)  # a class method's
            if not key.startswith("_") and isinstance(value, property | FunctionType):
                yield f"{name}.{key}", getattr(owner, key)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pdoc", reason="needs pdoc: run `pip install -e '.[docs]'`")
    path = tmp_path_factory.mktemp("api")
    result = subprocess.run(
        [sys.executable, "tools/api_pages.py", str(path)],
        cwd=ROOT,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return path


def test_each_module_has_a_page_and_each_public_name_an_entry(folder: Path) -> None:
    for name in PAGES:
        page = (folder / f"{name.replace('.', '/')}.html").read_text()
        anchors = set(re.findall(r'<section id="([\w.]+)"', page))
        missing = set(public(importlib.import_module(name))) - anchors
        # The version is a string in the top page's source, and in each page's foot.
        assert missing <= {"__version__"}, name
        assert f"sb3-mario {sb3_mario.__version__}" in page


def test_arguments_and_lists_are_read_as_such(folder: Path) -> None:
    page = (folder / "sb3_mario" / "env.html").read_text()
    assert "<li><strong>frame_skip:</strong>  Frames an action is held.</li>" in page
    assert "<li><code>life</code>: lives left</li>" in page
    for path in folder.rglob("*.html"):
        assert not re.search(r"={6,}", re.sub(r"<pre>.*?</pre>", "", path.read_text(), flags=re.S))


@pytest.mark.parametrize("name", MODULES)
def test_no_public_docstring_is_missing(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for key in public(module):
        value = getattr(module, key)
        if inspect.isclass(value) or inspect.isfunction(value):
            for full, member in members(value, key):
                assert inspect.getdoc(member), full


@pytest.mark.parametrize("name", MODULES)
def test_what_docstrings_refer_to_is_there(name: str) -> None:
    source = Path(importlib.import_module(name).__file__ or "").read_text()
    for reference in re.findall(r"(?<!`)`(sb3_mario[\w.]+)`(?!`)", source):
        for length in range(reference.count(".") + 1, 0, -1):
            module, rest = reference.split(".")[:length], reference.split(".")[length:]
            if ".".join(module) in MODULES:
                break
        value: Any = importlib.import_module(".".join(module))
        for attribute in rest:
            value = getattr(value, attribute)
