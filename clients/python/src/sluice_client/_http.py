"""Events as JSON to an HTTP source: one POST, one transaction."""

import base64
import json
from typing import List, Optional, Sequence, Tuple

from ._steps import MOST, Pipe, Steps
from ._wire import Session, Wire
from .errors import ConfigError, DeliveryError, EventError, RejectedError, RemoteError, StatusError
from .events import Event, decode_event

_LINE = 64 << 10
_TOO_LARGE = 413


def authorization(user: Optional[str], password: Optional[str], token: Optional[str]) -> Optional[str]:
    """The value of the field Authorization."""
    if token is not None and user is not None:
        raise ConfigError("user and token cannot be used together")
    value = None
    if token is not None:
        value = "Bearer " + token
    elif user is not None:
        value = "Basic " + base64.b64encode(("%s:%s" % (user, password or "")).encode()).decode()
    if value is not None and not value.isprintable():
        raise ConfigError("token: it has characters that no HTTP field may have")
    return value


class HTTPWire(Wire):
    def __init__(self, host: str, path: str = "/", secret: Optional[str] = None, most: int = 16 << 20) -> None:
        if not path.isascii() or not path.isprintable() or " " in path:
            raise ConfigError("the path %r has characters that must be escaped with %%" % path)
        self.most = most
        head = ["POST %s HTTP/1.1" % path, "Host: " + host, "Content-Type: application/json; charset=UTF-8", "User-Agent: sluice-client"]
        if secret:
            head.append("Authorization: " + secret)
        self._head = "\r\n".join(head).encode("ascii") + b"\r\nContent-Length: %d\r\n\r\n"

    def call(self, events: Sequence[Event], single: bool) -> bytes:
        try:
            body = json.dumps([{"headers": dict(e.headers), "body": e.body.decode()} for e in events], separators=(",", ":")).encode()
        except UnicodeDecodeError:
            raise EventError("the body of an event is not UTF-8, and JSON carries text only: use Avro or Thrift, or encode it") from None
        if b"\\ud" in body:
            _check(events)
        for e in events:
            for key, value in e.headers.items():
                if value.__class__ is not str:
                    raise EventError("the header %r is no text but %s" % (key, type(value).__name__))
        return self._head % len(body) + body

    def packed(self, rows: Sequence[bytes]) -> bytes:
        return self.call([decode_event(row) for row in rows], False)

    def session(self) -> "HTTPSession":
        return HTTPSession()


def _check(events: Sequence[Event]) -> None:
    """Header bytes that are no UTF-8 would become other bytes in JSON."""
    for e in events:
        for key, value in e.headers.items():
            try:
                key.encode(), value.encode()
            except UnicodeEncodeError:
                raise EventError("the header %r is not UTF-8, and JSON carries text only: use Avro or Thrift" % key) from None


class HTTPSession(Session):
    def exchange(self, pipe: Pipe, call: bytes, single: bool) -> Steps[None]:
        yield pipe.wrap(call)
        while True:
            status, fields = yield from self._head(pipe)
            if status >= 200:
                break
        text = yield from self._body(pipe, status, fields)
        if 200 <= status < 300:
            return
        words = " ".join(text.decode("utf-8", "replace").split())[:300]
        message = "the receiver answered %d%s" % (status, ": " + words if words else "")
        if status == _TOO_LARGE:
            raise RejectedError(message)
        if status < 500:  # the address is another server's, or it does not let us in: no fault of the events
            raise RemoteError(message)
        after = dict(fields).get("retry-after", "")
        raise StatusError(message, retry_after=float(after) if after.isdigit() and len(after) < 6 else 0.0)

    def _head(self, pipe: Pipe) -> Steps[Tuple[int, List[Tuple[str, str]]]]:
        line = yield from pipe.line(_LINE)
        parts = line.split(None, 2)
        if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not (parts[1].isdigit() and len(parts[1]) == 3):
            raise DeliveryError("the receiver's answer is no HTTP: %r" % line[:60])
        if parts[0] == b"HTTP/1.0":
            self.ended = True
        fields: List[Tuple[str, str]] = []
        while True:
            line = yield from pipe.line(_LINE)
            if not line:
                break
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name.strip().lower(), value.strip()))
            if len(fields) > 200:
                raise DeliveryError("the receiver's answer has more than 200 fields")
        if any(name == "connection" and "close" in value.lower() for name, value in fields):
            self.ended = True
        return int(parts[1]), fields

    def _body(self, pipe: Pipe, status: int, fields: List[Tuple[str, str]]) -> Steps[bytes]:
        known = dict(fields)
        if status in (204, 304):
            return b""
        if "chunked" in known.get("transfer-encoding", "").lower():
            return (yield from self._chunks(pipe))
        length = known.get("content-length", "")
        if not length:
            # The end of the body is the end of the connection. What the status says is known already.
            self.ended = True
            return b""
        if not length.isdigit() or len(length) > 9 or int(length) > MOST:
            raise DeliveryError("the receiver's answer has a length of %.20r" % length)
        return (yield from pipe.take(int(length)))

    def _chunks(self, pipe: Pipe) -> Steps[bytes]:
        body = b""
        while True:
            line = (yield from pipe.line(_LINE)).split(b";")[0].strip()
            try:
                n = int(line, 16)
            except ValueError:
                raise DeliveryError("the receiver's answer has a chunk of %r bytes" % line[:20]) from None
            if n < 0 or len(body) + n > MOST:
                raise DeliveryError("the receiver's answer has a chunk of %r bytes" % line[:20])
            if n == 0:
                while (yield from pipe.line(_LINE)):
                    pass
                return body
            body += yield from pipe.take(n)
            yield from pipe.line(_LINE)
