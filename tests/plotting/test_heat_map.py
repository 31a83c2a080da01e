"""The heat map of ends: rows, columns and colours are those of the episodes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from sb3_mario.plotting.figures import CAUSES
from sb3_mario.plotting.heat_map import BIN, FAINTEST, MAX_ROWS, OTHER, Ends, ends_heat_map

NOTHING = Ends(np.zeros(0), np.zeros(0), np.zeros(0, np.str_))


def ends(*episodes: tuple[float, float, str]) -> Ends:
    steps, x, causes = zip(*episodes, strict=True)
    return Ends(np.array(steps, float), np.array(x, float), np.array(causes))


def cells(evaluations: Ends, training: Ends = NOTHING, panel: int = 0) -> np.ndarray:
    """Return a panel's colours, ``(rows, columns, 4)``."""
    axes = ends_heat_map(evaluations, training).axes[panel]
    return np.asarray(axes.collections[0].get_array())


def row_edges(evaluations: Ends) -> list[float]:
    mesh = ends_heat_map(evaluations, NOTHING).axes[0].collections[0]
    return list(mesh.get_coordinates()[:, 0, 1])  # type: ignore[attr-defined]


def test_an_episode_is_in_the_row_that_its_evaluation_ends_and_the_column_of_its_x() -> None:
    got = cells(ends((100, 0, "pit"), (200, 3 * BIN, "enemy"), (200, 3 * BIN - 1, "flag")))
    assert got.shape[0] == 2
    for row, column, cause in ((0, 0, "pit"), (1, 3, "enemy"), (1, 2, "flag")):
        assert tuple(got[row, column, :3]) == to_rgb(CAUSES[cause][0])
    assert set(zip(*got[..., 3].nonzero(), strict=True)) == {(0, 0), (1, 2), (1, 3)}


def test_training_episodes_are_between_the_evaluations() -> None:
    evaluations = ends((100, 50, "pit"), (200, 50, "pit"))
    training = ends((1, 0, "pit"), (100, 40, "pit"), (101, 70, "pit"), (201, 99, "pit"))
    got = cells(evaluations, training, panel=1)
    filled = set(zip(*got[..., 3].nonzero(), strict=True))
    assert filled == {(0, 0), (0, 1), (1, 2)}, "what came after the last evaluation is left out"


def test_darker_is_more_of_the_rows_episodes_and_the_colour_that_of_most() -> None:
    got = cells(ends(*[(9, 0, "pit")] * 5, *[(9, 0, "flag")] * 4, (9, 99, "flag"), (10, 0, "flag")))
    assert tuple(got[0, 0, :3]) == to_rgb(CAUSES["pit"][0])
    assert got[1, 0, 3] == 1, "all of its row"
    assert got[0, 0, 3] == pytest.approx(FAINTEST + (1 - FAINTEST) * 0.9**0.5)
    assert got[0, 3, 3] == pytest.approx(FAINTEST + (1 - FAINTEST) * 0.1**0.5)


def test_many_evaluations_share_rows_and_the_last_is_at_the_top() -> None:
    few = ends(*((10.0 * n, 0, "pit") for n in range(1, MAX_ROWS + 1)))
    assert row_edges(few) == [0.0, *few.steps]
    many = ends(*((10.0 * n, 0, "pit") for n in range(1, 2 * MAX_ROWS + 2)))
    edges = row_edges(many)
    assert len(edges) - 1 <= MAX_ROWS and edges[-1] == many.steps[-1] and edges[0] == 0
    assert edges == sorted(edges)


def test_a_cause_without_a_colour_is_another() -> None:
    figure = ends_heat_map(ends((1, 0, "lightning"), (1, 0, "")), NOTHING)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [OTHER]


def test_the_legend_has_the_causes_of_both_panels() -> None:
    figure = ends_heat_map(ends((1, 0, "pit")), ends((1, 0, "flag"), (1, 0, "enemy")))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["flag", "enemy", "pit"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["evaluation: steps", "training: steps"]


@pytest.mark.parametrize(("training", "height"), [(NOTHING, 360), (ends((5, 9, "pit")), 600)])
def test_the_picture_is_as_large_as_said(training: Ends, height: int) -> None:
    png = io.BytesIO()
    ends_heat_map(ends((9, 10, "pit")), training).savefig(png, format="png")
    assert Image.open(png).size == (900, height)
