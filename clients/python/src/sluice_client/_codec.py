"""How events are written: the same walk over headers and body for Avro and for both protocols of Thrift."""

import struct
from typing import TYPE_CHECKING, Callable, Dict, List, Mapping, Optional, Sequence

from .errors import EventError

if TYPE_CHECKING:
    from .events import Event

_TABLE = 4096  # lengths below this are looked up
_KEYS = 1024  # header names that are remembered


def varint(n: int) -> bytes:
    """n >= 0 in base 128, low group first."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n: int) -> bytes:
    """n as Avro's long."""
    return varint(n << 1 if n >= 0 else (-n << 1) - 1)


class Codec:
    """Writes events in one format.

    An event with headers is ``opening, count, types, (length, bytes) x 2 x count, between, length, body, end``; one
    without is ``bare, length, body, end``.
    """

    def __init__(self, number: Callable[[int], bytes], opening: bytes, types: bytes, bare: bytes, between: bytes, end: bytes) -> None:
        self.number = number
        self._table = [number(n) for n in range(_TABLE)]
        self._opening, self._types, self._bare, self._between, self._end = opening, types, bare, between, end
        self._keys: Dict[str, bytes] = {}

    def parts(self, events: Sequence["Event"]) -> List[bytes]:
        """What, joined, is the events one after the other."""
        parts: List[bytes] = []
        append = parts.append
        table, number, end = self._table, self.number, self._end
        last: Optional[Mapping[str, str]] = None
        block = self._bare
        for event in events:
            headers = event.headers
            if not headers:
                append(self._bare)
            else:
                if headers != last:  # events of one program often have the same headers
                    block = self._block(headers)
                    last = headers
                append(block)
            body = event.body
            n = len(body)
            append(table[n] if n < _TABLE else number(n))
            append(body)
            if end:
                append(end)
        return parts

    def _block(self, headers: Mapping[str, str]) -> bytes:
        keys, table = self._keys, self._table
        parts = [self._opening, self.number(len(headers)), self._types]
        append = parts.append
        for key, value in headers.items():
            name = keys.get(key)
            if name is None:
                name = self._name(key)
            append(name)
            try:
                text = value.encode()
            except (AttributeError, UnicodeEncodeError):
                text = _text(key, value)
            n = len(text)
            append(table[n] if n < _TABLE else self.number(n))
            append(text)
        append(self._between)
        return b"".join(parts)

    def _name(self, key: str) -> bytes:
        text = _text(key, key)
        name = self.number(len(text)) + text
        if len(self._keys) < _KEYS and len(text) < 256:
            self._keys[key] = name
        return name


def _text(key: object, text: object) -> bytes:
    if not isinstance(text, str):
        raise EventError("the header %r is no text but %s" % (key, type(text).__name__))
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise EventError("the header %r cannot be written as UTF-8" % (key,)) from None


AVRO = Codec(zigzag, opening=b"", types=b"", bare=b"\0", between=b"\0", end=b"")
COMPACT = Codec(varint, opening=b"\x1b", types=b"\x88", bare=b"\x1b\0\x18", between=b"\x18", end=b"\0")
BINARY = Codec(
    struct.Struct(">i").pack,
    opening=b"\x0d\0\x01\x0b\x0b", types=b"", bare=b"\x0d\0\x01\x0b\x0b\0\0\0\0\x0b\0\x02", between=b"\x0b\0\x02", end=b"\0",
)
