"""The WebSocket client: one request, one answer, in lock step, every wait with a deadline.

Every state is checked to be the one asked for: the answer repeats the request's id, and its frame
id must follow from the frames run. A state that does not fit is an error, never data.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State as ConnectionState

from sb3_mario.emulator import protocol
from sb3_mario.emulator.client import CHUNK, Client
from sb3_mario.emulator.errors import (
    BridgeClosedError,
    BridgeError,
    BridgeTimeoutError,
    EmulatorError,
    SyncError,
    WireError,
)
from sb3_mario.emulator.protocol import State


@dataclass(slots=True)
class SyncCounters:
    """How well states and pictures have kept together, since the connection was made.

    Attributes:
        frames: Frames run.
        retakes: Pictures taken again because they showed another frame than the state's.
        mismatches: States that were not the one asked for; each ends the connection.
        reconnects: Connections made after the first.
        emulator_seconds: Waited for the first byte of an answer.
        wire_seconds: From that byte to the last.
    """

    frames: int = 0
    retakes: int = 0
    mismatches: int = 0
    reconnects: int = 0
    emulator_seconds: float = 0.0
    wire_seconds: float = 0.0


class Bridge:
    """A connection to the Lua script of one FCEUX.

    Not safe for use from several threads.

    Args:
        port: Port that the script listens on.
        token: The launch's secret.
        host: Always loopback; the script binds no other.
        timeout: Seconds to wait for a connection and for each answer.

    Attributes:
        frame_id: Id of the newest frame; -1 before the first state.
        counters: See `SyncCounters`.

    Raises:
        BridgeError: Nothing listens there, or the script refused the connection.
    """

    def __init__(
        self, port: int, token: str, *, host: str = "127.0.0.1", timeout: float = 20.0
    ) -> None:
        self.port = port
        self.token = token
        self.timeout = timeout
        self.frame_id = -1
        self.counters = SyncCounters()
        self._next_id = 0
        self._awaited: int | None = None
        self._scratch = memoryview(bytearray(CHUNK))
        self._protocol = Client(
            f"ws://{host}:{port}/", protocol.SUBPROTOCOL, protocol.MAX_MESSAGE_BYTES
        )
        try:
            self._socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise BridgeError(f"cannot connect to FCEUX at {host}:{port}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._handshake(token)
        except BaseException:
            self._socket.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether no further request can be sent."""
        return self._socket.fileno() == -1

    def hello(self) -> dict[str, Any]:
        """Return what runs at the other end: emulator, protocol, ROM and its MD5, sizes."""
        return self._ask("hello")

    def reset(
        self,
        world: int,
        stage: int,
        *,
        noops: int = 0,
        whole_game: bool = False,
        frame: bool = True,
    ) -> State:
        """Start a level and let ``noops`` frames pass without a button.

        Args:
            world: 1 to 8.
            stage: 1 to 4.
            noops: Frames, 0 to 1000.
            whole_game: Go on after a death or a cleared level, until the game is over.
            frame: Whether to return the picture too.
        """
        return self._ask_state(
            "reset", world=world, stage=stage, noops=noops, whole_game=whole_game, frame=frame
        )

    def step(self, buttons: int, repeat: int = 4, *, frame: bool = True) -> State:
        """Hold buttons for some frames; see `send_step` and `receive_step`."""
        self.send_step(buttons, repeat, frame=frame)
        return self.receive_step()

    def send_step(self, buttons: int, repeat: int = 4, *, frame: bool = True) -> None:
        """Send a step without waiting for its result.

        Args:
            buttons: Bits A, B, select, start, up, down, left, right, lowest first.
            repeat: Frames to hold them, 1 to 600; fewer are run where an episode ends.
            frame: Whether to return the picture too.
        """
        self._awaited = self._send("step", buttons=buttons, repeat=repeat, frame=frame)

    def receive_step(self) -> State:
        """Wait for the state after the step that was sent.

        Raises:
            SyncError: The frames run do not lead from the last state to this one.
        """
        if self._awaited is None:
            raise BridgeError("no step is under way: call send_step() first")
        awaited, self._awaited = self._awaited, None
        before = self.frame_id
        state = self._receive_state(awaited)
        if state.frame_id != before + state.advanced:
            raise self._mismatch(state, before)
        return state

    def save(self, slot: int = 0) -> None:
        """Keep the present state in the emulator's memory, in one of 64 slots."""
        self._ask("save", slot=slot)

    def load(self, slot: int = 0, *, frame: bool = True) -> State:
        """Go back to a kept state and return it."""
        return self._ask_state("load", slot=slot, frame=frame)

    def close(self) -> None:
        """Ask the script to end FCEUX, and close the connection. Never raises."""
        if self.closed:
            return
        try:
            if self._protocol.state is ConnectionState.OPEN and self._awaited is None:
                self._socket.settimeout(min(self.timeout, 2.0))
                self._ask("close")
        except (EmulatorError, OSError):
            pass  # the emulator is gone, which is what was asked for, or goes for want of a client
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._socket.close()

    def _handshake(self, token: str) -> None:
        request = self._protocol.connect()
        request.headers["Authorization"] = f"Bearer {token}"
        self._protocol.send_request(request)
        self._flush()
        deadline = time.monotonic() + self.timeout
        while self._protocol.state is ConnectionState.CONNECTING:
            if self._protocol.handshake_exc is not None:
                break
            self._receive_some(deadline, "the handshake")
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            body = (error.response.body or b"").decode(errors="replace").strip()
            raise BridgeError(
                f"FCEUX refused the connection: HTTP {error.response.status_code} {body}"
            ) from error
        if error is not None:
            raise BridgeError(f"the handshake with FCEUX failed: {error}") from error
        if self._protocol.subprotocol != protocol.SUBPROTOCOL:
            raise BridgeError(
                f"FCEUX speaks {self._protocol.subprotocol!r}, this package "
                f"{protocol.SUBPROTOCOL!r}: the Lua script and the package differ"
            )
        for event in self._protocol.events_received():
            if not isinstance(event, Response):
                raise WireError("the script spoke before it was asked")

    def _ask(self, kind: str, **fields: int | bool) -> dict[str, Any]:
        message_id = self._send(kind, **fields)
        frame = self._receive(kind)
        if frame.opcode is not Opcode.TEXT:
            self.abort()
            raise WireError(f"expected JSON as the answer to {kind!r}, got binary data")
        return self._decode_answer(frame, message_id)

    def _decode_answer(self, frame: Frame, message_id: int) -> dict[str, Any]:
        try:
            return protocol.decode_answer(frame.data, message_id)
        except WireError:
            self.abort()
            raise

    def _ask_state(self, kind: str, **fields: int | bool) -> State:
        message_id = self._send(kind, **fields)
        before = self.frame_id
        state = self._receive_state(message_id)
        if state.frame_id <= before:
            raise self._mismatch(state, before)
        return state

    def _mismatch(self, state: State, before: int) -> SyncError:
        self.counters.mismatches += 1
        self.abort()
        return SyncError(
            f"frame {state.frame_id}, {state.advanced} frames run, does not follow frame {before}"
        )

    def _send(self, kind: str, **fields: int | bool) -> int:
        if self.closed:
            raise BridgeClosedError(f"cannot send {kind!r}: the connection is closed")
        if self._awaited is not None:
            raise BridgeError(f"cannot send {kind!r}: a step is under way, receive it first")
        self._check_open()  # a close frame may have come behind the last answer
        self._next_id = self._next_id % protocol.MAX_ID + 1
        self._protocol.send_text(protocol.encode_request(self._next_id, kind, **fields))
        self._flush()
        return self._next_id

    def _receive_state(self, message_id: int) -> State:
        frame = self._receive("a state")
        if frame.opcode is not Opcode.BINARY:
            self._decode_answer(frame, message_id)  # raises what the script refused
            self.abort()
            raise WireError("expected a state, got JSON")
        try:
            state = protocol.decode_state(frame.data, message_id)
        except WireError:
            self.counters.mismatches += 1
            self.abort()
            raise
        self.frame_id = state.frame_id
        self.counters.frames += state.advanced
        return state

    def _receive(self, what: str) -> Frame:
        """Return the next text or binary frame; the script never fragments."""
        start = first_byte = time.monotonic()
        deadline = start + self.timeout
        while True:
            for event in self._protocol.events_received():
                assert isinstance(event, Frame)
                if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                    self.counters.emulator_seconds += first_byte - start
                    self.counters.wire_seconds += time.monotonic() - first_byte
                    return event
            self._flush()  # answers to pings
            self._check_open()
            self._receive_some(deadline, what)
            if first_byte == start:
                first_byte = time.monotonic()

    def _check_open(self) -> None:
        if self._protocol.state is not ConnectionState.OPEN:
            closed = self._protocol.close_rcvd or self._protocol.close_sent
            self.abort()
            raise BridgeClosedError(
                f"the connection to FCEUX is closed: {closed or 'without a word'}"
            )

    def _receive_some(self, deadline: float, what: str) -> None:
        # After the deadline what has arrived still counts: it may be this process that stood still.
        self._socket.settimeout(max(deadline - time.monotonic(), 0.0))
        try:
            self._protocol.receive_from(self._socket, self._scratch)
        except (TimeoutError, BlockingIOError) as error:
            self.abort()
            raise BridgeTimeoutError(
                f"no answer from FCEUX for {self.timeout:g} seconds while waiting for {what}"
            ) from error
        except OSError as error:
            self.abort()
            raise BridgeClosedError(f"the connection to FCEUX broke: {error}") from error

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            try:
                if data:
                    self._socket.sendall(data)
                else:
                    self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                self.abort()
                raise BridgeClosedError(f"the connection to FCEUX broke: {error}") from error
