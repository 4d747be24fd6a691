"""Clients that block: one receiver, failover, load balancing.

::

    AvroClient  ThriftClient  HTTPClient        append, append_batch
         \\______________|_________/
       FailoverClient    LoadBalancingClient    the same, over several

A call that returns says that the receiver's channels have committed the events. A call that raises says how many of them
are stored (``DeliveryError.delivered``). A client connects with its first call and again after a failure; it is never
dead. It may be used by several threads, whose calls go one after the other.
"""

import os
import select
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Iterable, Optional, Sequence, Type, TypeVar

from . import _fork, _target
from ._steps import CHUNK, Pipe, Steps
from ._target import Items, Security, Target
from ._wire import Session
from .errors import ClosedError, DeliveryError, RejectedError
from .events import Event

T = TypeVar("T")
C = TypeVar("C", bound="Client")


class Client:
    """What every client can do."""

    def append(self, event: Event) -> None:
        """Sends one event. Batches are many times as fast."""
        self._transmit((event,), single=True)

    def append_batch(self, events: Iterable[Event]) -> None:
        """Sends events, in calls of batch_size, one after the other up to the first that fails."""
        self._transmit(events if isinstance(events, (list, tuple)) else list(events))

    def close(self) -> None:
        """Ends the connection and the calls that are under way."""
        raise NotImplementedError

    def _transmit(self, items: Items, packed: bool = False, single: bool = False) -> None:
        raise NotImplementedError

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()


class _Connection:
    def __init__(self, target: Target, deadline: float) -> None:
        self._limit = max(deadline - time.monotonic(), 0.001)  # that the socket has
        self._socket = socket.create_connection((target.host, target.port), self._limit)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._wait(self._limit)
            self._poll: Optional[select.poll] = None
            if hasattr(select, "poll"):
                self._poll = select.poll()
                self._poll.register(self._socket, select.POLLIN)
            self.session: Session = target.wire.session()
            self.pipe: Pipe = target.pipe()
            self.run(self.pipe.open(), deadline)
        except BaseException:
            self._socket.close()
            raise

    def _wait(self, seconds: float) -> None:
        """Limits how long the socket may wait. Where the kernel does that itself, Python need not ask it before each call."""
        self._limit = seconds
        if os.name != "posix":
            self._socket.settimeout(seconds)
            return
        value = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) or 1)
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def run(self, steps: Steps[T], deadline: float) -> T:
        """Moves the bytes of a conversation until it is over or the time is."""
        try:
            said = next(steps)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise socket.timeout()
                if not 0.9 * left < self._limit < 1.1 * left:  # setting it each time costs as much as sending
                    self._wait(left)
                if said is None:
                    said = steps.send(self._socket.recv(CHUNK))
                else:
                    self._socket.sendall(said)
                    said = next(steps)
        except BlockingIOError:
            raise socket.timeout() from None
        except StopIteration as end:
            self._used = time.monotonic()
            value: T = end.value
            return value

    def alive(self) -> bool:
        """Whether the receiver has not closed the connection while it was idle, as far as can be seen without asking."""
        if time.monotonic() - self._used < 0.05:
            return True  # the call will show
        try:
            if self._poll is not None:
                if not self._poll.poll(0):
                    return True
            elif not select.select([self._socket], [], [], 0)[0]:
                return True
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except OSError:
            return False

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
        except OSError:
            pass  # it was closed already
        self._socket.close()

    def leave(self) -> None:
        """Lets go of a connection that another process has too."""
        self._socket.close()


