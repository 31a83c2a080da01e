"""What a stranger on the same machine can do to a running FCEUX, and what reaches the disk."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from sb3_mario.emulator import deadlines, protocol
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import BridgeError
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.resources import lua_bridge_dir
from tests.training.trainer import NO_EVALUATION, TINY, trainer

RIGHT = 0x80


def request(token: str, **changes: str) -> bytes:
    """An upgrade request as `Bridge` sends it, with other headers."""
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": protocol.SUBPROTOCOL,
        "Authorization": f"Bearer {token}",
    } | changes
    lines = ["GET / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_to(port: int, data: bytes) -> str:
    with socket.create_connection(("127.0.0.1", port), 5) as stranger:
        stranger.sendall(data)
        return stranger.recv(4096).decode()


@pytest.fixture
def alone(fceux: Fceux) -> Fceux:
    """An FCEUX whose client has left, so that it lets the next one in."""
    fceux.bridge.reset(1, 1)
    fceux.bridge.abort()
    return fceux


# Who is let in


@pytest.mark.real_rom
def test_the_request_of_these_tests_is_let_in(alone: Fceux) -> None:
    assert answer_to(alone.bridge.port, request(alone.bridge.token)).startswith("HTTP/1.1 101 ")


@pytest.mark.real_rom
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": ""}, 401),
        ({"Sec-WebSocket-Protocol": "chat"}, 400),
        ({"X-Long": "x" * 9000}, 431),
    ],
)
def test_a_stranger_is_refused_and_not_told_the_token(
    alone: Fceux, changes: dict[str, str], status: int
) -> None:
    token = alone.bridge.token
    answer = answer_to(alone.bridge.port, request(token, **changes))
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert token not in answer
    alone.bridge = Bridge(alone.bridge.port, token)
    assert alone.bridge.reset(1, 1).ram


@pytest.mark.real_rom
def test_a_second_client_is_told_so_even_with_the_token(fceux: Fceux) -> None:
    fceux.bridge.reset(1, 1)
    answer = answer_to(fceux.bridge.port, request(fceux.bridge.token))
    assert answer.startswith("HTTP/1.1 503 ") and "Another client is connected" in answer
    assert fceux.bridge.step(RIGHT).advanced == 4


# Slow clients


def game_speed(bridge: Bridge, steps: int = 250) -> float:
    """Steps a second."""
    bridge.reset(1, 1)
    start = time.perf_counter()
    for _ in range(steps):
        if bridge.step(RIGHT).ended:
            bridge.reset(1, 1)
    return steps / (time.perf_counter() - start)


class Trickle(threading.Thread):
    """A client that sends a byte every ``seconds`` until it is dropped.

    Attributes:
        seconds: How long that took.
        answer: What it was told.
    """

    def __init__(self, port: int, data: bytes, seconds: float) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self._data, self._pause = data, seconds
        self.seconds, self.answer = 0.0, b""

    def run(self) -> None:
        start = time.monotonic()
        self.socket.settimeout(self._pause)
        for byte in self._data:
            with contextlib.suppress(OSError):
                self.socket.sendall(bytes([byte]))
            try:
                received = self.socket.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                received = b""
            self.answer += received
            if not received:
                break
        self.seconds = time.monotonic() - start
        self.socket.close()


@pytest.mark.real_rom
@pytest.mark.parametrize(("clients", "pause"), [(4, 1.0), (8, 0.02)])
def test_slow_handshakes_are_dropped_and_the_game_does_not_slow_down(
    fceux: Fceux, clients: int, pause: float, capsys: pytest.CaptureFixture[str]
) -> None:
    bridge = fceux.bridge
    game_speed(bridge)
    alone, disturbed = [], []
    slow = [Trickle(bridge.port, request("x" * 4000), pause) for _ in range(clients)]
    alone.append(game_speed(bridge))
    for client in slow:
        client.start()
    start = time.monotonic()
    while time.monotonic() - start < deadlines.HANDSHAKE_SECONDS - 1:
        disturbed.append(game_speed(bridge))
    for client in slow:
        client.join(deadlines.HANDSHAKE_SECONDS + 5)
        assert client.seconds < deadlines.HANDSHAKE_SECONDS + 2
        assert client.answer.startswith(b"HTTP/1.1 408 ")
    alone.append(game_speed(bridge))
    with capsys.disabled():
        print(
            f"\nsteps a second: {max(alone):,.0f} alone, {max(disturbed):,.0f} with {clients} "
            f"clients that send a byte every {pause} s"
        )
    assert max(disturbed) > 0.7 * max(alone)


def let_in(emulator: Fceux) -> socket.socket:
    """A connection whose handshake is done, in place of the bridge's."""
    emulator.bridge.abort()
    client = socket.create_connection(("127.0.0.1", emulator.bridge.port), 5)
    client.sendall(request(emulator.bridge.token))
    assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
    return client


