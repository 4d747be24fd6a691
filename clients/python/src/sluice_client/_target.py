"""Where a client sends, and the parts of sending that threads and asyncio share."""

import errno
import random
import socket
import ssl
import time
from typing import Generator, List, Optional, Sequence, Tuple, Union, cast

from ._avro import AvroWire
from ._http import HTTPWire, authorization
from ._steps import TLS, Pipe
from ._thrift import MOST_BYTES, ThriftWire
from ._wire import Wire
from .errors import ConfigError, ConnectError, DeliveryError, RejectedError
from .events import Event

Security = Union[None, bool, ssl.SSLContext]
Items = Union[Sequence[Event], Sequence[bytes]]  # events, or AvroFlumeEvents where packed is said


class Target:
    """One receiver: address, protocol, time limits and what is between."""

    def __init__(
        self, wire: Wire, host: str, port: int, batch_size: int, connect_timeout: float, request_timeout: float,
        tls: Security, deflate: Optional[int] = None, inside: bool = False,
    ) -> None:
        if not host:
            raise ConfigError("host: there is none")
        if not 0 < port < 65536:
            raise ConfigError("port: %r is not between 1 and 65535" % (port,))
        if batch_size < 1:
            raise ConfigError("batch_size: %r is less than 1" % (batch_size,))
        if connect_timeout <= 0 or request_timeout <= 0:
            raise ConfigError("connect_timeout and request_timeout are numbers of seconds above 0")
        if deflate is not None and not 0 <= deflate <= 9:
            raise ConfigError("compression_level: %r is not between 0 and 9" % (deflate,))
        self.wire, self.host, self.port, self.batch_size = wire, host, port, batch_size
        self.connect_timeout, self.request_timeout = connect_timeout, request_timeout
        self._deflate, self._inside = deflate, inside
        self._tls: Optional[ssl.SSLContext] = None
        if isinstance(tls, ssl.SSLContext):
            self._tls = tls
        elif tls:
            self._tls = ssl.create_default_context()

    @property
    def address(self) -> str:
        return ("[%s]:%d" if ":" in self.host else "%s:%d") % (self.host, self.port)

    def pipe(self) -> Pipe:
        context, host = self._tls, self.host
        return Pipe(None if context is None else lambda: TLS(context, host), self._deflate, self._inside)

    def unreachable(self, e: BaseException) -> ConnectError:
        if isinstance(e, (socket.timeout, TimeoutError)) and getattr(e, "errno", None) is None:
            return ConnectError("connecting to %s: no answer after %g s (connect_timeout)" % (self.address, self.connect_timeout))
        hint = ""
        if isinstance(e, ConnectionRefusedError):
            hint = "; does anything listen there?"
        elif isinstance(e, socket.gaierror):
            hint = "; is the name right?"
        elif isinstance(e, ssl.SSLCertVerificationError):
            hint = "; is the certificate's issuer in the trust store?"
        elif isinstance(e, ssl.SSLError) or getattr(e, "errno", None) == errno.ECONNRESET:
            hint = "; does it speak TLS?"
        return ConnectError("connecting to %s: %s%s" % (self.address, e or type(e).__name__, hint))

    def broken(self, e: BaseException, limit: float) -> DeliveryError:
        if isinstance(e, (socket.timeout, TimeoutError)) and getattr(e, "errno", None) is None:
            return DeliveryError("sending to %s: no answer after %g s" % (self.address, limit))
        return DeliveryError("sending to %s: %s" % (self.address, e or type(e).__name__))

    def calls(self, items: Items, packed: bool, single: bool) -> Generator[Tuple[bytes, int], None, None]:
        """The calls that carry the items, each with how many: batch_size at most, fewer where they are large."""
        wire, at = self.wire, 0
        while at < len(items):
            n = min(self.batch_size, len(items) - at)
            while True:
                part = items if n == len(items) else items[at : at + n]
                call = wire.packed(cast(Sequence[bytes], part)) if packed else wire.call(cast(Sequence[Event], part), single)
                if len(call) <= wire.most:
                    break
                if n == 1:
                    raise RejectedError("an event makes a call of %d bytes, and %s takes %d at most" % (len(call), self.address, wire.most))
                n //= 2
            yield call, n
            at += n


