"""Every interval and deadline of the connection to an emulator, in seconds.

Both sides have theirs from here: the launcher hands FCEUX what its Lua script needs. So long does
it take at most until the one side notices what has become of the other:

- FCEUX was killed: at once while an answer is awaited, for the system closes the connection; else
  at the next request or beat of the heartbeat, up to `PING_SECONDS` later
- the trainer was killed: at once, where Linux ends FCEUX with it (`sb3_mario.emulator.process` says
  when), else FCEUX ends `ALONE_SECONDS` later
- FCEUX stands still, or the connection is half open: while an answer is awaited `ANSWER_SECONDS`
  (the environment's ``timeout``), else `EMULATOR_SECONDS` and one `PING_SECONDS`
- the trainer stands still, or the connection is half open: `TRAINER_SECONDS`, then FCEUX closes the
  connection, and ends `ALONE_SECONDS` later. A shorter standstill changes nothing

The script looks whether it is alone once a second, so `ALONE_SECONDS` may last one more.

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
"""Without a client, after which FCEUX ends; up to a second more, the poll of ``main.lua``."""

HANDSHAKE_SECONDS: Final = 5.0
"""From a client's connection to the end of its opening handshake."""

DISPLAY_SECONDS: Final = 10.0
"""For an X11 display to answer; it takes a millisecond."""

SEND_SECONDS: Final = 10.0
"""For a client to take an answer."""

CLOSE_SECONDS: Final = 2.0
"""For FCEUX to end when it is asked to; then it is killed."""


def for_lua() -> dict[str, str]:
    """Return the environment variables by which the Lua script learns its deadlines."""
    names = ("PING", "TRAINER", "ALONE", "HANDSHAKE", "SEND")
    return {f"SB3_MARIO_{name}_SECONDS": str(globals()[f"{name}_SECONDS"]) for name in names}
