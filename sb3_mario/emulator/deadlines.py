"""Every interval and deadline of the connection to an emulator, in seconds.

Both sides have theirs from here: the launcher hands FCEUX what its Lua script needs. So long does
it take at most until the one side notices what has become of the other:

=================================  ===============================================================
FCEUX or the trainer was killed    at once: the system closes its connections. FCEUX ends with the
                                   trainer on Linux, else after `ALONE_SECONDS`
FCEUX stands still, or the         while an answer is awaited `ANSWER_SECONDS` (the environment's
connection is half open            ``timeout``), else `EMULATOR_SECONDS` and one `PING_SECONDS`
the trainer stands still, or the   `TRAINER_SECONDS`, then FCEUX closes the connection, and ends
connection is half open            `ALONE_SECONDS` later. A shorter standstill changes nothing
=================================  ===============================================================

While nothing is asked for, each side pings the other. Any message is a sign of life, single bytes
are none. A side's own standstill is not held against the other.
"""

from __future__ import annotations

from typing import Final

START_SECONDS: Final = 30.0
"""Until a started FCEUX must be ready."""

SCRIPT_SECONDS: Final = 10.0
"""For FCEUX to run a script without a game; it takes a tenth of a second."""

ANSWER_SECONDS: Final = 20.0
"""For each answer. The longest, a scene of 1,000 frames at the game's own speed, takes 17."""

PING_SECONDS: Final = 5.0
"""Silence after which the other side is pinged."""

EMULATOR_SECONDS: Final = 15.0
"""Silence, while nothing is asked of it, after which FCEUX is dead."""

TRAINER_SECONDS: Final = 60.0
"""Silence after which the trainer is dead; it may have more to do than to answer pings."""

ALONE_SECONDS: Final = 10.0
"""Without a client, after which FCEUX ends."""

HANDSHAKE_SECONDS: Final = 5.0
"""From a client's connection to the end of its opening handshake."""

SEND_SECONDS: Final = 10.0
"""For a client to take an answer."""

CLOSE_SECONDS: Final = 2.0
"""For FCEUX to end when it is asked to; then it is killed."""


def for_lua() -> dict[str, str]:
    """Return the environment variables by which the Lua script learns its deadlines."""
    names = ("PING", "TRAINER", "ALONE", "HANDSHAKE", "SEND")
    return {f"SB3_MARIO_{name}_SECONDS": str(globals()[f"{name}_SECONDS"]) for name in names}
