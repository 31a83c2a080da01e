"""A wire between trainer and FCEUX that can be looked at, cut, and made half open."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.sync import FrameSynchronizer

PING, PONG = 9, 10


class Wire:
    """Hands on the bytes between one client and a port.

    Attributes:
        port: Where the client connects to.
        frames: Opcodes seen, by direction: ``"up"`` from FCEUX, ``"down"`` to it.
    """

    def __init__(self, port: int) -> None:
        self.frames: dict[str, list[int]] = {"up": [], "down": []}
        self._target = port
        self._swallows = threading.Event()
        self._alteration = (b"", b"")
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def swallow(self) -> None:
        """From now on nothing arrives, in either direction, and nobody is told."""
        self._swallows.set()

    def alter(self, old: bytes, new: bytes) -> None:
        """From now on other bytes arrive in place of some."""
        self._alteration = (old, new)

    def cut(self) -> None:
        """End both connections."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)
        for end in (self._listener, *self._ends):
            end.close()

    def _run(self) -> None:
        self._listener.settimeout(10)
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._target))
        self._ends = [client, server]
        opcodes = {"up": Opcodes(), "down": Opcodes()}
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, (server, "down"))
            selector.register(server, selectors.EVENT_READ, (client, "up"))
            with contextlib.suppress(OSError):  # an end that was reset
                while not self._ended.is_set():
                    for key, _ in selector.select(0.05):
                        assert isinstance(key.fileobj, socket.socket)
                        data = key.fileobj.recv(1 << 20)
                        if not data:
                            return self.cut()
                        other, direction = key.data
                        if not self._swallows.is_set():
                            self.frames[direction] += opcodes[direction].feed(data)
                            old, new = self._alteration
                            other.sendall(data.replace(old, new) if old else data)
            self.cut()
            return None


class Opcodes:
    """Reads the opcodes in a stream of an HTTP head and WebSocket frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_head = True

    def feed(self, data: bytes) -> list[int]:
        self._buffer += data
        if self._in_head:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return []
            del self._buffer[: end + 4]
            self._in_head = False
        found = []
        while (size := self._frame_size()) and len(self._buffer) >= size:
            found.append(self._buffer[0] & 15)
            del self._buffer[:size]
        return found

    def _frame_size(self) -> int:
        """The size of the frame at the buffer's start, 0 where its header is not whole."""
        if len(self._buffer) < 2:
            return 0
        length = self._buffer[1] & 127
        header = 2 + {126: 2, 127: 8}.get(length, 0)
        if len(self._buffer) < header:
            return 0
        if header > 2:
            length = int.from_bytes(self._buffer[2:header], "big")
        return header + (4 if self._buffer[1] & 128 else 0) + length


@contextmanager
def through_wire(bridge: Bridge) -> Iterator[tuple[Bridge, Wire]]:
    """Replace a connection to FCEUX by one through a wire."""
    bridge.abort()
    wire = Wire(bridge.port)
    deadline = time.monotonic() + 5
    while True:
        try:
            other = Bridge(
                wire.port,
                bridge.token,
                timeout=bridge.timeout,
                sync=FrameSynchronizer(counters=bridge.counters),
            )
            break
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            wire.close()
            wire = Wire(bridge.port)
    try:
        yield other, wire
    finally:
        other.abort()
        wire.close()
