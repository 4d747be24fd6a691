"""Events, and the AvroFlumeEvent that Kafka sinks, sources and channels of Flume use as a record's value.

The bytes of an AvroFlumeEvent: a map of strings and the body, bare, without any header or schema::

    long n, n x (string key, string value), 00     or 00 alone without headers
    long length, body

where a long is zig-zag and base 128, low group first, and a string a long and its bytes.
"""

from typing import Dict, Mapping, Optional, Tuple, Union

from ._codec import AVRO
from .errors import EventError

__all__ = ["AVRO_SCHEMA", "Event", "decode_event", "encode_event"]

#: The schema in Avro's JSON, for programs that hand it to an Avro library.
AVRO_SCHEMA = (
    '{"type":"record","name":"AvroFlumeEvent","namespace":"org.apache.flume.source.avro","fields":['
    '{"name":"headers","type":{"type":"map","values":"string"}},{"name":"body","type":"bytes"}]}'
)


class Event:
    """A body of bytes, and headers of text. A body that is given as text becomes its UTF-8.

    ``headers`` is kept, not copied, so that many events may share one. Header bytes that are no UTF-8 are what Python
    calls surrogate escapes, so that they go out again as they came in.
    """

    __slots__ = ("body", "headers")

    body: bytes
    headers: Mapping[str, str]

    def __init__(self, body: Union[str, bytes] = b"", headers: Optional[Mapping[str, str]] = None) -> None:
        self.body = body if body.__class__ is bytes else _bytes(body)
        self.headers = {} if headers is None else headers

    def __repr__(self) -> str:
        return "Event(%r, %r)" % (self.body, dict(self.headers))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return self.body == other.body and dict(self.headers) == dict(other.headers)

    __hash__ = None  # type: ignore[assignment]  # it can be changed


def _bytes(body: Union[str, bytes]) -> bytes:
    if isinstance(body, str):
        return body.encode("utf-8", "surrogateescape")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise EventError("the body of an event is bytes or text, not %s" % type(body).__name__)


def encode_event(event: Event) -> bytes:
    """The AvroFlumeEvent of an event: the value of a Kafka record.

    It fits where producers take a serializer: ``KafkaProducer(value_serializer=encode_event)``.
    """
    return b"".join(AVRO.parts((event,)))


def decode_event(data: bytes) -> Event:
    """The event of an AvroFlumeEvent. What is none raises :class:`EventError`, which names the mistake where it is known."""
    try:
        headers, body, end = _read(data)
    except (IndexError, OverflowError) as e:
        raise EventError(_mistake(data) or "an AvroFlumeEvent that ends in the middle") from e
    except EventError as e:
        raise EventError(_mistake(data) or str(e)) from None
    if not headers and not body and end < len(data):
        # Flume reads an empty event here, and loses what the bytes were.
        raise EventError(_mistake(data) or "bytes are left over after an event without headers and body")
    return Event(body, headers)


def _read(data: bytes) -> Tuple[Dict[str, str], bytes, int]:
    headers: Dict[str, str] = {}
    at = 0
    while True:
        count, at = _long(data, at)
        if count == 0:
            break
        if count < 0:
            _, at = _long(data, at)  # the size of the block, which no reader needs
            count = -count
        if count > len(data) - at:  # a header has two bytes at least
            raise EventError("an AvroFlumeEvent of %d bytes cannot have %d headers" % (len(data), count))
        for _ in range(count):
            key, at = _chunk(data, at)
            value, at = _chunk(data, at)
            headers[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
    body, at = _chunk(data, at)
    return headers, body, at


def _long(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        b = data[at]
        at += 1
        value |= (b & 0x7F) << shift
        if b < 0x80:
            break
        shift += 7
        if shift > 63:
            raise EventError("a number in an AvroFlumeEvent has more than 10 bytes")
    return (value >> 1) ^ -(value & 1), at


def _chunk(data: bytes, at: int) -> Tuple[bytes, int]:
    n, at = _long(data, at)
    if n < 0 or n > len(data) - at:
        raise EventError("an AvroFlumeEvent says %d bytes where %d are left" % (n, len(data) - at))
    return data[at : at + n], at + n


def _mistake(data: bytes) -> str:
    """What producers send by mistake, as far as its beginning tells."""
    if not data:
        return "an empty value is no AvroFlumeEvent; an event without headers and body is 00 00"
    if data[:4] == b"Obj\x01":
        return "this is an Avro container file; an AvroFlumeEvent is the bare datum, without header and schema"
    if data[:2] == b"\xc3\x01":
        return "this has Avro's single-object marker; an AvroFlumeEvent is the bare datum"
    if data[0] == 0 and len(data) > 5:
        return "this has the prefix of a Schema Registry (00 and a number of 4 bytes); an AvroFlumeEvent is the bare datum"
    if data[:1] in b"{[":
        return "this is JSON, not an AvroFlumeEvent"
    return ""
