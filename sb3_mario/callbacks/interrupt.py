"""Ctrl-C and SIGTERM that wait for a moment at which everything can be saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from stable_baselines3.common.callbacks import BaseCallback


class InterruptCallback(BaseCallback):
    """Ends training with ``KeyboardInterrupt`` between two rollouts after a signal.

    Between two rollouts every transition is stored and no gradient step is half done. A second
    signal does not wait.

    Example:
        >>> interrupt = InterruptCallback()
        >>> try:
        ...     with interrupt.listening():
        ...         model.learn(1000, callback=interrupt)
        ... except KeyboardInterrupt:
        ...     model.save("stopped")

    Attributes:
        signal: The signal that came, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signal: signal.Signals | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over; only the main thread can, in another one nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if a signal has come."""
        if self.signal is not None:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        # Not print(): the signal may have come in the middle of one.
        os.write(2, b"\nStopping: everything is saved first (again: stop at once).\n")

    def _on_rollout_start(self) -> None:
        self.check()

    def _on_step(self) -> bool:
        return True
