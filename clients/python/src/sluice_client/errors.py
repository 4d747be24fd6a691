"""What can go wrong. Every error of this package is a :class:`SluiceError`."""


class SluiceError(Exception):
    """Any error of this package."""


class ClosedError(SluiceError):
    """The client, the sender or the buffer is closed."""


class ConfigError(SluiceError, ValueError):
    """What was asked for cannot be: a setting is wrong, or two do not fit together."""


class DeliveryError(SluiceError):
    """Events were not acknowledged.

    The first ``delivered`` events of the call are stored. Whether the others are nobody knows, unless the error is one
    of the kinds below: sending them again may store them twice, not sending them again may lose them.
    """

    def __init__(self, message: str, delivered: int = 0) -> None:
        super().__init__(message)
        self.delivered = delivered


class ConnectError(DeliveryError):
    """The receiver could not be reached. The events are not stored."""


class StatusError(DeliveryError):
    """The receiver answered that its channel did not take the events: it is full, or could not write.

    ``retry_after`` is how many seconds the receiver asks to be left alone, 0 if it does not say.
    """

    def __init__(self, message: str, delivered: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message, delivered)
        self.retry_after = retry_after


class RemoteError(DeliveryError):
    """The receiver says that something went wrong outside of its channel."""


class RejectedError(DeliveryError):
    """These events will never be taken as they are. The events are not stored."""


class EventError(RejectedError, ValueError):
    """An event, or bytes that should be one, cannot be what it is meant to be."""


class BufferFullError(SluiceError):
    """The buffer has had no room for as long as the caller was ready to wait. The events are not in it."""


class StorageError(SluiceError):
    """The file of a durable buffer cannot be used. The events are not in it."""
