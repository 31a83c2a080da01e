"""Arrays and plain values in one file that runs no code when it is read.

The file is a zip of NumPy's ``.npy`` and a ``meta.json``, compressed, each with a checksum;
``numpy.load`` reads its arrays too. There is no pickle in it, and none is accepted.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

Blocks = Sequence[npt.NDArray[Any]]
"""One array in parts that lie behind each other along its first axis."""

CHUNK_BYTES: Final = 4 * 2**20
MAX_META_BYTES: Final = 2**20
_META: Final = "meta.json"


class ArrayFileError(ValueError):
    """The file is torn, or was not written by `write`."""


def write(file: IO[bytes], meta: Mapping[str, Any], arrays: Mapping[str, Blocks]) -> None:
    """Write arrays and values; no more than some megabytes of memory are taken for it.

    Args:
        file: Open for writing.
        meta: Values that JSON has.
        arrays: Arrays by name.

    Raises:
        OSError: The file could not be written.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(_META, json.dumps(meta))
        for name, blocks in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {
                    "descr": npy.dtype_to_descr(blocks[0].dtype),
                    "fortran_order": False,
                    "shape": _shape(blocks),
                }
                npy.write_array_header_1_0(member, header)
                for chunk in _chunks(blocks):
                    member.write(np.ascontiguousarray(chunk).data.cast("B"))


class ArrayFile:
    """A file written by `write`, for a ``with`` statement.

    Args:
        file: Open for reading, at its start.

    Attributes:
        meta: The values.

    Raises:
        ArrayFileError: It is no such file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
            with self._archive.open(_META) as member:
                meta = json.loads(member.read(MAX_META_BYTES))
        except _READ_ERRORS as error:
            raise ArrayFileError(f"it is torn, or no file of arrays ({error})") from error
        if not isinstance(meta, dict):
            raise ArrayFileError(f"its {_META} holds no values by name")
        self.meta: dict[str, Any] = meta

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._archive.close()

    def fill(self, name: str, blocks: Blocks) -> None:
        """Write an array of the file into memory that is there already.

        Args:
            name: Its name.
            blocks: Where to, of the array's type and, laid end to end, of its shape.

        Raises:
            ArrayFileError: It is missing, torn, or of another type or shape.
        """
        wanted = (_shape(blocks), False, blocks[0].dtype)
        try:
            with self._archive.open(f"{name}.npy") as member:
                if npy.read_magic(member) != (1, 0):
                    raise ArrayFileError(f"{name} is in another format")
                found = npy.read_array_header_1_0(member)
                if found != wanted:
                    raise ArrayFileError(f"{name} is {_words(found)}, not {_words(wanted)}")
                for chunk in _chunks(blocks):
                    data = member.read(chunk.nbytes)
                    chunk[:] = np.frombuffer(data, chunk.dtype).reshape(chunk.shape)
                if member.read(1):  # the end is also where zipfile looks at the checksum
                    raise ArrayFileError(f"{name} is longer than it says")
        except ArrayFileError:
            raise
        except _READ_ERRORS as error:
            raise ArrayFileError(f"{name} is torn ({error})") from error


# What zipfile, zlib, json and NumPy raise at bytes that are not theirs.
_READ_ERRORS: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, SyntaxError),
    *(RuntimeError, NotImplementedError, RecursionError, OverflowError, TypeError),
)


def _shape(blocks: Blocks) -> tuple[int, ...]:
    return (sum(len(block) for block in blocks), *blocks[0].shape[1:])


def _chunks(blocks: Blocks) -> list[npt.NDArray[Any]]:
    """Return views that cover the blocks, none much larger than `CHUNK_BYTES`."""
    row_bytes = blocks[0].itemsize * math.prod(blocks[0].shape[1:])
    rows = max(CHUNK_BYTES // max(row_bytes, 1), 1)
    return [b[start : start + rows] for b in blocks for start in range(0, len(b), rows)]


def _words(header: tuple[tuple[int, ...], bool, np.dtype[Any]]) -> str:
    shape, fortran, dtype = header
    return f"{dtype}{list(shape)}{' in columns' if fortran else ''}"
