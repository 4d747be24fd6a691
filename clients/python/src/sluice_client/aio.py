"""The clients and the sender for asyncio.

::

    async with aio.AvroClient("collector.example", 41414) as client:
        await client.append_batch(events)

The names and settings are those of :mod:`sluice_client`. A client may be used by many tasks of one loop, whose calls go one
after the other. A :class:`Sender` delivers in a thread, as the other one does, and is awaited only for its buffer.
"""

import asyncio
import collections
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Any, Callable, Deque, Iterable, List, Optional, Sequence, Tuple, Type, TypeVar, cast

from . import _target, properties, sender
from ._steps import CHUNK, Pipe, Steps
from ._target import Items, Security, Target
from ._wire import Session
from .buffer import Buffer, weigh
from .client import Client as BlockingClient
from .errors import ClosedError, DeliveryError, RejectedError
from .events import Event, encode_event
from .sender import Counts

__all__ = ["AvroClient", "Client", "FailoverClient", "HTTPClient", "LoadBalancingClient", "Sender", "ThriftClient", "from_properties"]

T = TypeVar("T")
C = TypeVar("C", bound="Client")


class Client:
    """What every client can do."""

    async def append(self, event: Event) -> None:
        """Sends one event."""
        await self._transmit((event,), single=True)

    async def append_batch(self, events: Iterable[Event]) -> None:
        """Sends events, in calls of batch_size, one after the other up to the first that fails."""
        await self._transmit(events if isinstance(events, (list, tuple)) else list(events))

    async def close(self) -> None:
        """Ends the connection and the calls that are under way."""
        raise NotImplementedError

    async def _transmit(self, items: Items, packed: bool = False, single: bool = False) -> None:
        raise NotImplementedError

    async def __aenter__(self: C) -> C:
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        await self.close()


class _Connection:
    session: Session
    pipe: Pipe

    async def open(self, target: Target) -> None:
        self._reader, self._writer = await asyncio.open_connection(target.host, target.port)
        try:
            raw = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.session = target.wire.session()
            self.pipe = target.pipe()
            await self.run(self.pipe.open())
        except BaseException:
            self.close()
            raise

    async def run(self, steps: Steps[T]) -> T:
        try:
            said = next(steps)
            while True:
                if said is None:
                    said = steps.send(await self._reader.read(CHUNK))
                else:
                    self._writer.write(said)
                    await self._writer.drain()
                    said = next(steps)
        except StopIteration as end:
            value: T = end.value
            return value

    def alive(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        self._writer.transport.abort()


class _Single(Client):
    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock: Optional[asyncio.Lock] = None  # made in the loop that uses it
        self._connection: Optional[_Connection] = None
        self._closed = False

    @property
    def address(self) -> str:
        """host:port of the receiver."""
        return self._target.address

    async def _transmit(self, items: Items, packed: bool = False, single: bool = False) -> None:
        if self._lock is None:
            self._lock = asyncio.Lock()
        delivered = 0
        async with self._lock:
            try:
                for call, n in self._target.calls(items, packed, single):
                    await self._call(call, single)
                    delivered += n
            except DeliveryError as e:
                e.delivered = delivered
                raise

    async def _call(self, call: bytes, single: bool) -> None:
        target = self._target
        connection = self._connection
        if self._closed:
            raise ClosedError("the client is closed")
        if connection is not None and connection.alive():
            limit = left = target.request_timeout
        else:
            if connection is not None:
                self._connection = None
                connection.close()
            began = time.monotonic()
            limit = target.connect_timeout
            connection = _Connection()
            try:
                await asyncio.wait_for(connection.open(target), limit)
            except (OSError, DeliveryError, asyncio.TimeoutError) as e:
                raise target.unreachable(_plain(e)) from e
            self._connection = connection
            left = max(limit - (time.monotonic() - began), 0.001)
            if not connection.session.first_is_slow:
                limit = left = target.request_timeout
        whole = False
        try:
            await asyncio.wait_for(connection.run(connection.session.exchange(connection.pipe, call, single)), left)
            whole = True
        except DeliveryError as e:
            whole = type(e) is not DeliveryError
            if self._closed and not whole:
                raise ClosedError("the client was closed during the call") from e
            e.args = ("sending to %s: %s" % (target.address, e),)
            raise
        except (OSError, asyncio.TimeoutError) as e:
            if self._closed:
                raise ClosedError("the client was closed during the call") from e
            raise target.broken(_plain(e), limit) from e
        finally:
            if not whole or connection.session.ended:  # also where the task was cancelled
                if self._connection is connection:
                    self._connection = None
                connection.close()

    async def close(self) -> None:
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _plain(e: BaseException) -> BaseException:
    return socket.timeout() if isinstance(e, asyncio.TimeoutError) else e


class AvroClient(_Single):
    """As :class:`sluice_client.AvroClient`."""

    def __init__(
        self, host: str, port: int, *, batch_size: int = 100, connect_timeout: float = 20.0, request_timeout: float = 20.0,
        tls: Security = None, compression_level: Optional[int] = None, compress_inside_tls: bool = False,
    ) -> None:
        super().__init__(_target.avro(host, port, batch_size, connect_timeout, request_timeout, tls, compression_level, compress_inside_tls))


class ThriftClient(_Single):
    """As :class:`sluice_client.ThriftClient`."""

    def __init__(
        self, host: str, port: int, *, protocol: str = "compact", batch_size: int = 100, connect_timeout: float = 20.0,
        request_timeout: float = 20.0, tls: Security = None, accelerate: bool = True,
    ) -> None:
        super().__init__(_target.thrift(host, port, protocol, batch_size, connect_timeout, request_timeout, tls, accelerate))


class HTTPClient(_Single):
    """As :class:`sluice_client.HTTPClient`."""

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

    async def _transmit(self, items: Items, packed: bool = False, single: bool = False) -> None:
        if not items:
            return
        delivered = 0
        plan = self._plan()
        at = next(plan)
        while True:
            try:
                await self._clients[at]._transmit(items[delivered:] if delivered else items, packed, single)
                return
            except DeliveryError as e:
                delivered += e.delivered
                e.delivered = delivered
                if isinstance(e, RejectedError):
                    raise
                try:
                    at = plan.send(e)
                except StopIteration:
                    raise e from e.__cause__

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


class FailoverClient(_Several):
    """As :class:`sluice_client.FailoverClient`."""

    def __init__(self, clients: Sequence[Client], *, max_attempts: int = 0) -> None:
        super().__init__(clients)
        self._failover = _target.Failover(len(self._clients), max_attempts)

    def _plan(self) -> "_target.Plan":
        return self._failover.plan()


class LoadBalancingClient(_Several):
    """As :class:`sluice_client.LoadBalancingClient`."""

    def __init__(self, clients: Sequence[Client], *, host_selector: str = "round_robin", backoff: bool = False, max_backoff: float = 30.0) -> None:
        super().__init__(clients)
        self._balance = _target.Balance(len(self._clients), host_selector, backoff, max_backoff)

    def _plan(self) -> "_target.Plan":
        return self._balance.plan()


def from_properties(of: properties.Properties) -> Client:
    """As :func:`sluice_client.from_properties`."""
    made: Client = properties.make(of, sys.modules[__name__])
    return made


async def _threaded(call: Callable[..., T], *arguments: Any) -> T:
    """Calls in a thread that, unlike an executor's, does not hold up the end of the program."""
    loop = asyncio.get_event_loop()
    done: "asyncio.Future[T]" = loop.create_future()

    def settle(value: Optional[T], error: Optional[BaseException]) -> None:
        if done.done():
            return  # nobody waits any more
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast(T, value))

    def work() -> None:
        value, error = None, None
        try:
            value = call(*arguments)
        except BaseException as e:
            error = e
        try:
            loop.call_soon_threadsafe(settle, value, error)
        except RuntimeError:
            pass  # the loop is closed

    threading.Thread(target=work, name="sluice-aio", daemon=True).start()
    return await done


