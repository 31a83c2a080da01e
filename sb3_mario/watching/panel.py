"""A picture of the game beside what the agent sees and thinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from sb3_mario.watching.insight import Insight

Picture = npt.NDArray[np.uint8]

SCALE: Final = 3  # of the game's picture
WIDTH: Final = 480  # of the column beside it
MARGIN: Final = 16
LINE: Final = 22
COLUMNS: Final = 4  # of the stacked frames; more where they would leave no room
BACKGROUND: Final = (24, 24, 28)
TEXT: Final = (230, 230, 230)
DIM: Final = (120, 120, 125)
ACCENT: Final = (0, 158, 115)  # of the action taken, and of what is above 0
NEGATIVE: Final = (213, 94, 0)


def draw(
    picture: Picture,
    observation: Any,
    insight: Insight,
    actions: Sequence[str],
    taken: int,
    lines: Sequence[str],
) -> Picture:
    """Return the panel.

    Args:
        picture: The game's, ``(240, 256, 3)`` uint8 RGB.
        observation: What the agent saw when it chose ``taken``.
        insight: What the network said of it.
        actions: Names of the actions.
        taken: The action.
        lines: Text for the column's head.

    Returns:
        ``(720, 1248, 3)`` uint8 RGB.
    """
    height = picture.shape[0] * SCALE
    game: Any = cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_NEAREST)
    if insight.saliency is not None:
        game = _with_saliency(game, insight.saliency)
    column: Any = np.full((height, WIDTH, 3), BACKGROUND, np.uint8)
    y = MARGIN + LINE // 2
    for line in lines:
        _text(column, line, MARGIN, y)
        y += LINE
    below = (len(actions) + 1) * LINE  # of the bars
    if insight.value is not None:
        below += LINE + MARGIN
    y = _draw_frames(column, observation, y, height - below)
    if insight.value is not None:
        _text(column, f"V {insight.value:8.2f}", MARGIN, y + LINE)
        y += LINE + MARGIN
    _draw_bars(column, insight, actions, taken, y)
    return np.hstack([game, column]).astype(np.uint8)


def _with_saliency(game: Any, saliency: npt.NDArray[np.float32]) -> Any:
    """Redden what matters, as Wang et al. 2016, figure 2."""
    mask: Any = cv2.resize(saliency, (game.shape[1], game.shape[0]), interpolation=cv2.INTER_LINEAR)
    mask = cv2.GaussianBlur(mask, (0, 0), 6)
    mask = (mask / max(float(mask.max()), 1e-6))[:, :, None] * 0.6
    return (game * (1 - mask) + np.array([255, 40, 40]) * mask).astype(np.uint8)


def _draw_frames(column: Any, observation: Any, top: int, bottom: int) -> int:
    """Draw the stack, oldest first, as large as fits above ``bottom``; return where it ends."""
    stack = observation
    if isinstance(observation, dict):
        stack = observation.get("pixels")
        if stack is None:
            # Kinds of cells, spread over the grays.
            tiles = observation["tiles"]
            stack = (tiles.astype(np.uint16) * (255 // 8)).astype(np.uint8)
    columns = COLUMNS
    while top + _rows(len(stack), columns) * _pitch(columns) > bottom and columns < len(stack):
        columns += 1
    pitch = _pitch(columns)
    size = pitch - MARGIN * COLUMNS // columns
    for number, frame in enumerate(stack):
        row, place = divmod(number, columns)
        x, y = MARGIN + place * pitch, top + row * pitch
        small = cv2.resize(frame, (size, size), interpolation=cv2.INTER_NEAREST)
        column[y : y + size, x : x + size] = small[:, :, None]
    return top + _rows(len(stack), columns) * pitch


def _rows(frames: int, columns: int) -> int:
    return -(-frames // columns)


def _pitch(columns: int) -> int:
    """Return the pixels from one stacked frame to the next."""
    return (WIDTH - MARGIN) // columns


def _draw_bars(column: Any, insight: Insight, actions: Sequence[str], taken: int, top: int) -> None:
    """Draw a bar for each action: its advantage, or its Q-value where there is none."""
    values = insight.q_values if insight.advantages is None else insight.advantages
    name = "Q" if insight.advantages is None else "advantage"
    largest = max(float(np.abs(values).max()), 1e-6)
    middle, half = MARGIN + 240, 80
    numbers = middle + half + MARGIN
    _text(column, name, middle - half, top, DIM)
    _text(column, "Q", numbers, top, DIM)
    for number, (action, value) in enumerate(zip(actions, values.tolist(), strict=True)):
        y = top + (number + 1) * LINE
        _text(column, action, MARGIN, y, TEXT if number == taken else DIM)
        end = middle + int(half * value / largest)
        colour = ACCENT if value > 0 else NEGATIVE
        cv2.rectangle(column, (middle, y - 12), (end, y), colour, cv2.FILLED)
        q_value = f"{insight.q_values[number]:.2f}"
        _text(column, q_value, numbers, y, TEXT if number == taken else DIM)


def _text(image: Any, text: str, x: int, y: int, colour: tuple[int, int, int] = TEXT) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