class _Single(Client):
    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._connection: Optional[_Connection] = None
        self._closed = False
        _fork.notice(self)

    def forked(self) -> None:
        """The process is a fork: the connection is the parent's, and a thread that is gone may have held the lock."""
        self._lock = threading.Lock()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()

    @property
    def address(self) -> str:
        """host:port of the receiver."""
        return self._target.address

    def _transmit(self, items: Items, packed: bool = False, single: bool = False) -> None:
        delivered = 0
        with self._lock:
            try:
                for call, n in self._target.calls(items, packed, single):
                    self._call(call, single)
                    delivered += n
            except DeliveryError as e:
                e.delivered = delivered
                raise

    def _call(self, call: bytes, single: bool) -> None:
        target = self._target
        connection = self._connection
        if self._closed:
            raise ClosedError("the client is closed")
        if connection is not None and connection.alive():
            limit = target.request_timeout
            deadline = time.monotonic() + limit
        else:
            if connection is not None:
                self._connection = None
                connection.close()
            limit = target.connect_timeout
            deadline = time.monotonic() + limit
            try:
                connection = _Connection(target, deadline)
            except (OSError, DeliveryError) as e:
                raise target.unreachable(e) from e
            self._connection = connection
            if self._closed:
                self.close()
                raise ClosedError("the client is closed")
            if not connection.session.first_is_slow:
                limit = target.request_timeout
                deadline = time.monotonic() + limit
        whole = False
        try:
            connection.run(connection.session.exchange(connection.pipe, call, single), deadline)
            whole = True
        except DeliveryError as e:
            # Only an answer that was read to its end leaves a connection that can be used.
            whole = type(e) is not DeliveryError
            if self._closed and not whole:
                raise ClosedError("the client was closed during the call") from e
            e.args = ("sending to %s: %s" % (target.address, e),)
            raise
        except OSError as e:
            if self._closed:
                raise ClosedError("the client was closed during the call") from e
            raise target.broken(e, limit) from e
        finally:
            if not whole or connection.session.ended:
                self._connection = None
                connection.close()

    def close(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class AvroClient(_Single):
    """Sends to an Avro source.

    :param batch_size: the most events of one call
    :param connect_timeout: seconds for TCP, TLS and the answer to the first call
    :param request_timeout: seconds for the answer to each other call
    :param tls: True, or a context for what the usual one does not trust
    :param compression_level: 0 to 9 compresses, which the source must expect (``compression-type = deflate``)
    :param compress_inside_tls: with both: compress, then encrypt, as Flume 1.9 and older do
    """

    def __init__(
        self, host: str, port: int, *, batch_size: int = 100, connect_timeout: float = 20.0, request_timeout: float = 20.0,
        tls: Security = None, compression_level: Optional[int] = None, compress_inside_tls: bool = False,
    ) -> None:
        super().__init__(_target.avro(host, port, batch_size, connect_timeout, request_timeout, tls, compression_level, compress_inside_tls))


class ThriftClient(_Single):
    """Sends to a Thrift source.

    :param protocol: ``compact`` or ``binary``, as the source has it
    :param accelerate: use the C code of the package ``thrift`` where that is installed

    The others are those of :class:`AvroClient`.
    """

    def __init__(
        self, host: str, port: int, *, protocol: str = "compact", batch_size: int = 100, connect_timeout: float = 20.0,
        request_timeout: float = 20.0, tls: Security = None, accelerate: bool = True,
    ) -> None:
        super().__init__(_target.thrift(host, port, protocol, batch_size, connect_timeout, request_timeout, tls, accelerate))


class HTTPClient(_Single):
    """Posts JSON to an HTTP source. Bodies and headers must be UTF-8.

    :param user: with password, for a source that has ``auth.user``
    :param token: for a source that has ``auth.tokens``

    The others are those of :class:`AvroClient`.
    """

    def __init__(
        self, url: str, *, user: Optional[str] = None, password: Optional[str] = None, token: Optional[str] = None, batch_size: int = 100,
        connect_timeout: float = 20.0, request_timeout: float = 20.0, tls: Security = None,
    ) -> None:
        super().__init__(_target.http(url, user, password, token, batch_size, connect_timeout, request_timeout, tls))


class _Several(Client):
    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = list(clients)

    def _plan(self) -> "_target.Plan":
        raise NotImplementedError

    def _transmit(self, items: Items, packed: bool = False, single: bool = False) -> None:
        if not items:
            return
        delivered = 0
        plan = self._plan()
        at = next(plan)
        while True:
            try:
                self._clients[at]._transmit(items[delivered:] if delivered else items, packed, single)
                return
            except DeliveryError as e:
                delivered += e.delivered  # what one has stored the next does not get
                e.delivered = delivered
                if isinstance(e, RejectedError):
                    raise  # it is not the receiver's fault
                try:
                    at = plan.send(e)
                except StopIteration:
                    raise e from e.__cause__

    def close(self) -> None:
        for client in self._clients:
            client.close()


class FailoverClient(_Several):
    """Sends to one receiver as long as that works, then to the next, in their order and around.

    :param max_attempts: how many receivers a batch is sent to before it fails; 0: as many as there are
    """

    def __init__(self, clients: Sequence[Client], *, max_attempts: int = 0) -> None:
        super().__init__(clients)
        self._failover = _target.Failover(len(self._clients), max_attempts)

    def _plan(self) -> "_target.Plan":
        return self._failover.plan()


class LoadBalancingClient(_Several):
    """Sends each batch to another receiver; what one does not take goes to the next. Batches keep no order among them.

    :param host_selector: ``round_robin`` or ``random``
    :param backoff: leave a receiver that fails out, for 2 s, 4 s, 8 s …
    :param max_backoff: … and no longer than so many seconds
    """

    def __init__(self, clients: Sequence[Client], *, host_selector: str = "round_robin", backoff: bool = False, max_backoff: float = 30.0) -> None:
        super().__init__(clients)
        self._balance = _target.Balance(len(self._clients), host_selector, backoff, max_backoff)

    def _plan(self) -> "_target.Plan":
        return self._balance.plan()