class Sender:
    """As :class:`sluice_client.Sender`, to be awaited; ``client`` is one of :mod:`sluice_client`, which sends in a thread.

    What tasks send at one time is put into the buffer together, so that with a FileBuffer they share the wait for the disk.
    """

    def __init__(self, client: BlockingClient, buffer: Optional[Buffer] = None, **settings: Any) -> None:
        self._sender = sender.Sender(client, buffer, **settings)
        self._queue: Deque[Tuple[List[bytes], "asyncio.Future[None]"]] = collections.deque()
        self._writing = self._closed = False
        self._task: "Optional[asyncio.Task[None]]" = None
        self._most = min(1 << 20, self._sender.buffer.max_bytes // 2)

    async def send(self, event: Event) -> None:
        """Puts one event into the buffer, waiting for room as long as it takes; asyncio.wait_for limits that.

        A send that was cancelled may have put its event into the buffer.
        """
        await self._put([encode_event(event)])

    async def send_batch(self, events: Iterable[Event]) -> None:
        """Puts events into the buffer, all or none."""
        rows = [encode_event(event) for event in events]
        if rows:
            await self._put(rows)

    async def _put(self, rows: List[bytes]) -> None:
        if self._closed:
            raise ClosedError("the sender is closed")
        loop = asyncio.get_event_loop()
        done: "asyncio.Future[None]" = loop.create_future()
        self._queue.append((rows, done))
        if not self._writing:
            self._writing = True
            self._task = loop.create_task(self._write())  # a loop itself keeps tasks weakly
        await done

    async def _write(self) -> None:
        try:
            while self._queue:
                taken = [self._queue.popleft()]
                size = weigh(taken[0][0])
                while self._queue:
                    size += weigh(self._queue[0][0])
                    if size > self._most:
                        break
                    taken.append(self._queue.popleft())
                try:
                    await _threaded(self._sender._put, [row for rows, _ in taken for row in rows], None)
                except Exception as e:
                    for _, done in taken:
                        if not done.done():
                            done.set_exception(e)
                else:
                    for _, done in taken:
                        if not done.done():
                            done.set_result(None)
        finally:
            self._writing = False

    @property
    def counts(self) -> Counts:
        return self._sender.counts

    async def flush(self, timeout: Optional[float] = None) -> bool:
        """Waits until what is in the buffer now is delivered. Whether it is."""
        return await _threaded(self._sender.flush, timeout)

    async def close(self, timeout: Optional[float] = None) -> int:
        """As :meth:`sluice_client.Sender.close`."""
        self._closed = True
        return await _threaded(self._sender.close, timeout)

    async def __aenter__(self) -> "Sender":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        await self.close()
