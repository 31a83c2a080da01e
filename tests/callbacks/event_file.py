"""TensorBoard's file of a run, read back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0}).Reload()


def steps(folder: Path) -> dict[str, list[int]]:
    """Steps of the images and histograms of evaluations, by tag."""
    events = read(folder)
    kinds = (("images", events.Images), ("histograms", events.Histograms))
    return {
        tag: [event.step for event in of_tag(tag)]
        for kind, of_tag in kinds
        for tag in events.Tags()[kind]
        if tag.startswith("eval/")
    }


def image(folder: Path, tag: str, index: int = -1) -> Image.Image:
    event = read(folder).Images(tag)[index]
    picture = Image.open(io.BytesIO(event.encoded_image_string))
    assert picture.size == (event.width, event.height)
    return picture


def histogram(folder: Path, tag: str, index: int = -1) -> Any:
    return read(folder).Histograms(tag)[index].histogram_value


def filled(values: Any) -> dict[tuple[float, float], float]:
    """Bins that are not empty, and what is in them."""
    edges = zip(values.bucket_limit[:-1], values.bucket_limit[1:], strict=True)
    return {bin_: n for bin_, n in zip(edges, values.bucket[1:], strict=True) if n}
