"""Write the API pages, from the docstrings, into a folder: ``python tools/api_pages.py build/api``.

Packages with ``__all__`` have one page, with the names in it; in all others each module has its
own. A warning, such as an annotation that cannot be resolved, is an error.
"""

from __future__ import annotations

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import sb3_mario


def modules() -> list[str]:
    """Return the modules to document; pdoc goes on into packages by itself."""
    # Not from the top: it has an ``__all__``, and pdoc would stay there.
    name = sb3_mario.__name__
    return [name, *(found.name for found in pkgutil.iter_modules(sb3_mario.__path__, f"{name}."))]


def write(folder: Path) -> None:
    """Write the pages into a folder, which is made where it is missing."""
    pdoc.render.configure(docformat="google", footer_text=f"sb3-mario {sb3_mario.__version__}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(*modules(), output_directory=folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    print(f"{sys.argv[1]}/index.html")
