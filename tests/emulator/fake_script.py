"""A stand-in for the Lua script, to provoke what the real one never does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from sb3_mario.emulator import protocol

TOKEN = "secret"
Behaviour = Callable[[ServerConnection], Any]


def state(
    message_id: int, *, frame_id: int = 0, advanced: int = 0, flags: int = 1, fill: int = 7
) -> bytes:
    """A well-formed state message whose picture is filled with one value."""
    frame = bytes([fill]) * protocol.FRAME_BYTES if flags & 1 else b""
    header = protocol.HEADER.pack(
        protocol.MAGIC, 1, flags, 44, message_id, frame_id, 0, advanced, 0, 2048, len(frame), 256,
        240,
    )  # fmt: skip
    return header + frame + bytes(2048)


@contextmanager
def script(behaviour: Behaviour, subprotocol: str = protocol.SUBPROTOCOL) -> Iterator[int]:
    """Serve one behaviour; yields the port."""

    def handle(connection: ServerConnection) -> None:
        behaviour(connection)

    server: Server = serve(
        handle,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol(subprotocol)],
        compression=None,
        max_size=None,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join(5)