def avro(
    host: str, port: int, batch_size: int, connect_timeout: float, request_timeout: float, tls: Security,
    compression_level: Optional[int], compress_inside_tls: bool,
) -> Target:
    return Target(AvroWire(), host, port, batch_size, connect_timeout, request_timeout, tls, compression_level, compress_inside_tls)


def thrift(
    host: str, port: int, protocol: str, batch_size: int, connect_timeout: float, request_timeout: float, tls: Security,
    accelerate: bool, most: int = MOST_BYTES,
) -> Target:
    return Target(ThriftWire(protocol, most, accelerate), host, port, batch_size, connect_timeout, request_timeout, tls)


def http(
    url: str, user: Optional[str], password: Optional[str], token: Optional[str], batch_size: int, connect_timeout: float,
    request_timeout: float, tls: Security,
) -> Target:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the address of an HTTP source begins with http:// or https:// and a host")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as e:
        raise ConfigError("the address of the HTTP source: %s" % e) from None
    if parts.username is not None and user is None:
        user, password = unquote(parts.username), unquote(parts.password or "")
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "https" and not tls:
        tls = True
    if parts.scheme == "http":
        tls = None
    wire = HTTPWire(host, path, authorization(user, password, token))
    return Target(wire, parts.hostname, port, batch_size, connect_timeout, request_timeout, tls)


Plan = Generator[int, DeliveryError, None]


class Failover:
    """Who is tried, with Flume's default_failover: it yields a receiver and is given why it failed."""

    def __init__(self, count: int, max_attempts: int = 0) -> None:
        if count < 1:
            raise ConfigError("failing over needs a client at least")
        self._count, self._most, self._at = count, max_attempts if max_attempts > 0 else count, 0

    def plan(self) -> Plan:
        attempts = unreached = 0
        while attempts < self._most and unreached < self._count:
            at = self._at
            error = yield at
            if self._at == at:  # another thread has not gone on meanwhile
                self._at = (at + 1) % self._count
            if isinstance(error, ConnectError):
                unreached += 1
            else:
                unreached = 0
                attempts += 1


class Balance:
    """Who is tried, with Flume's default_loadbalance. A receiver that fails is left out for 2 s, 4 s, 8 s …"""

    def __init__(self, count: int, host_selector: str = "round_robin", backoff: bool = False, max_backoff: float = 30.0) -> None:
        if count < 2:
            raise ConfigError("load balancing needs two clients at least")
        if host_selector not in ("round_robin", "random"):
            raise ConfigError("host_selector: %r is not round_robin or random" % host_selector)
        self._random = host_selector == "random"
        self._most = (max_backoff if max_backoff > 0 else 30.0) if backoff else 0.0
        self._next = 0
        self._failures = [0] * count
        self._until = [0.0] * count

    def plan(self) -> Plan:
        now = time.monotonic()
        turn = self._turn(now)
        if not turn:
            wait = min(self._until) - now
            raise DeliveryError("every receiver is left out after a failure; the first may be tried in %.1f s" % wait)
        for i in turn:
            yield i
            if self._most:
                self._fail(i, time.monotonic())

    def _turn(self, now: float) -> List[int]:
        turn = [i for i, until in enumerate(self._until) if until <= now]
        if self._random:
            random.shuffle(turn)
            return turn
        if self._next >= len(turn):
            self._next = 0
        start = self._next
        self._next += 1
        return turn[start:] + turn[:start]

    def _fail(self, i: int, now: float) -> None:
        # Failures count on up to an hour after the end of the last penalty, whatever has succeeded meanwhile.
        n = self._failures[i]
        n = min(n + 1, 16) if n and now < self._until[i] + 3600 else 1
        self._failures[i] = n
        self._until[i] = now + min(self._most, float(1 << n))
