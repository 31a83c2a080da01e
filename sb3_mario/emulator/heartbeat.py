"""Keeps idle connections alive, and notices when one is dead."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from sb3_mario.emulator import deadlines

if TYPE_CHECKING:
    from sb3_mario.emulator.bridge import Bridge


class Heartbeat(threading.Thread):
    """Calls `Bridge.beat` every `deadlines.PING_SECONDS`, from a thread of its own.

    So a trainer that evaluates or saves for minutes answers its emulators' pings all the same,
    and one that was stopped does not.

    Args:
        bridge: Watched until it is gone, closed, or `stop` is called; it is not kept alive.
    """

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(name="sb3-mario heartbeat", daemon=True)
        self._bridge = weakref.ref(bridge)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let the thread end."""
        self._stopped.set()

    def run(self) -> None:
        """Beat until the bridge is gone or closed."""
        while not self._stopped.wait(deadlines.PING_SECONDS):
            bridge = self._bridge()
            if bridge is None or not bridge.beat():
                return
            del bridge  # or this loop would keep it while it waits
