"""Flume's Thrift RPC: framed, compact or binary.

A frame is ``int32 length, message``. With the package ``thrift`` installed its C code writes the events; without it we do,
and nothing but speed differs.
"""

import struct
from typing import Any, Callable, Optional, Sequence, Tuple

from ._codec import BINARY, COMPACT, Codec, varint
from ._steps import Pipe, Steps
from ._wire import Session, Wire
from .errors import ConfigError, DeliveryError, RemoteError, StatusError
from .events import Event, decode_event

MOST_BYTES = 16_384_000  # of a frame that Flume's Thrift source takes
_STATUS = ["OK", "FAILED", "ERROR", "UNKNOWN"]
_REPLY, _EXCEPTION = 2, 3
_BOOL_STOP, _I32, _STRING = 0, 8, 11  # types of the binary protocol; compact: 5 and 8
_PROTOCOL_ERROR = 7
_LENGTH = struct.Struct(">i")


class _Batch:
    """What the accelerator writes: the arguments of appendBatch."""

    __slots__ = ("events",)

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events


# The shape of the arguments as thrift's C code wants it: field number, type, name, type arguments, default.
_EVENT = (None, (1, 13, "headers", (11, "UTF8", 11, "UTF8", False), None), (2, 11, "body", "BINARY", None))
_EVENTS = [_Batch, (None, (1, 15, "events", (12, [Event, _EVENT], False), None))]


def accelerator(protocol: str) -> Optional[Callable[[Any, Any], bytes]]:
    """The C code of the package ``thrift``, where that is installed."""
    try:
        from thrift.protocol import fastbinary  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return None
    return getattr(fastbinary, "encode_binary" if protocol == "binary" else "encode_compact", None)


class ThriftWire(Wire):
    def __init__(self, protocol: str = "compact", most: int = MOST_BYTES, accelerate: bool = True) -> None:
        if protocol not in ("compact", "binary"):
            raise ConfigError("protocol: %r is not compact or binary" % protocol)
        self.most = most
        self.binary = protocol == "binary"
        self._codec: Codec = BINARY if self.binary else COMPACT
        self._fast = accelerator(protocol) if accelerate else None

    @property
    def accelerated(self) -> bool:
        return self._fast is not None

    def call(self, events: Sequence[Event], single: bool) -> bytes:
        if single:
            return b"".join([b"\x0c\0\x01" if self.binary else b"\x1c", *self._codec.parts(events), b"\0"])
        if self._fast is not None:
            try:
                return self._fast(_Batch(events if isinstance(events, list) else list(events)), _EVENTS)
            except (TypeError, UnicodeEncodeError, AttributeError, SystemError):
                pass  # what it cannot write ours can, or says which header it is
        if self.binary:
            head = b"\x0f\0\x01\x0c" + _LENGTH.pack(len(events))
        else:
            n = len(events)
            head = b"\x19" + (bytes([n << 4 | 0xC]) if n < 15 else b"\xfc" + varint(n))
        return b"".join([head, *self._codec.parts(events), b"\0"])

    def packed(self, rows: Sequence[bytes]) -> bytes:
        return self.call([decode_event(row) for row in rows], False)

    def session(self) -> "ThriftSession":
        return ThriftSession(self.binary)


class ThriftSession(Session):
    def __init__(self, binary: bool) -> None:
        self._binary = binary
        self._sequence = 0

    def exchange(self, pipe: Pipe, call: bytes, single: bool) -> Steps[None]:
        self._sequence = self._sequence % 0x7FFFFFFF + 1
        name = b"append" if single else b"appendBatch"
        if self._binary:
            tail = _LENGTH.pack(len(name)) + name + _LENGTH.pack(self._sequence)
            head, stored = b"\x80\x01\0\x01" + tail, b"\x80\x01\0\x02" + tail + b"\x08\0\0\0\0\0\0\0"
        else:
            tail = varint(self._sequence) + bytes([len(name)]) + name
            head, stored = b"\x82\x21" + tail, b"\x82\x41" + tail + b"\x05\0\0\0"
        yield pipe.wrap(b"".join([_LENGTH.pack(len(head) + len(call)), head, call]))
        answer = yield from pipe.frame()
        if answer == stored:
            return
        try:
            kind, sequence, said, status, text = (_binary if self._binary else _compact)(answer)
        except (IndexError, struct.error) as e:
            raise DeliveryError("the receiver's answer ends in the middle") from e
        if sequence != self._sequence or said != name:
            raise DeliveryError("the receiver's answer is to another call")
        if kind == _EXCEPTION:
            self.ended = status == _PROTOCOL_ERROR  # Flume has not read the rest of the call
            raise RemoteError("the receiver says: %s" % (text or "exception of type %s" % status))
        if status is None:
            raise DeliveryError("the receiver's answer has no status")
        if status != 0:
            raise StatusError("the receiver did not take the events: %s" % (_STATUS[status] if 0 < status < 4 else status))


# What an answer holds: its kind, sequence number, method, status or kind of exception, and text.
_Answer = Tuple[int, int, bytes, Optional[int], str]


def _unknown() -> DeliveryError:
    return DeliveryError("the receiver's answer cannot be read: it does not speak this protocol of Thrift")


def _binary(data: bytes) -> _Answer:
    (word,) = struct.unpack_from(">I", data, 0)
    if word & 0xFFFFFF00 != 0x80010000:
        raise _unknown()
    name, at = _text32(data, 4)
    (sequence,) = _LENGTH.unpack_from(data, at)
    at += 4
    number, text = None, ""
    while data[at] != _BOOL_STOP:
        kind = data[at]
        at += 3
        if kind == _I32:
            (number,) = _LENGTH.unpack_from(data, at)
            at += 4
        elif kind == _STRING:
            raw, at = _text32(data, at)
            text = raw.decode("utf-8", "replace")
        else:
            raise _unknown()
    return word & 0xFF, sequence, name, number, text


def _text32(data: bytes, at: int) -> Tuple[bytes, int]:
    (n,) = _LENGTH.unpack_from(data, at)
    at += 4
    if n < 0 or n > len(data) - at:
        raise IndexError
    return data[at : at + n], at + n


def _compact(data: bytes) -> _Answer:
    if data[0] != 0x82 or data[1] & 0x1F != 1:
        raise _unknown()
    kind = data[1] >> 5
    sequence, at = _varint(data, 2)
    name, at = _text(data, at)
    number, text = None, ""
    while data[at] != 0:
        typ, delta = data[at] & 0xF, data[at] >> 4
        at += 1
        if delta == 0:
            _, at = _varint(data, at)
        if typ == 5:
            n, at = _varint(data, at)
            number = (n >> 1) ^ -(n & 1)
        elif typ == 8:
            raw, at = _text(data, at)
            text = raw.decode("utf-8", "replace")
        else:
            raise _unknown()
    return kind, sequence, name, number, text


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        b = data[at]
        at += 1
        value |= (b & 0x7F) << shift
        if b < 0x80:
            return value & 0xFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise IndexError


def _text(data: bytes, at: int) -> Tuple[bytes, int]:
    n, at = _varint(data, at)
    if n > len(data) - at:
        raise IndexError
    return data[at : at + n], at + n


