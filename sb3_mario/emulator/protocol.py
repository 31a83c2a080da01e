"""The messages of the wire, without I/O. Twin of ``lua_bridge/messages.lua``.

Requests are JSON texts with an ``id`` that the answer repeats. ``hello``, ``save``, ``redraw``,
``close`` and errors are answered in JSON; ``reset``, ``step`` and ``load`` with one binary state
message: a 44-byte little-endian header, the picture where it was asked for (256x240 pixels of R, G,
B and 0, 245,760 bytes), then 2,048 bytes of RAM.
``tests/vectors/protocol.json`` holds golden bytes that the tests of both sides read.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sb3_mario.emulator.errors import RefusedError, WireError

SUBPROTOCOL: Final = "sb3-mario.v1"
VERSION: Final = 1
MAGIC: Final = b"SB3M"

FLAG_FRAME: Final = 1  # a picture precedes the RAM
FLAG_ENDED: Final = 2  # Mario died, cleared the level, or the game is over
FLAG_SKIPPED: Final = 4  # frames without control over Mario were run

RAM_BYTES: Final = 2048
WIDTH: Final = 256
HEIGHT: Final = 240
FRAME_BYTES: Final = WIDTH * HEIGHT * 4

MAX_NOOPS: Final = 1000
MAX_ID: Final = 2**32 - 1

# magic, version, flags, header's bytes, id, frame id, emulator's frame, advanced, microseconds,
# bytes of RAM, bytes of picture, width, height
HEADER: Final = struct.Struct("<4sBBHIIIIQIIHH")
MAX_MESSAGE_BYTES: Final = HEADER.size + RAM_BYTES + FRAME_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One moment of the game: RAM and, where asked for, the picture of the very same frame.

    Attributes:
        id: Id of the request that this answers.
        frame_id: Counts every frame run and every state loaded; never goes back.
        emulator_frame: FCEUX's own frame count, which a loaded state sets back.
        timestamp_us: Wall clock of the emulator's side, microseconds since 1970.
        advanced: Frames run for this request.
        ended: Whether Mario died, cleared the level, or the game is over.
        skipped: Whether frames without control over Mario were run (pipes, growing).
        ram: The console's memory, 2,048 bytes, addresses 0x000 to 0x7FF.
        frame: ``(240, 256, 4)`` uint8, red, green, blue and 0, a view of the received message;
            None where no picture was asked for.
    """

    id: int
    frame_id: int
    emulator_frame: int
    timestamp_us: int
    advanced: int
    ended: bool
    skipped: bool
    ram: bytes
    frame: npt.NDArray[np.uint8] | None


def encode_request(message_id: int, kind: str, **fields: int | bool) -> bytes:
    """Return a request as UTF-8 JSON."""
    return json.dumps({"id": message_id, "type": kind, **fields}, separators=(",", ":")).encode()


def decode_answer(data: bytes | bytearray | memoryview, message_id: int) -> dict[str, Any]:
    """Return the JSON answer to request ``message_id``.

    Raises:
        RefusedError: The answer is an ``error`` to this request.
        WireError: It is no JSON object in UTF-8, or answers another request.
    """
    try:
        answer = json.loads(bytes(data).decode())
    except ValueError as error:  # includes UnicodeDecodeError
        raise WireError(f"the answer is not JSON: {bytes(data[:80])!r} ({error})") from error
    except RecursionError as error:
        raise WireError("the answer is JSON nested too deeply") from error
    if not isinstance(answer, dict):
        raise WireError(f"the answer is not a JSON object: {bytes(data[:80])!r}")
    answered = answer.get("id")
    if type(answered) is not int or answered != message_id:  # in Python, true and 1.0 equal 1
        raise WireError(f"expected an answer to request {message_id}, got {answered!r}")
    if answer.get("type") == "error":
        raise RefusedError(str(answer.get("code")), str(answer.get("message")))
    return answer


def decode_state(data: bytes | bytearray | memoryview, message_id: int) -> State:
    """Return the state message that answers request ``message_id``.

    The picture is a view of ``data``, which must not change afterwards.

    Args:
        data: The message: 2,092 bytes, or 247,852 with a picture.
        message_id: Id of the request.

    Raises:
        WireError: The header, a length or the id is not what it must be.
    """
    if len(data) < HEADER.size:
        raise WireError(f"a state message of {len(data)} bytes, shorter than its header")
    (
        magic,
        version,
        flags,
        header_bytes,
        answered,
        frame_id,
        emulator_frame,
        advanced,
        timestamp_us,
        ram_bytes,
        frame_bytes,
        width,
        height,
    ) = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or header_bytes != HEADER.size:
        raise WireError(
            f"not a state message of version {VERSION}: magic {magic!r}, version {version}, "
            f"header of {header_bytes} bytes; the Lua script and the package differ"
        )
    if answered != message_id:
        raise WireError(f"expected the state for request {message_id}, got {answered}")
    wanted_frame = FRAME_BYTES if flags & FLAG_FRAME else 0
    if (ram_bytes, frame_bytes, width, height) != (RAM_BYTES, wanted_frame, WIDTH, HEIGHT):
        raise WireError(
            f"a state with {ram_bytes} bytes of RAM and {frame_bytes} of a {width}x{height} "
            f"picture, expected {RAM_BYTES} and {wanted_frame} of {WIDTH}x{HEIGHT}"
        )
    if len(data) != HEADER.size + ram_bytes + frame_bytes:
        raise WireError(
            f"a state message of {len(data)} bytes whose header says "
            f"{HEADER.size + ram_bytes + frame_bytes}"
        )
    ram_start = HEADER.size + frame_bytes
    frame = None
    if frame_bytes:
        pixels = np.frombuffer(data, np.uint8, frame_bytes, HEADER.size)
        frame = pixels.reshape(HEIGHT, WIDTH, 4)
    return State(
        id=answered,
        frame_id=frame_id,
        emulator_frame=emulator_frame,
        timestamp_us=timestamp_us,
        advanced=advanced,
        ended=bool(flags & FLAG_ENDED),
        skipped=bool(flags & FLAG_SKIPPED),
        ram=bytes(data[ram_start:]),
        frame=frame,
    )
