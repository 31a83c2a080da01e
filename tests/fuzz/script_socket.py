"""A stand-in for the socket to the Lua script, which answers well or badly, as a recipe says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from typing import Final

from sb3_mario.emulator import protocol
from tests.fuzz.recipe import Recipe

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
PAYLOAD: Final = bytes(range(251)) * 1000  # more than a picture and RAM
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def server_frame(opcode: int, payload: bytes, *, first_bits: int = 0x80) -> bytes:
    """A frame as a server sends it."""
    length = len(payload)
    if length < 126:
        header = bytes([first_bits | opcode, length])
    elif length < 65536:
        header = bytes([first_bits | opcode, 126]) + length.to_bytes(2, "big")
    else:
        header = bytes([first_bits | opcode, 127]) + length.to_bytes(8, "big")
    return header + payload


def state_message(
    message_id: int, frame_id: int, advanced: int, picture: bool, *, flags: int = 0
) -> bytes:
    frame_bytes = protocol.FRAME_BYTES if picture else 0
    header = protocol.HEADER.pack(
        *(protocol.MAGIC, protocol.VERSION, flags | picture, protocol.HEADER.size, message_id),
        *(frame_id, frame_id, advanced, 1, protocol.RAM_BYTES, frame_bytes),
        *(protocol.WIDTH, protocol.HEIGHT),
    )
    return header + PAYLOAD[: protocol.RAM_BYTES + frame_bytes]


class ScriptSocket:
    """What ``socket.create_connection`` returns in the fuzzed client.

    Attributes:
        asked: The request under way: its kind and whether it wants a picture. Set by the target.
        requests: How many requests have come; the newest one's id.
        faultless: Whether all that was sent so far is as the real script sends it.
        payloads: What followed the headers of the states sent, by the id that they answer.
        drawn: The frames that were said to be drawn again.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.asked: tuple[str, bool] = ("", False)
        self.requests = 0
        self.faultless = True
        self.payloads: defaultdict[int, list[bytes]] = defaultdict(list)
        self.drawn: set[int] = set()
        self._recipe = recipe
        self._frame_id = 0
        self._silent = False
        self._incoming = bytearray()
        self._closed = False

    def setsockopt(self, *_: int) -> None:
        pass

    def settimeout(self, _: float) -> None:
        pass

    def shutdown(self, _: int) -> None:
        self._check_open()

    def fileno(self) -> int:
        return -1 if self._closed else 3

    def close(self) -> None:
        self._closed = True

    def sendall(self, data: bytes) -> None:
        self._check_open()
        if data.startswith(b"GET "):
            self._incoming += self._handshake(data)
        elif data[0] & 15 == TEXT:
            self.requests += 1
            self._incoming += self._answers()
        if self._recipe.below(64) == 63:
            self.faultless = False
            raise ConnectionResetError("fuzzed")

    def recv_into(self, buffer: memoryview) -> int:
        self._check_open()
        if not self._incoming:
            if self._recipe.below(2):
                return 0
            raise self._recipe.pick([TimeoutError, ConnectionResetError, BlockingIOError])("fuzzed")
        most = self._recipe.pick([2**20, 2**20, 1, 3, 10, 1000])
        count = min(len(buffer), len(self._incoming), most)
        buffer[:count] = self._incoming[:count]
        del self._incoming[:count]
        return count

    def _check_open(self) -> None:
        if self._closed:
            raise OSError("the socket is closed")

    def _handshake(self, request: bytes) -> bytes:
        recipe = self._recipe
        found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
        assert found is not None
        accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
        lines = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accept,
            b"Sec-WebSocket-Protocol: " + protocol.SUBPROTOCOL.encode(),
        ]
        change = recipe.below(16)
        self.faultless = change not in (1, 2, 3, 4, 5, 6)
        if change == 1:
            lines[recipe.below(5)] = recipe.take(20)
        elif change == 2:
            lines[4] = b"Sec-WebSocket-Protocol: sb3-mario.v2"
        elif change == 3:
            lines.append(b"Sec-WebSocket-Extensions: permessage-deflate")
        elif change == 4:
            body = recipe.take(20)
            lines = [b"HTTP/1.1 401 Unauthorized", b"Content-Length: %d" % recipe.below(30)]
            return b"\r\n".join(lines) + b"\r\n\r\n" + body
        response = b"\r\n".join(lines) + b"\r\n\r\n"
        if change == 5:
            return recipe.mutate(response)
        if change == 6:
            return response + self._answers()
        return response

    def _answers(self) -> bytes:
        """What the script sends on a request: mostly one right answer, mostly in one frame."""
        recipe = self._recipe
        sent = b""
        if self._silent:  # broke off in the middle of a frame
            return sent
        count = recipe.pick([1, 1, 1, 1, 1, 1, 2, 0])
        self.faultless = self.faultless and count == 1
        for _ in range(count):
            opcode, payload = self._answer()
            fault = recipe.below(16)
            if fault == 1:  # no fault, but a frame in between
                sent += server_frame(recipe.pick([PING, PONG]), recipe.take(6))
                fault = 0
            self.faultless = self.faultless and fault not in (2, 3, 4, 5, 6, 7)
            if fault == 2:
                opcode = recipe.below(16)
            elif fault == 3:  # not the last fragment, or with bits that nobody agreed on
                sent += server_frame(opcode, payload, first_bits=recipe.below(16) << 4)
                continue
            elif fault == 4:
                cut = recipe.below(len(payload) + 1)
                sent += server_frame(opcode, payload[:cut], first_bits=0)
                opcode, payload = 0, payload[cut:]
            elif fault == 5:
                whole = server_frame(opcode, payload)
                sent += recipe.mutate(whole[:10]) + whole[10:]
                continue
            elif fault == 6:
                whole = server_frame(opcode, payload)
                self._silent = True
                return sent + whole[: recipe.integer(3) % len(whole)]
            elif fault == 7:
                sent += server_frame(CLOSE, recipe.take(6))
            sent += server_frame(opcode, payload)
        return sent

    def _answer(self) -> tuple[int, bytes]:
        recipe = self._recipe
        kind, picture = self.asked
        fault = recipe.below(16)
        self.faultless = self.faultless and fault not in (1, 2, 3, 4, 5, 6)
        answered = self.requests + (recipe.pick([1, -1, 2**31]) if fault == 1 else 0)
        if fault == 2:
            return TEXT, recipe.take(30)
        if fault == 3:
            error = {"id": answered, "type": "error", "code": "refused", "message": "no"}
            return TEXT, json.dumps(error).encode()
        if fault == 4:
            kind = recipe.pick(["save", "step"])
        if kind == "redraw":
            frame_id = recipe.integer(4) if fault == 5 else self._frame_id % 2**32
            self.drawn.add(frame_id)
            answer = {"id": answered, "type": kind, "frame_id": frame_id}
            return TEXT, json.dumps(answer).encode()
        if kind not in ("reset", "step", "load"):
            return TEXT, json.dumps({"id": answered, "type": kind}).encode()
        advanced = recipe.below(5)
        self._frame_id += advanced if kind == "step" else 1
        if fault == 5:
            self._frame_id = recipe.pick([0, 1, recipe.integer(4)])
        message = state_message(answered % 2**32, self._frame_id % 2**32, advanced, picture)
        if fault == 6:
            message = recipe.mutate(message)
        self.payloads[answered].append(message[protocol.HEADER.size :])
        return BINARY, message
