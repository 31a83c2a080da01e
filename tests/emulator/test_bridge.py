"""`sb3_mario.emulator.bridge` with the real FCEUX, and with faults that it never shows."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import ServerConnection

from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import (
    BridgeClosedError,
    BridgeError,
    BridgeTimeoutError,
    RefusedError,
    SyncError,
    WireError,
)
from sb3_mario.emulator.fceux import Fceux
from tests.emulator.fake_script import TOKEN, Behaviour, script, state

RIGHT, A_RIGHT = 0x80, 0x81


def request_of(connection: ServerConnection) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(connection.recv())
    return request


@pytest.mark.real_rom
class TestWithFceux:
    def test_hello_tells_what_runs(self, fceux: Fceux) -> None:
        hello = fceux.bridge.hello()
        assert hello["emulator"] == "FCEUX"
        assert hello["protocol"] == "sb3-mario.v1"
        assert (hello["width"], hello["height"]) == (256, 240)
        assert len(hello["rom_md5"]) == 32

    def test_a_step_runs_the_frames_asked_for(self, fceux: Fceux) -> None:
        start = fceux.bridge.reset(1, 1)
        for repeat in (1, 4, 30):
            after = fceux.bridge.step(RIGHT, repeat)
            assert after.advanced == repeat
            assert after.frame_id == start.frame_id + repeat
            start = after
        assert fceux.bridge.counters.frames == 35
        assert fceux.bridge.counters.mismatches == 0

    def test_the_picture_belongs_to_the_memory_of_its_message(self, fceux: Fceux) -> None:
        # The clock's last digit in memory is the digit that the picture shows: the same digit
        # always looks the same, and different digits look different.
        fceux.bridge.reset(1, 1)
        seen: dict[int, bytes] = {}
        for _ in range(150):
            shown = fceux.bridge.step(0, 4)
            assert shown.frame is not None
            # Clock digits are drawn one frame after they change in memory.
            later = fceux.bridge.step(0, 1)
            assert later.frame is not None
            if later.ram[0x7FA] != shown.ram[0x7FA]:
                continue
            digit = later.frame[24:32, 224:232].tobytes()
            assert seen.setdefault(later.ram[0x7FA], digit) == digit
        assert len(seen) == 10
        assert len(set(seen.values())) == 10

    def test_a_step_without_a_picture_brings_the_same_memory(self, fceux: Fceux) -> None:
        fceux.bridge.reset(1, 1)
        with_picture = [fceux.bridge.step(A_RIGHT).ram for _ in range(20)]
        fceux.bridge.reset(1, 1)
        without = [fceux.bridge.step(A_RIGHT, frame=False) for _ in range(20)]
        assert all(state.frame is None for state in without)
        assert [state.ram for state in without] == with_picture

    def test_a_restored_state_continues_as_the_first_time(self, fceux: Fceux) -> None:
        bridge = fceux.bridge
        rng = np.random.default_rng(0)
        buttons = [int(mask) for mask in rng.choice([0, RIGHT, A_RIGHT, 0x82, 0x40], 200)]
        bridge.reset(1, 1, noops=7)
        for mask in buttons[:50]:
            kept = bridge.step(mask)
        bridge.save(5)

        def play_on() -> list[tuple[bytes, bytes]]:
            states = []
            for mask in buttons[50:]:
                after = bridge.step(mask)
                assert after.frame is not None
                states.append((after.ram, after.frame.tobytes()))
                if after.ended:
                    break
            return states

        first = play_on()
        restored = bridge.load(5)
        assert restored.ram == kept.ram
        assert np.array_equal(restored.frame, kept.frame)
        assert play_on() == first
        assert len(first) > 30

    def test_a_refused_request_changes_nothing(self, fceux: Fceux) -> None:
        bridge = fceux.bridge
        before = bridge.reset(1, 1)
        for wrong in (
            lambda: bridge.step(256),
            lambda: bridge.step(0, 0),
            lambda: bridge.load(9),
            lambda: bridge.reset(9, 1),
            lambda: bridge.save(64),
            lambda: bridge.redraw(),  # without a screen
        ):
            with pytest.raises(RefusedError):
                wrong()
        after = bridge.step(0, 1)
        assert after.frame_id == before.frame_id + 1

    def test_a_wrong_token_is_refused_and_the_right_client_goes_on(self, fceux: Fceux) -> None:
        fceux.bridge.reset(1, 1)
        port = fceux.bridge.port
        with pytest.raises(BridgeError, match="401"):
            Bridge(port, "wrong")
        assert fceux.bridge.step(RIGHT).advanced == 4

    def test_a_second_client_is_told_so(self, fceux: Fceux) -> None:
        with pytest.raises(BridgeError, match="503"):
            Bridge(fceux.bridge.port, fceux.bridge.token)
        fceux.bridge.reset(1, 1)

    def test_garbage_closes_only_the_connection_it_came_on(self, fceux: Fceux) -> None:
        fceux.bridge.reset(1, 1)
        with socket.create_connection(("127.0.0.1", fceux.bridge.port), 5) as stranger:
            stranger.sendall(bytes(range(256)) * 40)
            stranger.settimeout(10)
            assert stranger.recv(100).startswith(b"HTTP/1.1 4")
        assert fceux.bridge.step(RIGHT).advanced == 4

    def test_a_client_that_left_can_come_back_to_the_same_emulator(self, fceux: Fceux) -> None:
        bridge = fceux.bridge
        bridge.reset(1, 1)
        before = bridge.step(RIGHT, 30)
        bridge.abort()
        again = Bridge(bridge.port, bridge.token)
        after = again.reset(1, 1)
        assert after.frame_id > before.frame_id
        fceux.bridge = again


def connect_and_reset(behaviour: Behaviour, **options: float) -> None:
    with script(behaviour) as port:
        bridge = Bridge(port, TOKEN, **options)
        try:
            bridge.reset(1, 1)
            bridge.step(0)
        finally:
            assert bridge.closed or bridge.frame_id >= 0
            bridge.abort()


class TestFaults:
    def test_a_state_for_another_request_is_an_error(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(state(request_of(connection)["id"] + 1))

        with pytest.raises(WireError, match="expected the state for request"):
            connect_and_reset(behaviour)

    @pytest.mark.parametrize("frame_id", [3, 5, 0])
    def test_a_state_of_another_frame_is_an_error(self, frame_id: int) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(state(request_of(connection)["id"]))
            connection.send(state(request_of(connection)["id"], frame_id=frame_id, advanced=4))

        with pytest.raises(SyncError, match=f"frame {frame_id}, 4 frames run"):
            connect_and_reset(behaviour)

    def test_a_mismatch_is_counted_and_closes_the_connection(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(state(request_of(connection)["id"]))
            connection.send(state(request_of(connection)["id"], frame_id=9, advanced=4))

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            bridge.reset(1, 1)
            with pytest.raises(SyncError):
                bridge.step(0)
            assert bridge.counters.mismatches == 1
            assert bridge.closed
            with pytest.raises(BridgeClosedError):
                bridge.step(0)

    def test_a_state_without_the_picture_asked_for_is_an_error(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(state(request_of(connection)["id"], frame_id=4, flags=0))

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            with pytest.raises(WireError, match="frame 4 came without its picture"):
                bridge.reset(1, 1, frame=True)
            assert bridge.closed

    def test_json_in_place_of_a_state_is_an_error(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            request = request_of(connection)
            connection.send(json.dumps({"id": request["id"], "type": "reset"}))

        with pytest.raises(WireError, match="expected a state, got JSON"):
            connect_and_reset(behaviour)

    def test_silence_is_noticed_within_the_deadline(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            request_of(connection)
            time.sleep(1)

        with pytest.raises(BridgeTimeoutError, match=r"no answer from FCEUX for 0\.2 seconds"):
            connect_and_reset(behaviour, timeout=0.2)

    def test_half_a_picture_then_silence_is_noticed(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            message = state(request_of(connection)["id"])
            connection.socket.sendall(b"\x82\x7f" + len(message).to_bytes(8, "big"))
            connection.socket.sendall(message[:100_000])
            time.sleep(1)

        with pytest.raises(BridgeTimeoutError):
            connect_and_reset(behaviour, timeout=0.3)

    def test_a_connection_cut_in_the_middle_of_a_picture_is_an_error(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            message = state(request_of(connection)["id"])
            connection.socket.sendall(b"\x82\x7f" + len(message).to_bytes(8, "big"))
            connection.socket.sendall(message[:100_000])
            connection.socket.shutdown(socket.SHUT_RDWR)

        with pytest.raises(BridgeClosedError):
            connect_and_reset(behaviour)

    def test_a_close_frame_is_reported_with_its_reason(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            request_of(connection)
            connection.close(1011, "the game is on fire")

        with pytest.raises(BridgeClosedError, match=r"1011.*the game is on fire"):
            connect_and_reset(behaviour)

    def test_a_message_over_the_limit_is_refused(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(state(request_of(connection)["id"]) + b"x")
            time.sleep(0.5)

        with pytest.raises(BridgeClosedError, match="1009"):
            connect_and_reset(behaviour)

    def test_pings_are_answered_while_waiting(self) -> None:
        answered = []

        def behaviour(connection: ServerConnection) -> None:
            request = request_of(connection)
            answered.append(connection.ping().wait(5))
            connection.send(state(request["id"]))
            request = request_of(connection)
            connection.send(state(request["id"], frame_id=4, advanced=4))

        connect_and_reset(behaviour)
        assert answered == [True]

    def test_a_picture_sent_in_small_pieces_arrives_whole(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(state(request_of(connection)["id"]))
            message = state(request_of(connection)["id"], frame_id=4, advanced=4, fill=200)
            wire = b"\x82\x7f" + len(message).to_bytes(8, "big") + message
            for start in range(0, len(wire), 9973):
                connection.socket.sendall(wire[start : start + 9973])
                time.sleep(0.002)

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            bridge.reset(1, 1)
            frame = bridge.step(0).frame
            assert frame is not None
            assert frame.min() == frame.max() == 200
            bridge.abort()

    def test_another_version_of_the_script_is_named(self) -> None:
        with (
            script(lambda connection: None, subprotocol="sb3-mario.v9") as port,
            pytest.raises(BridgeError, match=r"HTTP 400|sb3-mario\.v1"),
        ):
            Bridge(port, TOKEN)

    def test_nothing_listening_is_named_with_its_port(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        with pytest.raises(BridgeError, match=f"cannot connect to FCEUX at 127.0.0.1:{port}"):
            Bridge(port, TOKEN)

    def test_a_request_while_a_step_is_under_way_is_refused(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(state(request_of(connection)["id"]))
            time.sleep(0.3)

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            bridge.reset(1, 1)
            bridge.send_step(0)
            with pytest.raises(BridgeError, match="a step is under way"):
                bridge.hello()
            bridge.abort()

    def test_a_close_frame_behind_an_answer_ends_the_next_request(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            answer = json.dumps({"id": request_of(connection)["id"], "type": "save"}).encode()
            goodbye = b"\x88\x05\x03\xe8bye"
            connection.socket.sendall(bytes([0x81, len(answer)]) + answer + goodbye)
            time.sleep(0.3)

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            bridge.save()
            with pytest.raises(BridgeClosedError, match=r"1000.*bye"):
                bridge.save()
            assert bridge.closed

    @pytest.mark.parametrize("request_name", ["save", "reset"])
    def test_an_answer_to_another_request_closes_the_connection(self, request_name: str) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(json.dumps({"id": request_of(connection)["id"] + 1, "type": "save"}))

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            with pytest.raises(WireError, match="expected an answer to request 1, got 2"):
                bridge.save() if request_name == "save" else bridge.reset(1, 1)
            assert bridge.closed

    def test_a_script_that_refuses_to_close_is_left_all_the_same(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            error = {"id": request_of(connection)["id"], "type": "error", "code": "refused"}
            connection.send(json.dumps(error))

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            bridge.close()
            assert bridge.closed

    def test_a_script_that_speaks_before_it_is_asked_is_not_believed(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(json.dumps({"id": 0, "type": "save"}))
            time.sleep(0.3)

        with script(behaviour) as port, pytest.raises(WireError, match=r"before it was|got 0"):
            Bridge(port, TOKEN).save()

    def test_json_in_a_binary_message_is_no_answer(self) -> None:
        def behaviour(connection: ServerConnection) -> None:
            connection.send(json.dumps({"id": request_of(connection)["id"]}).encode())

        with script(behaviour) as port:
            bridge = Bridge(port, TOKEN)
            with pytest.raises(WireError, match="got binary data"):
                bridge.save()
            assert bridge.closed
