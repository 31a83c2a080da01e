"""One FCEUX process and the WebSocket to it: start, speak, keep in step, stop."""

from sb3_mario.emulator.bridge import Bridge
from sb3_mario.emulator.errors import (
    BridgeClosedError,
    BridgeError,
    BridgeTimeoutError,
    CaptureError,
    EmulatorError,
    RefusedError,
    StartError,
    SyncError,
    WireError,
)
from sb3_mario.emulator.fceux import Fceux
from sb3_mario.emulator.protocol import State

__all__ = [
    "Bridge",
    "BridgeClosedError",
    "BridgeError",
    "BridgeTimeoutError",
    "CaptureError",
    "EmulatorError",
    "Fceux",
    "RefusedError",
    "StartError",
    "State",
    "SyncError",
    "WireError",
]
