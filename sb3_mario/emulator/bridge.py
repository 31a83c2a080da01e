"""The WebSocket client: one request, one answer, in lock step, every wait with a deadline.

Between two requests a `Heartbeat` answers the script's pings and sends its own.

Every state is checked to be the one asked for: the answer repeats the request's id, and its frame
id must follow from the frames run (`FrameSynchronizer`). A state that does not fit is an error,
never data.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State as ConnectionState

from sb3_mario.emulator import deadlines, protocol
from sb3_mario.emulator.client import CHUNK, Client
from sb3_mario.emulator.errors import (
    BridgeClosedError,
    BridgeError,
    BridgeTimeoutError,
    EmulatorError,
    SyncError,
    WireError,
)
from sb3_mario.emulator.heartbeat import Heartbeat
from sb3_mario.emulator.protocol import State
from sb3_mario.emulator.sync import FrameSynchronizer, SyncCounters


class Bridge:
    """A connection to the Lua script of one FCEUX.

    Not safe for use from several threads.

    Args:
        port: Port that the script listens on.
        token: The launch's secret.
        host: Always loopback; the script binds no other.
        timeout: Seconds to wait for a connection, for each answer, and for each picture on the
            screen.
        sync: Keeps states and pictures together; where it has a screen, pictures come from there.
            None for pictures that come with their states.

    Raises:
        BridgeError: Nothing listens there, or the script refused the connection.
    """

    def __init__(
        self,
        port: int,
        token: str,
        *,
        host: str = "127.0.0.1",
        timeout: float = deadlines.ANSWER_SECONDS,
        sync: FrameSynchronizer | None = None,
    ) -> None:
        self.port = port
        self.token = token
        self.timeout = timeout
        self._sync = sync or FrameSynchronizer()
        self._next_id = 0
        self._awaited: int | None = None
        self._awaited_frame = False
        self._scratch = memoryview(bytearray(CHUNK))
        # The heartbeat's thread takes turns with the caller's.
        self._lock = threading.RLock()
        self._inbox: deque[Frame] = deque()  # received, and not asked for yet
        self._silent_beats = 0
        self._dead: BridgeError | None = None  # what the heartbeat has found
        self._heartbeat = Heartbeat(self)
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
        self._heartbeat.start()

    @property
    def counters(self) -> SyncCounters:
        """How well states and pictures have kept together."""
        return self._sync.counters

    @property
    def frame_id(self) -> int:
        """Id of the newest frame; -1 before the first state."""
        return self._sync.states.newest_id

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

    def step(
        self,
        buttons: int,
        repeat: int = 4,
        *,
        first: int = 0,
        first_frames: int = 0,
        frame: bool = True,
    ) -> State:
        """Hold buttons for some frames; see `send_step` and `receive_step`."""
        self.send_step(buttons, repeat, first=first, first_frames=first_frames, frame=frame)
        return self.receive_step()

    def send_step(
        self,
        buttons: int,
        repeat: int = 4,
        *,
        first: int = 0,
        first_frames: int = 0,
        frame: bool = True,
    ) -> None:
        """Send a step without waiting for its result.

        Args:
            buttons: Bits A, B, select, start, up, down, left, right, lowest first.
            repeat: Frames to hold them, 1 to 600; fewer are run where an episode ends.
            first: Buttons of the first ``first_frames`` of these frames.
            first_frames: How many frames have ``first`` instead, 0 to 600.
            frame: Whether to return the picture too.
        """
        self._awaited_frame = frame
        self._awaited = self._send(
            "step",
            buttons=buttons,
            first=first,
            first_frames=first_frames,
            repeat=repeat,
            frame=frame and self._sync.screen is None,
        )

    def receive_step(self) -> State:
        """Wait for the state after the step that was sent.

        Raises:
            SyncError: The frames run do not lead from the last state to this one.
            CaptureError: The screen does not show the picture.
        """
        if self._awaited is None:
            raise BridgeError("no step is under way: call send_step() first")
        awaited, self._awaited = self._awaited, None
        return self._receive_state(awaited, frame=self._awaited_frame, follows=True)

    def save(self, slot: int = 0) -> None:
        """Keep the present state in the emulator's memory, in one of 64 slots."""
        self._ask("save", slot=slot)

    def load(self, slot: int = 0, *, frame: bool = True) -> State:
        """Go back to a kept state and return it."""
        return self._ask_state("load", slot=slot, frame=frame)

    def redraw(self) -> None:
        """Make FCEUX draw its newest frame on the screen again, by running it again.

        Raises:
            SyncError: It drew another.
        """
        drawn = self._ask("redraw").get("frame_id")
        if drawn != self.frame_id:
            self.abort()
            raise SyncError(f"FCEUX drew frame {drawn!r} again, but the newest is {self.frame_id}")

    def close(self) -> None:
        """Ask the script to end FCEUX, and close the connection. Never raises."""
        if self.closed:
            return
        try:
            if self._protocol.state is ConnectionState.OPEN and self._awaited is None:
                self.timeout = min(self.timeout, deadlines.CLOSE_SECONDS)
                self._ask("close")
        except (EmulatorError, OSError):
            pass  # the emulator is gone, which is what was asked for, or goes for want of a client
        finally:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._heartbeat.stop()
        with self._lock:
            self._socket.close()

    def beat(self) -> bool:
        """Read what has arrived and send a ping; for `Heartbeat`, see there."""
        if not self._lock.acquire(blocking=False):
            return True  # an answer is awaited, which has a deadline of its own
        try:
            if self.closed:
                return False
            self._silent_beats += 1
            self._receive_what_is_there()
            # A step under way may keep FCEUX from answering as long as its answer may take.
            busy = self._awaited is not None and not self._inbox
            limit = max(deadlines.EMULATOR_SECONDS, self.timeout if busy else 0)
            if self._silent_beats * deadlines.PING_SECONDS > limit:
                raise BridgeTimeoutError(f"no sign of life from FCEUX for {limit:g} seconds")
            self._protocol.send_ping(b"")
            self._flush()
        except BridgeError as error:
            self._dead = error  # for the next who asks for something
            self.abort()
            return False
        finally:
            self._lock.release()
        return True

    def _receive_what_is_there(self) -> None:
        self._socket.settimeout(0)
        try:
            while self._protocol.state is ConnectionState.OPEN:
                self._protocol.receive_from(self._socket, self._scratch)
        except BlockingIOError:
            pass
        except OSError as error:
            raise self._broken(error) from error
        finally:
            self._take_events()
        self._check_open()

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            self._silent_beats = 0
            if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._inbox.append(event)

    def _check_open(self) -> None:
        if self._protocol.state is not ConnectionState.OPEN:
            closed = self._protocol.close_rcvd or self._protocol.close_sent
            self.abort()
            raise BridgeClosedError(
                f"the connection to FCEUX is closed: {closed or 'without a word'}"
            )

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

    def _ask_state(self, kind: str, *, frame: bool, **fields: int | bool) -> State:
        message_id = self._send(kind, frame=frame and self._sync.screen is None, **fields)
        return self._receive_state(message_id, frame=frame, follows=False)

    def _send(self, kind: str, **fields: int | bool) -> int:
        with self._lock:
            if self.closed:
                raise self._dead or BridgeClosedError(
                    f"cannot send {kind!r}: the connection is closed"
                )
            if self._awaited is not None:
                raise BridgeError(f"cannot send {kind!r}: a step is under way, receive it first")
            self._check_open()  # a close frame may have come behind the last answer
            self._next_id = self._next_id % protocol.MAX_ID + 1
            self._protocol.send_text(protocol.encode_request(self._next_id, kind, **fields))
            self._flush()
            return self._next_id

    def _receive_state(self, message_id: int, *, frame: bool, follows: bool) -> State:
        message = self._receive("a state")
        if message.opcode is not Opcode.BINARY:
            self._decode_answer(message, message_id)  # raises what the script refused
            self.abort()
            raise WireError("expected a state, got JSON")
        try:
            state = protocol.decode_state(message.data, message_id)
            if frame and self._sync.screen is None and state.frame is None:
                raise WireError(f"the state of frame {state.frame_id} came without its picture")
        except WireError:
            self.counters.mismatches += 1
            self.abort()
            raise
        try:
            self._sync.accept(state, follows=follows)
            return self._from_screen(state) if frame and self._sync.screen else state
        except SyncError:
            self.abort()
            raise

    def _from_screen(self, state: State) -> State:
        start = time.monotonic()
        state = self._sync.pair(state.frame_id, self.timeout, self.redraw)
        self.counters.wire_seconds += time.monotonic() - start
        return state

    def _receive(self, what: str) -> Frame:
        """Return the next text or binary frame; the script never fragments."""
        with self._lock:
            start = first_byte = time.monotonic()
            deadline = start + self.timeout
            self._take_events()
            while not self._inbox:
                if self._dead is not None:
                    raise self._dead
                self._flush()  # answers to pings
                self._check_open()
                self._receive_some(deadline, what)
                if first_byte == start:
                    first_byte = time.monotonic()
                self._take_events()
            self.counters.emulator_seconds += first_byte - start
            self.counters.wire_seconds += time.monotonic() - first_byte
            return self._inbox.popleft()

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
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> BridgeClosedError:
        self.abort()
        return BridgeClosedError(f"the connection to FCEUX broke: {error}")

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._socket.settimeout(self.timeout)
            try:
                if data:
                    self._socket.sendall(data)
                else:
                    self._socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                # What FCEUX said before it closed tells more than this error.
                if self._protocol.state is ConnectionState.OPEN:
                    self._receive_what_is_there()
                self._check_open()
                raise self._broken(error) from error
