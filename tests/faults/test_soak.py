"""The soak in short; `soak` says what it checks."""

from __future__ import annotations

import pytest

from tests.faults import soak

pytestmark = [pytest.mark.real_rom, pytest.mark.filterwarnings("ignore:fault ")]


def test_a_short_soak_finds_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    result = soak.soak(20_000, faults=4)
    assert result.problems() == []
    assert result.frames >= 20_000 and sum(result.faults.values()) == 4
    assert result.compared > 4_000 and result.lost <= 4
    assert result.mismatches == 0
    with capsys.disabled():
        print(f"\n{result.frames} frames, {result.compared} compared, faults {result.faults}")


def test_a_soak_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    known = soak.known_episodes

    def wrong(seed: int) -> dict[int, soak.Known]:
        episodes = known(seed)
        for episode in episodes.values():
            # As if the tenth picture were shown one step too early.
            nine, ten = episode.shown[9], episode.shown[10]
            episode.shown[9] = (nine[0], ten[1], nine[2])
        return episodes

    monkeypatch.setattr(soak, "known_episodes", wrong)
    result = soak.soak(2_000, faults=0)
    assert result.wrong > 0
    assert "results belong to another moment" in result.problems()[0]
