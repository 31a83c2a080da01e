"""What can go wrong with an emulator, from its start to its last message."""


class EmulatorError(RuntimeError):
    """Base of every error of an emulator and its connection."""


class StartError(EmulatorError):
    """FCEUX is missing, ended at once, or did not get ready in time."""


class BridgeError(EmulatorError):
    """The connection to FCEUX cannot go on."""


class BridgeClosedError(BridgeError):
    """FCEUX closed the connection, or died."""


class BridgeTimeoutError(BridgeError):
    """FCEUX did not answer within the deadline."""


class WireError(BridgeError):
    """A message does not have the form that both sides agreed on."""


class SyncError(BridgeError):
    """A state or picture belongs to another moment than the one asked for."""


class CaptureError(BridgeError):
    """The screen does not show the picture of the frame asked for."""


class RefusedError(EmulatorError):
    """FCEUX answered a request with an error.

    A request that makes no sense changes nothing. Where the game itself did not do what was asked
    for (no level started, no control over the player), frames have run: start a level anew.

    Attributes:
        code: A word for programs, such as ``"bad_message"`` or ``"refused"``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
