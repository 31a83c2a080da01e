"""The figures: learning curves, where episodes end, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from sb3_mario.plotting.runs import Curve, RunData, curve

Groups = Mapping[str, Sequence[RunData]]

# Told apart without colour too: on paper, and by who does not see it.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES: Final = ("-", "--", "-.", ":")
# Cause of an episode's end -> colour and hatch.
CAUSES: Final = {
    "flag": ("#009E73", ""),
    "enemy": ("#D55E00", "//"),
    "pit": ("#0072B2", ".."),
    "clock": ("#CC79A7", "xx"),
    "warp": ("#F0E442", "**"),
    "stuck": ("#999999", "\\\\"),
    "step_limit": ("#56B4E9", "++"),
    "game_over": ("#000000", "oo"),
    "emulator": ("#E69F00", "--"),
}

RANDOM_RATE: Final = 0.95  # exploration above it is random play
RANDOM_EPISODES: Final = 10  # fewer say nothing of it
RANDOM_WIDTH: Final = 0.8  # of its line, points
LEGEND_WIDTH: Final = 120  # of a line, letters

_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.hashsalt": "sb3-mario",  # the same bytes for the same data
}


def learning_curves(groups: Groups) -> tuple[Figure, dict[str, dict[str, Curve]]]:
    """Draw largest x and flag rate against steps and hours, with a band from seed to seed.

    A thin dashed line in a group's colour is the mean largest x of its episodes of random play,
    where there are `RANDOM_EPISODES` of them.

    Returns:
        The figure, and its curves by group and panel.
    """
    drawn: dict[str, dict[str, Curve]] = {label: {} for label in groups}
    panels = [
        ("max_x", "steps", "largest x, pixels"),
        ("max_x", "hours", "largest x, pixels"),
        ("flag_get", "steps", "episodes that reach the flag"),
        ("flag_get", "hours", "episodes that reach the flag"),
    ]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 6), layout="constrained")
        for axes, (column, against, label) in zip(
            figure.subplots(2, 2, sharey="row").flat, panels, strict=True
        ):
            for number, (name, runs) in enumerate(groups.items()):
                line = curve(runs, column, against)
                drawn[name][f"{column} against {against}"] = line
                _draw_line(axes, line, number, f"{name} ({_seeds(runs)})")
            if column == "max_x":
                _draw_random_play(axes, groups)
            axes.set_xlabel("environment steps" if against == "steps" else "hours")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            if column == "flag_get":
                axes.yaxis.set_major_formatter(PercentFormatter(1))
            if against == "steps":
                axes.xaxis.set_major_locator(MaxNLocator(6))
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        labels = [textwrap.fill(label, LEGEND_WIDTH) for label in labels]
        figure.legend(handles, labels, loc="outside lower center", fontsize=8)
    return figure, drawn


def ends_along_the_level(groups: Groups, last_share: float = 0.25) -> Figure:
    """Draw where the episodes of the last part of each group end, by cause."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 1 + 2 * len(groups)), layout="constrained")
        for axes, (name, runs) in zip(_column(figure, len(groups)), groups.items(), strict=True):
            late = [run.steps >= run.steps[-1] * (1 - last_share) for run in runs]
            x = np.concatenate([run.columns["max_x"][m] for run, m in zip(runs, late, strict=True)])
            causes = np.concatenate(
                [run.columns["end_cause"][m] for run, m in zip(runs, late, strict=True)]
            )
            edges = np.arange(0, max(x.max(), 1) + 64, 64.0)
            present = [cause for cause in CAUSES if cause in causes]
            counts = np.array([np.histogram(x[causes == c], edges)[0] for c in present])
            _stack(axes, edges, counts, present)
            axes.set_title(f"{name}: the last {last_share:.0%} of its steps", fontsize=8)
            axes.set_ylabel("episodes")
            axes.legend(fontsize=8, ncols=len(present))
        figure.axes[-1].set_xlabel("largest x, pixels")
    return figure


def causes_over_time(groups: Groups, parts: int = 20) -> Figure:
    """Draw the share of each cause of an end, along the run."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9, 1 + 2 * len(groups)), layout="constrained")
        for axes, (name, runs) in zip(_column(figure, len(groups)), groups.items(), strict=True):
            steps = np.concatenate([run.steps for run in runs])
            causes = np.concatenate([run.columns["end_cause"] for run in runs])
            edges = np.linspace(0, steps.max(), parts + 1)
            present = [cause for cause in CAUSES if cause in causes]
            counts = np.array([np.histogram(steps[causes == c], edges)[0] for c in present])
            _stack(axes, edges, counts / np.maximum(counts.sum(axis=0), 1), present)
            axes.set_title(name, fontsize=8)
            axes.set_ylabel("share of ends")
            axes.set_ylim(0, 1)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.axes[-1].set_xlabel("environment steps")
    return figure


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG; return the files."""
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    with mpl.rc_context(_STYLE):
        figure.savefig(paths[0], dpi=150)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _draw_line(axes: Axes, line: Curve, number: int, label: str) -> None:
    colour = COLOURS[number % len(COLOURS)]
    axes.plot(line.at, line.mean, STYLES[number % len(STYLES)], color=colour, label=label)
    axes.fill_between(line.at, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


def _draw_random_play(axes: Axes, groups: Groups) -> None:
    """Draw how far each group came at random: it depends on level, game and actions."""
    drawn = False
    for number, runs in enumerate(groups.values()):
        x = np.concatenate(
            [run.columns["max_x"][run.columns["exploration_rate"] > RANDOM_RATE] for run in runs]
        )
        if len(x) >= RANDOM_EPISODES:
            colour = COLOURS[number % len(COLOURS)]
            axes.axhline(float(x.mean()), ls="--", lw=RANDOM_WIDTH, color=colour)
            drawn = True
    if drawn:  # one entry in the legend for all
        axes.plot([], [], ls="--", lw=RANDOM_WIDTH, color="0.4", label="random play")


def _seeds(runs: Sequence[RunData]) -> str:
    seeds = len({run.seed for run in runs})
    text = f"{seeds} seeds" if seeds > 1 else "1 seed"
    return text if len(runs) == seeds else f"{len(runs)} runs, {text}"


def _column(figure: Figure, rows: int) -> list[Axes]:
    return list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def _stack(
    axes: Axes,
    edges: npt.NDArray[np.float64],
    heights: npt.NDArray[Any],
    causes: Sequence[str],
) -> None:
    """Draw a bar for each cause, ``heights`` ``(causes, bars)``, one on the other."""
    bottom = np.zeros(len(edges) - 1)
    for cause, height in zip(causes, heights, strict=True):
        colour, hatch = CAUSES[cause]
        axes.bar(
            edges[:-1], height, np.diff(edges), bottom, align="edge", label=cause,
            color=colour, hatch=hatch, edgecolor="white", linewidth=0.3,
        )  # fmt: skip
        bottom += height
