"""A short video of an episode as an animated GIF, which TensorBoard plays among its images."""

from __future__ import annotations

import io
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

MAX_PICTURES: Final = 256
PICTURE_MS: Final = 70  # a GIF counts in hundredths of a second; a step of 4 frames takes 67 ms
LAST_PICTURE_MS: Final = 1000
COLOURS: Final = 32  # the game shows about 20 at a time
SAMPLES: Final = 16  # pictures that the colours are chosen from


class Clip:
    """Pictures of an episode of any length: of a long one every second, fourth, ... is kept.

    With 256 pictures of the game, 128x120, the GIF has about 350 kB.
    """

    def __init__(self) -> None:
        self._pictures: list[npt.NDArray[np.uint8]] = []
        self._steps = 0
        self._stride = 1  # steps from a kept picture to the next

    def __len__(self) -> int:
        return len(self._pictures)

    def skips(self) -> bool:
        """Count a step, and return whether its picture would not be kept."""
        self._steps += 1
        return (self._steps - 1) % self._stride != 0

    def add(self, picture: npt.NDArray[np.uint8]) -> None:
        """Keep the picture of the step that was counted last.

        Args:
            picture: ``(height, width, 3)`` uint8, red, green, blue; half of both is kept.
        """
        height, width = picture.shape[:2]
        # Mixed, not picked: text and bricks stay what they are.
        size = (width // 2, height // 2)
        small: npt.NDArray[Any] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        self._pictures.append(small)
        if len(self._pictures) > MAX_PICTURES:
            del self._pictures[1::2]
            self._stride *= 2

    def gif(self) -> tuple[bytes, tuple[int, int]]:
        """Return the GIF, which is played over and over, and its height and width, pixels.

        Raises:
            ValueError: There is no picture.
        """
        if not self._pictures:
            raise ValueError("a clip without pictures")
        samples = self._pictures[:: -(-len(self._pictures) // SAMPLES)]
        palette = Image.fromarray(np.concatenate(samples)).quantize(COLOURS)
        # One palette, and no dither: what stands still in the picture costs nothing then.
        first, *others = (
            Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
            for picture in self._pictures
        )
        durations = [PICTURE_MS] * len(others) + [LAST_PICTURE_MS]
        file = io.BytesIO()
        options: dict[str, Any] = {"save_all": True, "append_images": others, "loop": 0}
        first.save(file, "GIF", duration=durations, **options)
        return file.getvalue(), (first.height, first.width)
