"""What the protocols have in common: a Wire makes calls of events, a Session says them on one connection."""

from typing import Sequence

from ._steps import Pipe, Steps
from .events import Event


class Session:
    """The protocol's side of one connection."""

    ended = False  # whether the connection cannot be used again though the answer was whole
    first_is_slow = False  # whether the first call has the time limit of connecting

    def exchange(self, pipe: Pipe, call: bytes, single: bool) -> Steps[None]:
        """Sends a call, made with the same single, and reads its answer; returns when the events are stored."""
        raise NotImplementedError


class Wire:
    """One protocol to one receiver. It has no state of a connection."""

    most: int  # bytes of one call

    def call(self, events: Sequence[Event], single: bool) -> bytes:
        """The bytes of a call; single: of the one event as ``append``."""
        raise NotImplementedError

    def packed(self, rows: Sequence[bytes]) -> bytes:
        """The bytes of a call of events that are AvroFlumeEvents already."""
        raise NotImplementedError

    def session(self) -> Session:
        raise NotImplementedError
