"""What is fuzzed on Python's side: each target makes an input of some bytes and checks the outcome.

A target raises what is not documented, or AssertionError where the outcome is wrong.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, Final
from unittest import mock

from sb3_mario.emulator import protocol
from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import BridgeError, RefusedError, WireError
from tests.fuzz.recipe import Recipe
from tests.fuzz.script_socket import ScriptSocket, state_message

VALUES: Final = [
    *("1", "2", "-1", "1.0", "1e0", "true", "false", "null", '"1"', "[]", "{}", "NaN", "1e999"),
    *('"error"', '"save"', '"\\ud800"', '"\\u0000"', '"\ud800"', '"é"', "4294967295", "9" * 5000),
    *("[" * 20 + "]" * 20, "[" * 100_000, '{"id":1}'),
]
NAMES: Final = ["id", "type", "code", "message", "slot", ""]


def state(data: bytes) -> None:
    """``decode_state`` takes a message if its header and length are right, and no other."""
    recipe = Recipe(data)
    change = recipe.below(8)
    at, byte = recipe.below(protocol.HEADER.size), bytes([recipe.below(256)])
    message_id = recipe.pick([1, 0, protocol.MAX_ID, recipe.integer(4)])
    message = state_message(
        message_id,
        recipe.integer(4),
        recipe.integer(4),
        recipe.below(4) == 3,
        flags=recipe.below(128) * 2,
    )
    if change == 1:
        message = recipe.mutate(message[:48]) + message[48:]
    elif change == 2:
        message = message[: recipe.pick([at, recipe.below(60_000)])]
    elif change == 3:
        message = recipe.take(100)
    elif change == 4:
        message += byte
    elif change >= 5:
        message = message[:at] + byte + message[at + 1 :]
    try:
        found = protocol.decode_state(message, message_id)
    except WireError:
        assert not _is_state(message, message_id), "a right state is refused"
        return
    assert _is_state(message, message_id), "a wrong state is taken"
    assert (found.id, found.ram) == (message_id, message[-2048:])
    assert found.frame_id == _number(message, 12, 4)
    assert found.timestamp_us == _number(message, 24, 8)
    if message[5] & 1:
        assert found.frame is not None and found.frame.shape == (240, 256, 4)
    else:
        assert found.frame is None


def answer(data: bytes) -> None:
    """``decode_answer`` takes JSON objects in UTF-8 with the right id, and no others."""
    recipe = Recipe(data)
    kind = recipe.below(8)
    if kind == 7:
        message = recipe.take(100)
    elif kind == 6:
        message = recipe.pick(VALUES).encode("utf-8", "surrogatepass")
    else:
        members = [("id", recipe.pick(VALUES)), ("type", recipe.pick(VALUES))]
        members += [(recipe.pick(NAMES), recipe.pick(VALUES)) for _ in range(recipe.below(3))]
        text = "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"
        coding = recipe.pick(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"])
        message = recipe.mutate(text.encode(coding, "surrogatepass"))
    message_id = recipe.pick([1, 2, 0, protocol.MAX_ID])
    read = _json(message)
    right = isinstance(read, dict) and type(read.get("id")) is int and read["id"] == message_id
    try:
        found = protocol.decode_answer(message, message_id)
    except RefusedError:
        assert right and read["type"] == "error", "a refusal out of nothing"
    except WireError:
        assert not right, "a right answer is refused"
    else:
        assert right and read.get("type") != "error", "a wrong answer is taken"
        assert found.keys() == read.keys()


def client(data: bytes) -> None:
    """The client, whatever the script sends: documented errors, and only states asked for."""
    recipe = Recipe(data)
    script = ScriptSocket(recipe)
    with mock.patch.object(socket, "create_connection", return_value=script):
        try:
            bridge = Bridge(1, "token")
        except BridgeError:
            assert not script.faultless, "a right handshake fails"
            assert script.fileno() == -1, "a connection that failed is left open"
            return
    for _ in range(6 - recipe.below(6)):
        picture = recipe.below(2) == 0
        kind = recipe.pick(["step", "reset", "save", "load", "hello", "redraw"])
        before = bridge.frame_id
        if before == -1:
            kind = "reset"
        script.asked = (kind, picture)
        requests: dict[str, Callable[[], Any]] = {
            "step": lambda: bridge.step(0, 4, frame=picture),  # noqa: B023 - called at once
            "reset": lambda: bridge.reset(1, 1, frame=picture),  # noqa: B023
            "load": lambda: bridge.load(frame=picture),  # noqa: B023
            "save": bridge.save,
            "hello": bridge.hello,
            "redraw": bridge.redraw,
        }
        try:
            result = requests[kind]()
        except RefusedError:
            assert not script.faultless, "refused out of nothing"
            continue
        except BridgeError:
            assert not script.faultless, "a right answer is not understood"
            assert bridge.closed, "the connection cannot go on, but is not closed"
            break
        if kind == "redraw":
            assert before in script.drawn, "another frame was drawn"
        if isinstance(result, protocol.State):
            assert result.id == script.requests, "a state for another request"
            assert result.frame_id == bridge.frame_id
            frame = b"" if result.frame is None else result.frame.tobytes()
            assert frame + result.ram in script.payloads[result.id], "a state that was not sent"
            if kind == "step":
                assert result.frame_id == before + result.advanced
            else:
                assert result.frame_id > before
    bridge.close()
    assert bridge.closed


TARGETS: Final = {"state": state, "answer": answer, "client": client}


def _number(message: bytes, offset: int, size: int) -> int:
    return int.from_bytes(message[offset : offset + size], "little")


def _is_state(message: bytes, message_id: int) -> bool:
    """Whether a message is what lua_bridge/messages.lua says of a state, read another way."""
    if len(message) < 44:
        return False
    picture = 245_760 if message[5] & 1 else 0
    return (
        message[:5] == b"SB3M\x01"
        and _number(message, 6, 2) == 44
        and _number(message, 8, 4) == message_id
        and _number(message, 32, 4) == 2048
        and _number(message, 36, 4) == picture
        and _number(message, 40, 2) == 256
        and _number(message, 42, 2) == 240
        and len(message) == 44 + picture + 2048
    )


def _json(message: bytes) -> Any:
    try:
        return json.loads(message.decode())
    except (ValueError, RecursionError):
        return None