@pytest.mark.real_rom
def test_a_client_that_is_let_in_and_then_sends_single_bytes_is_dropped(
    rom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "PING_SECONDS", 0.5)
    monkeypatch.setattr(deadlines, "TRAINER_SECONDS", 1.5)
    emulator = Fceux(rom)
    try:
        start = time.monotonic()
        with let_in(emulator) as client:
            client.settimeout(0.05)
            received = b""
            for byte in b"\x81\xfe\x03\xe8" + bytes(1004):  # a text of 1,000 bytes
                with contextlib.suppress(OSError):
                    client.sendall(bytes([byte]))
                    received += client.recv(4096)
                if b"no sign of life" in received:
                    break
        assert b"no sign of life from the client for 1.5 seconds" in received
        assert 1.4 < time.monotonic() - start < 1.5 + 2
    finally:
        emulator.kill()


# Sizes


@pytest.mark.real_rom
@pytest.mark.parametrize("size", [65_537, 2**31, 2**62])
def test_a_message_that_is_too_large_is_refused_at_its_header(fceux: Fceux, size: int) -> None:
    fceux.bridge.reset(1, 1)
    with let_in(fceux) as client:
        client.sendall(b"\x81\xff" + size.to_bytes(8, "big") + bytes(4))
        client.settimeout(5)
        answer = client.recv(4096)
    assert answer[0] == 0x88 and int.from_bytes(answer[2:4], "big") == 1009
    fceux.bridge = Bridge(fceux.bridge.port, fceux.bridge.token)
    assert fceux.bridge.reset(1, 1).ram


# The disk


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file, but FCEUX's own output."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "fceux.log"
    }


@pytest.mark.real_rom
def test_no_request_writes_to_the_disk(
    rom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    beside_the_rom = files_below(rom.parent)
    emulator = Fceux(rom)
    try:
        bridge = emulator.bridge
        bridge.reset(1, 1)
        before = files_below(tmp_path)
        for slot in range(bridge.hello()["slots"]):
            bridge.step(0)
            bridge.save(slot)
            bridge.load(slot)
        for world in range(1, 9):
            bridge.reset(world, 1)
        bridge.abort()
        with connect(
            f"ws://127.0.0.1:{bridge.port}/",
            additional_headers={"Authorization": f"Bearer {bridge.token}"},
            subprotocols=[Subprotocol(protocol.SUBPROTOCOL)],
            compression=None,
        ) as client:
            path = str(tmp_path / "written")
            for message in (
                {"type": "save", "slot": path},
                {"type": "save", "slot": f"../../..{path}"},
                {"type": "save", "slot": 0, "file": path},
                {"type": "load", "slot": path, "frame": False},
                {"type": f"save {path}"},
                {"type": "persist", "slot": 0},
                {"type": "__index", "slot": 0},
                {"type": "reset", "world": path, "stage": 1, "noops": 0, "frame": False},
                {"type": f"os.execute('touch {path}')"},
            ):
                client.send(json.dumps({"id": 1} | message))
                answer: dict[str, Any] = json.loads(client.recv())
                assert (answer["type"], answer["code"]) == ("error", "bad_message"), message
        assert files_below(tmp_path) == before
        written = [p for p in Path(f"/proc/{emulator.pid}/fd").iterdir() if opened_to_write(p)]
        assert {p.readlink().name for p in written} <= {"fceux.log"}
    finally:
        emulator.kill()
    assert files_below(rom.parent) == beside_the_rom


def opened_to_write(descriptor: Path) -> bool:
    """Whether an open file is one of the disk, and may be written to."""
    if not descriptor.readlink().is_file():
        return False
    info = (descriptor.parents[1] / "fdinfo" / descriptor.name).read_text()
    return int(info.partition("flags:")[2].split()[0], 8) & 3 != 0


def test_the_lua_scripts_call_nothing_that_opens_a_file_or_runs_code() -> None:
    forbidden = re.compile(
        r"io\.(open|popen|lines|output|input|tmpfile)|os\.(execute|remove|rename|tmpname)"
        r"|(?<![.\w])(loadstring|loadfile|dofile|load)\s*\(|savestate\.(persist|registersave)|\.persist"
    )
    scripts = [path for path in lua_bridge_dir().rglob("*.lua") if "spec" not in path.parts]
    assert len(scripts) > 10
    for path in scripts:
        code = re.sub(r"--.*", "", path.read_text())
        assert not forbidden.search(code), path


# The token


@pytest.mark.real_rom
def test_the_token_of_a_run_is_in_no_file_no_output_and_no_command_line(tmp_path: Path) -> None:
    with trainer(tmp_path, "-n", "100000", *TINY, *NO_EVALUATION, "--verbose", "2") as run:
        run.wait_for_episodes(2)
        (emulator,) = run.emulators()
        environment = Path(f"/proc/{emulator}/environ").read_bytes()
        (token,) = re.findall(rb"SB3_MARIO_TOKEN=([^\0]+)", environment)
        os.kill(emulator, signal.SIGKILL)  # the warning says much, and not that
        run.wait_for_episodes(6)
        (other,) = run.emulators()
        (second,) = re.findall(
            rb"SB3_MARIO_TOKEN=([^\0]+)", Path(f"/proc/{other}/environ").read_bytes()
        )
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (run.process.pid, other)]
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130
    assert len(token) == len(second) == 43 and token != second, "256 random bits for each launch"
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert b"fault 1: " in run.output().encode()
    for secret in (token, second):
        assert not any(secret in content for content in (*contents, *commands))


def test_the_token_is_not_in_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        with pytest.raises(BridgeError) as raised:
            Bridge(server.getsockname()[1], "the-token")
    assert "the-token" not in str(raised.value)
