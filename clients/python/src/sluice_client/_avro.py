"""Flume's Avro RPC.

A frame is ``int32 serial, int32 count, count x (int32 length, bytes)``; the bytes together are the payload. The first
call of a connection begins with a handshake: both ends name the MD5 of the protocol they speak. We name Flume's own, so
that every Flume says at once that it knows us; one that does not gets the text.
"""

import struct
from typing import List, Sequence, Tuple

from ._codec import AVRO, zigzag
from ._steps import MOST, Pipe, Steps
from ._wire import Session, Wire
from .errors import DeliveryError, EventError, RemoteError, StatusError
from .events import Event, _chunk, _long

FLUME = bytes.fromhex("86aadae2c45474c0fe93ffd0f2350a65")  # the hash of every Flume since 1.3
OURS = bytes.fromhex("30da54059df72d9584b867d5202e2069")  # the hash of TEXT
TEXT = (
    b'{"protocol":"AvroSourceProtocol","namespace":"org.apache.flume.source.avro","types":[{"type":"enum","name":"Status",'
    b'"symbols":["OK","FAILED","UNKNOWN"]},{"type":"record","name":"AvroFlumeEvent","fields":[{"name":"headers","type":'
    b'{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}],"messages":{"append":{"request":[{"name":"event",'
    b'"type":"AvroFlumeEvent"}],"response":"Status"},"appendBatch":{"request":[{"name":"events","type":{"type":"array",'
    b'"items":"AvroFlumeEvent"}}],"response":"Status"}}}'
)
_APPEND = b"\0\x0cappend"  # no meta data, the name of the message
_BATCH = b"\0\x16appendBatch"
_STATUS = ["OK", "FAILED", "UNKNOWN"]
_STORED = b"\0\0\0"  # no meta data, no error, OK
_BOTH, _CLIENT, _NONE = 0, 1, 2
_HEAD = struct.Struct(">ii")
_LENGTH = struct.Struct(">i")
_FRAME = struct.Struct(">iii")


class AvroWire(Wire):
    def __init__(self, most: int = 64 << 20) -> None:
        self.most = most
        self.server = FLUME  # the hash that the receiver has told

    def call(self, events: Sequence[Event], single: bool) -> bytes:
        parts = AVRO.parts(events)
        if single:
            return _APPEND + b"".join(parts)
        return b"".join([_BATCH, zigzag(len(events)), *parts, b"\0"])

    def packed(self, rows: Sequence[bytes]) -> bytes:
        return b"".join([_BATCH, zigzag(len(rows)), *rows, b"\0"])

    def session(self) -> "AvroSession":
        return AvroSession(self)


class AvroSession(Session):
    first_is_slow = True

    def __init__(self, wire: AvroWire) -> None:
        self._wire = wire
        self._serial = 0
        self._known = False  # whether the handshake is done

    def exchange(self, pipe: Pipe, call: bytes, single: bool) -> Steps[None]:
        if self._known:
            answer = yield from self._ask(pipe, call)
        else:
            answer = yield from self._greet(pipe, call)
        if answer != _STORED:
            _judge(answer)

    def _ask(self, pipe: Pipe, payload: bytes) -> Steps[bytes]:
        self._serial = self._serial % 0x7FFFFFFF + 1
        yield pipe.wrap(_FRAME.pack(self._serial, 1, len(payload)) + payload)
        while True:
            serial, count = _HEAD.unpack((yield from pipe.take(8)))
            if not 0 < count <= MOST // 8:
                raise DeliveryError("the receiver's answer is no Avro RPC: a frame of %d buffers" % count)
            parts: List[bytes] = []
            size = 0
            for _ in range(count):
                (n,) = _LENGTH.unpack((yield from pipe.take(4)))
                size += n
                if n < 0 or size > MOST:
                    raise DeliveryError("the receiver's answer is no Avro RPC: a buffer of %d bytes" % n)
                if n:
                    parts.append((yield from pipe.take(n)))
            if serial == self._serial:
                return b"".join(parts)

    def _greet(self, pipe: Pipe, call: bytes) -> Steps[bytes]:
        ours, text = FLUME, b"\0"
        for _ in range(2):
            hello = b"".join([ours, text, self._wire.server, b"\0"])
            answer = yield from self._ask(pipe, hello + call)
            match, server, rest = _hello(answer)
            if server:
                self._wire.server = server
            if match != _NONE:
                self._known = True
                return rest
            ours, text = OURS, b"\x02" + zigzag(len(TEXT)) + TEXT
        raise DeliveryError("the receiver does not know the protocol of Flume's Avro source, even with its text")


def _hello(data: bytes) -> Tuple[int, bytes, bytes]:
    """match, the receiver's hash if it tells it, and what follows."""
    try:
        match, at = _long(data, 0)
        if match == 0 and data[at : at + 1] == b"\x01":
            # An error outside of any handshake, which is how a receiver says that it could not read ours.
            raise RemoteError("the receiver did not understand the handshake: %s" % _words(data[at + 1 :]))
        if match not in (_BOTH, _CLIENT, _NONE):
            raise DeliveryError("the receiver's answer is no handshake of Avro RPC")
        server = b""
        branch, at = _long(data, at)
        if branch == 1:
            _, at = _chunk(data, at)  # the text of its protocol
        branch, at = _long(data, at)
        if branch == 1:
            server = data[at : at + 16]
            at += 16
            if len(server) < 16:
                raise IndexError
        branch, at = _long(data, at)
        if branch == 1:
            at = _meta(data, at)
    except (IndexError, EventError) as e:
        raise DeliveryError("the receiver's handshake ends in the middle") from e
    return match, server, data[at:]


def _meta(data: bytes, at: int) -> int:
    """Steps over a map of bytes."""
    while True:
        count, at = _long(data, at)
        if count == 0:
            return at
        if count < 0:
            _, at = _long(data, at)
            count = -count
        if count > len(data):
            raise IndexError
        for _ in range(count):
            _, at = _chunk(data, at)
            _, at = _chunk(data, at)


def _judge(answer: bytes) -> None:
    """Raises what an answer says, if it is not that the events are stored."""
    try:
        at = _meta(answer, 0)
        error = answer[at]
        status, _ = _long(answer, at + 1)
    except (IndexError, EventError) as e:
        raise DeliveryError("the receiver's answer ends in the middle") from e
    if error:
        raise RemoteError("the receiver says: " + _words(answer[at + 1 :]))
    if status != 0:
        name = _STATUS[status] if 0 <= status < len(_STATUS) else str(status)
        raise StatusError("the receiver did not take the events: %s" % name)


def _words(data: bytes) -> str:
    """The text of an error, whose union has one branch."""
    try:
        _, at = _long(data, 0)
        text, _ = _chunk(data, at)
    except (IndexError, EventError):
        return "something that cannot be read"
    return text.decode("utf-8", "replace")
