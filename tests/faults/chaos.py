"""Breaks emulators at random moments, and remembers how often."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from sb3_mario.emulator.fceux import Fceux

JITTER_SECONDS: Final = 0.02  # longer than a step, so that a fault may come anywhere in one


def kill(fceux: Fceux) -> None:
    os.kill(fceux.pid, signal.SIGKILL)


def stop(fceux: Fceux) -> None:
    os.kill(fceux.pid, signal.SIGSTOP)


def cut(fceux: Fceux) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        fceux.bridge._socket.shutdown(socket.SHUT_RDWR)


FAULTS: Final[dict[str, Callable[[Fceux], None]]] = {"kill": kill, "stop": stop, "cut": cut}


class Chaos(threading.Thread):
    """Breaks one of the emulators of this process soon after each of some steps.

    Args:
        moments: Numbers of steps, rising.
        steps: Tells how many steps were made.
        targets: Returns the emulators to choose from.
        seed: Of the choices.

    Attributes:
        done: Faults by their names.
        errors: What went wrong in the thread.
    """

    def __init__(
        self,
        moments: Sequence[int],
        steps: Callable[[], int],
        targets: Callable[[], list[Fceux]],
        seed: int,
    ) -> None:
        super().__init__(name="chaos", daemon=True)
        self.done: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        self._moments, self._steps, self._targets = moments, steps, targets
        self._random = random.Random(seed)
        # Weakly, so that what they hold goes with them.
        self._broken: weakref.WeakSet[Fceux] = weakref.WeakSet()
        self._stopped = threading.Event()

    def stop_soon(self) -> None:
        self._stopped.set()
        self.join(30)

    def run(self) -> None:
        try:
            for moment in self._moments:
                while self._steps() < moment:
                    if self._stopped.wait(0.001):
                        return
                time.sleep(self._random.uniform(0, JITTER_SECONDS))
                self._break_one()
        except BaseException as error:
            self.errors.append(error)

    def _break_one(self) -> None:
        while True:
            # One that is broken already, and not yet noticed, would not be noticed twice; one that
            # is being started or closed by the other thread has no connection.
            whole = [
                fceux
                for fceux in self._targets()
                if fceux not in self._broken and fceux.is_running() and not fceux.bridge.closed
            ]
            if whole:
                break
            if self._stopped.wait(0.001):
                return
        fceux = self._random.choice(whole)
        name = self._random.choice(sorted(FAULTS))
        self._broken.add(fceux)
        FAULTS[name](fceux)
        self.done[name] += 1
