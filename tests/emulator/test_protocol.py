"""`sb3_mario.emulator.protocol` against the golden bytes that the Lua specs read too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_mario.emulator import protocol
from sb3_mario.emulator.errors import RefusedError, WireError

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "protocol.json").read_text())


def message(golden: dict[str, Any]) -> bytearray:
    """The golden header with a payload of the lengths it names, every byte telling its place."""
    fields = golden["fields"]
    frame = (np.arange(fields["frame_bytes"]) % 251).astype(np.uint8).tobytes()
    ram = (np.arange(fields["ram_bytes"]) % 241).astype(np.uint8).tobytes()
    return bytearray(bytes.fromhex(golden["hex"]) + frame + ram)


@pytest.mark.parametrize("golden", GOLDEN["requests"], ids=lambda golden: golden["name"])
def test_a_request_has_the_golden_bytes(golden: dict[str, Any]) -> None:
    fields = dict(golden["fields"])
    encoded = protocol.encode_request(fields.pop("id"), fields.pop("type"), **fields)
    assert encoded == golden["text"].encode()


@pytest.mark.parametrize("golden", GOLDEN["states"], ids=lambda golden: golden["name"])
def test_a_golden_state_is_read_field_by_field(golden: dict[str, Any]) -> None:
    fields, data = golden["fields"], message(golden)
    state = protocol.decode_state(data, fields["id"])
    for name in ("id", "frame_id", "emulator_frame", "timestamp_us", "advanced"):
        assert getattr(state, name) == fields[name], name
    assert state.ended == bool(fields["flags"] & 2)
    assert state.skipped == bool(fields["flags"] & 4)
    assert state.ram == bytes(data[-2048:])
    if fields["frame_bytes"]:
        assert state.frame is not None
        assert state.frame.shape == (240, 256, 4)
        assert state.frame.tobytes() == bytes(data[44:-2048])
    else:
        assert state.frame is None


def test_the_picture_is_a_view_of_the_message_not_a_copy() -> None:
    data = message(GOLDEN["states"][0])
    frame = protocol.decode_state(data, 1).frame
    assert frame is not None
    data[44] ^= 0xFF
    assert frame[0, 0, 0] == data[44]


@pytest.mark.parametrize(
    ("offset", "value", "says"),
    [
        (0, 0x58, "not a state message"),
        (4, 2, "version 2"),
        (5, 0, "picture"),
        (6, 45, "header of 45 bytes"),
        (8, 9, "request 1, got 9"),
        (33, 9, "bytes of RAM"),
        (37, 9, "picture"),
        (40, 1, "257x240"),
    ],
)
def test_a_wrong_byte_in_the_header_is_named(offset: int, value: int, says: str) -> None:
    data = message(GOLDEN["states"][0])
    data[offset] = value
    with pytest.raises(WireError, match=says):
        protocol.decode_state(data, 1)


@pytest.mark.parametrize("length", [0, 43, 44, 2091, 247_851, 247_853])
def test_a_state_of_the_wrong_length_is_refused(length: int) -> None:
    data = message(GOLDEN["states"][0]) + bytearray(1)
    with pytest.raises(WireError):
        protocol.decode_state(data[:length], 1)


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_bytes_are_refused_as_a_wire_error(data: bytes, message_id: int) -> None:
    with pytest.raises(WireError):
        protocol.decode_state(data, message_id)
    with pytest.raises(WireError):
        protocol.decode_answer(data, message_id)


def test_an_answer_gives_its_fields() -> None:
    assert protocol.decode_answer(b'{"id":3,"type":"save","slot":1}', 3)["slot"] == 1


def test_an_answer_to_another_request_is_refused() -> None:
    with pytest.raises(WireError, match="request 3, got 4"):
        protocol.decode_answer(b'{"id":4,"type":"save"}', 3)


@pytest.mark.parametrize("answered", ["true", "1.0", '"1"', "null"])
def test_the_id_of_an_answer_is_a_whole_number(answered: str) -> None:
    with pytest.raises(WireError, match="expected an answer to request 1, got"):
        protocol.decode_answer(f'{{"id":{answered},"type":"save"}}'.encode(), 1)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_an_answer_in_another_coding_than_utf_8_is_refused(coding: str) -> None:
    with pytest.raises(WireError, match="not JSON"):
        protocol.decode_answer('{"id":1,"type":"save"}'.encode(coding), 1)


def test_an_error_answer_carries_its_code_and_sentence() -> None:
    with pytest.raises(RefusedError, match="slot 9 is empty") as caught:
        protocol.decode_answer(
            b'{"id":1,"type":"error","code":"refused","message":"slot 9 is empty"}', 1
        )
    assert caught.value.code == "refused"


def test_json_nested_too_deeply_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        protocol.decode_answer(b"[" * 100_000, 1)
