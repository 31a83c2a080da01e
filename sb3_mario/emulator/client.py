"""``websockets``' Sans-I/O client on a plain socket, without a copy that can be avoided."""

from __future__ import annotations

import socket
from collections.abc import Generator
from typing import Final

from websockets.client import ClientProtocol
from websockets.streams import StreamReader
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

CHUNK: Final = 65536


class DirectReader(StreamReader):
    """A stream reader whose long reads are filled by the socket itself.

    The stock reader copies every byte twice: into its buffer, and out of it again. For a long
    payload this one hands out the memory of the result, and the socket writes there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: memoryview | None = None  # the part of a long read not yet received

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """Return ``n`` bytes; see the stock reader's, which this stands in for."""
        if n <= CHUNK:
            return (yield from super().read_exact(n))
        result = bytearray(n)
        have = min(len(self.buffer), n)
        result[:have] = self.buffer[:have]
        del self.buffer[:have]
        self.missing = memoryview(result)[have:]
        while self.missing:
            if self.eof:
                raise EOFError(f"stream ends {len(self.missing)} bytes early, expected {n}")
            yield
        self.missing = None
        return result

    def filled(self, count: int) -> None:
        """Note that ``count`` bytes of ``missing`` have been written."""
        assert self.missing is not None
        self.missing = self.missing[count:]


class Client(ClientProtocol):
    """``ClientProtocol`` with the reader above.

    Args:
        uri: ``ws://`` address, for the handshake.
        subprotocol: The only one spoken.
        max_size: Largest message accepted, bytes.
    """

    reader: DirectReader

    def __init__(self, uri: str, subprotocol: str, max_size: int) -> None:
        super().__init__(parse_uri(uri), subprotocols=[Subprotocol(subprotocol)], max_size=max_size)
        self.reader = DirectReader()
        self.parser = self.parse()  # the one made by super() holds on to the stock reader
        next(self.parser)

    def receive_from(self, sock: socket.socket, scratch: memoryview) -> None:
        """Move what the socket has to the parser; blocks up to the socket's timeout."""
        if self.reader.missing:
            count = sock.recv_into(self.reader.missing)
            if count:
                self.reader.filled(count)
                if not self.reader.missing:
                    next(self.parser)
                return
        else:
            count = sock.recv_into(scratch)
            if count:
                self.receive_data(scratch[:count])  # type: ignore[arg-type]
                return
        self.receive_eof()
