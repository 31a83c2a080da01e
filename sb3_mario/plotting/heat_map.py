"""A picture of where along the level episodes end, from the first step of a run to the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sb3_mario.plotting.figures import CAUSES

MAX_ROWS: Final = 40  # more are too thin to be seen
BIN: Final = 32  # width of a cell, pixels of the level
OTHER: Final = "other"  # in place of a cause that has no colour
FAINTEST: Final = 0.2  # opacity of a cell with few episodes
_COLOURS: Final = {cause: colour for cause, (colour, _) in CAUSES.items()} | {OTHER: "#8B4513"}


@dataclass(frozen=True)
class Ends:
    """Ends of episodes.

    Attributes:
        steps: ``(episodes,)``, the run's environment steps at the end of each.
        x: ``(episodes,)``, its largest x, pixels.
        causes: ``(episodes,)`` text: keys of `CAUSES`; any other counts as `OTHER`.
    """

    steps: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]
    causes: npt.NDArray[np.str_]


def ends_heat_map(evaluations: Ends, training: Ends) -> Figure:
    """Draw where episodes end, one row for what lies between two evaluations, the newest on top.

    A cell has the colour of the most frequent cause in it, and is the darker the more of the row's
    episodes end there. Evaluations and training have a panel each over one axis along the level.
    With more than `MAX_ROWS` evaluations a row is several of them.

    Args:
        evaluations: Ends of evaluation episodes, at least one; their steps are the rows' edges.
        training: Ends of training episodes; without any they have no panel.

    Returns:
        The figure, 900 pixels wide at 100 dots an inch.
    """
    panels = {"evaluation": evaluations, "training": training}
    drawn = {name: ends for name, ends in panels.items() if len(ends.x)}
    rows = _row_edges(evaluations.steps)
    columns = np.arange(0, max(ends.x.max() for ends in drawn.values()) + 2 * BIN, BIN)
    figure = Figure(figsize=(9, 1.2 + 2.4 * len(drawn)), dpi=100, layout="constrained")
    all_axes: list[Axes] = list(figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0])
    for axes, (name, ends) in zip(all_axes, drawn.items(), strict=True):
        axes.pcolormesh(columns, rows, _cells(ends, rows, columns), rasterized=True)
        axes.set_ylabel(f"{name}: steps")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(alpha=0.3)
    all_axes[-1].set_xlabel("largest x of the episode, pixels")
    figure.suptitle(
        f"Where episodes end, to step {rows[-1]:,.0f} (darker: more of the row's)", fontsize=10
    )
    causes = {cause for ends in drawn.values() for cause in _known(ends.causes)}
    handles = [Patch(color=_COLOURS[cause], label=cause) for cause in _COLOURS if cause in causes]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    return figure


def _row_edges(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the rows' edges, ``(rows + 1,)``: 0, and steps of evaluations with the last."""
    at = np.unique(steps)
    together = -(-len(at) // MAX_ROWS)
    edges: npt.NDArray[np.float64] = np.concatenate([[0.0], at[::-1][::together][::-1]])
    return edges


def _known(causes: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    return np.where(np.isin(causes, list(CAUSES)), causes, OTHER)


def _cells(
    ends: Ends, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the cells' colours, ``(rows, columns, 4)``, red, green, blue and opacity, 0 to 1.

    Args:
        ends: Ends to count; those outside the rows are left out.
        rows: ``(rows + 1,)`` edges; an end at an edge is of the row before it.
        columns: ``(columns + 1,)`` edges.
    """
    row = np.searchsorted(rows, ends.steps, side="left") - 1
    column = np.searchsorted(columns, ends.x, side="right") - 1
    inside = (row >= 0) & (row < len(rows) - 1) & (column >= 0)
    names = list(_COLOURS)
    cause = np.array([names.index(name) for name in _known(ends.causes)], dtype=np.intp)
    # (causes, rows, columns)
    counts = np.zeros((len(names), len(rows) - 1, len(columns) - 1))
    np.add.at(counts, (cause[inside], row[inside], column[inside]), 1)
    total = counts.sum(axis=0)
    share = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    colours = np.array([to_rgb(_COLOURS[name]) for name in names])
    cells = np.empty((*share.shape, 4))
    cells[..., :3] = colours[counts.argmax(axis=0)]
    # The root lets rare ends be seen beside the place where most of them are.
    darkness = np.sqrt(share / max(share.max(), 1e-9))
    cells[..., 3] = np.where(total > 0, FAINTEST + (1 - FAINTEST) * darkness, 0)
    return cells
