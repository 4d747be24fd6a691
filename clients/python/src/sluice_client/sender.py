"""A sender: events go into a buffer, and a thread brings them to the receiver, as often as it takes.

::

    send ──▶ Buffer ──▶ one thread ──▶ Client ──▶ the agent
       returns here                       forgotten here

With a :class:`FileBuffer` an event for which ``send`` returned reaches the agent whatever happens to the agent, to this
process, or to the power; it may come twice where something did happen. Events keep their order.
"""

import atexit
import logging
import random
import threading
import time
import weakref
from types import TracebackType
from typing import Callable, Iterable, NamedTuple, Optional, Type

from . import _fork
from .buffer import Buffer, FileBuffer, MemoryBuffer, Rejected
from .client import Client
from .errors import ClosedError, ConfigError, DeliveryError, RejectedError, SluiceError, StatusError
from .events import Event, encode_event

log = logging.getLogger("sluice_client.sender")


class Counts(NamedTuple):
    """What has become of events since the sender was made."""

    sent: int
    """events for which send returned"""
    delivered: int
    """events that the receiver has stored"""
    dropped: int
    """events that were dropped for newer ones (``drop_oldest``)"""
    rejected: int
    """events that no receiver will ever take"""
    waiting: int
    """events that are in the buffer"""
    waiting_bytes: int
    failures: int
    """calls that failed and were made again"""
    last_error: str
    """why the last of them failed; empty since a call succeeded"""


class Sender:
    """Sends in the background.

    :param client: which way; the sender closes it
    :param buffer: where events wait; a :class:`MemoryBuffer` if none is given; the sender closes it
    :param batch_size: the most events of a batch
    :param batch_bytes: the most bytes of a batch, but for a single larger event
    :param linger: how many seconds to wait for a batch to be full; 0: what is there is sent
    :param retry_first: seconds to wait after a failed call; twice as long after each further one
    :param retry_most: … and no longer
    :param on_rejected: is told, in the sender's thread, of each event that was set aside
    :param close_timeout: how long closing waits for what is in the buffer
    """

    def __init__(
        self, client: Client, buffer: Optional[Buffer] = None, *, batch_size: int = 100, batch_bytes: int = 1 << 20, linger: float = 0.0,
        retry_first: float = 0.1, retry_most: float = 10.0, on_rejected: Optional[Callable[[Rejected], None]] = None, close_timeout: float = 5.0,
    ) -> None:
        if batch_size < 1 or batch_bytes < 1:
            raise ConfigError("batch_size and batch_bytes are 1 at least")
        if linger < 0 or retry_first <= 0 or retry_most < retry_first:
            raise ConfigError("linger is not below 0, retry_first is above 0, and retry_most is not below it")
        self._client = client
        self._buffer = MemoryBuffer() if buffer is None else buffer
        self._size, self._linger = batch_size, linger
        # What is under way cannot be dropped, and must leave room for what comes.
        self._bytes = min(batch_bytes, self._buffer.max_bytes // 2)
        self._retry_first, self._retry_most = retry_first, retry_most
        self._on_rejected, self._close_timeout = on_rejected, close_timeout
        self._sent = self._delivered = self._rejected = self._failures = 0
        self._error = ""
        self._limit = batch_size  # less while the one event is looked for that is rejected
        self._reset()
        self._start()
        _fork.notice(self)
        this = weakref.ref(self)

        def at_exit() -> None:
            sender = this()
            if sender is not None:
                sender.close()

        self._at_exit = at_exit
        atexit.register(at_exit)

    def _reset(self) -> None:
        self._lock = threading.Lock()  # guards the counters that callers change, and starting
        self._stop = threading.Event()
        self._hurry = 0  # how many wait in flush
        self._closing = False
        self._thread: Optional[threading.Thread] = None

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="sluice-sender", daemon=True)
        self._thread.start()

    def forked(self) -> None:
        """In a forked process a sender with a buffer in memory begins anew, with the first event."""
        closed = self._closing
        self._reset()
        self._closing = closed
        self._sent = self._delivered = self._rejected = self._failures = 0
        self._error = ""

    def send(self, event: Event, timeout: Optional[float] = None) -> None:
        """Puts one event into the buffer. timeout: how many seconds to wait for room, then BufferFullError; None: for ever."""
        self._put([encode_event(event)], timeout)

    def send_batch(self, events: Iterable[Event], timeout: Optional[float] = None) -> None:
        """Puts events into the buffer, all or none. With a FileBuffer they share one wait for the disk."""
        rows = [encode_event(event) for event in events]
        if rows:
            self._put(rows, timeout)

    def _put(self, rows: "list[bytes]", timeout: Optional[float]) -> None:
        if self._closing:
            raise ClosedError("the sender is closed")
        self._buffer.put(rows, timeout)
        with self._lock:
            self._sent += len(rows)
            if self._thread is None:
                self._start()

    @property
    def counts(self) -> Counts:
        buffer = self._buffer
        return Counts(
            self._sent, self._delivered, buffer.dropped, self._rejected, buffer.waiting, buffer.waiting_bytes, self._failures, self._error
        )

    @property
    def buffer(self) -> Buffer:
        return self._buffer

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Waits until what is in the buffer now is delivered. Whether it is."""
        with self._lock:
            self._hurry += 1
        try:
            end = time.monotonic() + timeout if timeout is not None else float("inf")
            return self._buffer.flushed(end, lambda: not self._stop.is_set())
        finally:
            with self._lock:
                self._hurry -= 1

    def close(self, timeout: Optional[float] = None) -> int:
        """Ends the sender, its client and its buffer; waits for what is in the buffer for timeout seconds (close_timeout).

        How many events are left there: in a file they wait for the next start, in memory they are lost, and the log says so.
        """
        if self._closing:
            return 0
        self._closing = True
        atexit.unregister(self._at_exit)
        if self._thread is not None:
            self.flush(self._close_timeout if timeout is None else timeout)
        self._stop.set()
        self._buffer.wake()
        self._client.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)
        left = self._buffer.waiting
        if left and isinstance(self._buffer, FileBuffer):
            log.info("%d events wait in %s for the next start", left, self._buffer.path)
        elif left:
            log.error("%d events were not delivered and are lost: %s", left, self._error or "there was no time")
        self._buffer.close()
        return left

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def _run(self) -> None:
        buffer, stop = self._buffer, self._stop
        pause = 0.0
        while not stop.is_set():
            if not buffer.wait(float("inf"), 1, 1, stop.is_set):
                if buffer.closed:
                    return
                continue
            if self._linger:
                buffer.wait(time.monotonic() + self._linger, self._limit, self._bytes, lambda: self._hurry > 0 or stop.is_set())
            try:
                self._step()
                pause = 0.0
                continue
            except ClosedError:
                if stop.is_set():
                    return
                error: Exception = ClosedError("the client is closed")
            except SluiceError as e:
                error = e
            except Exception as e:  # a mistake of ours must not end the thread: events would wait for ever
                log.exception("sending events")
                error = e
            finally:
                buffer.release()
            self._failures += 1
            self._say(str(error) or type(error).__name__)
            pause = min(max(pause * 2, self._retry_first), self._retry_most)
            wait = max(pause * random.uniform(0.75, 1.0), getattr(error, "retry_after", 0.0) if isinstance(error, StatusError) else 0.0)
            stop.wait(min(wait, max(self._retry_most, 60.0)))

    def _step(self) -> None:
        """Delivers one batch, or sets one event aside."""
        buffer = self._buffer
        rows = buffer.take(self._limit, self._bytes)
        if not rows:
            return
        try:
            self._client._transmit(rows, packed=True)
        except RejectedError as e:
            self._settle(e.delivered)
            n = len(rows) - e.delivered
            if n > 1:
                self._limit = max(n // 2, 1)  # the others are sent without the one that is rejected
                return
            self._set_aside(rows[-1], str(e))
        except DeliveryError as e:
            self._settle(e.delivered)
            raise
        else:
            self._settle(len(rows))
            if self._error:
                log.info("events are delivered again")
                self._error = ""
        self._limit = min(self._limit * 2, self._size)

    def _settle(self, count: int) -> None:
        if count:
            self._buffer.forget(count)
            self._delivered += count

    def _set_aside(self, row: bytes, reason: str) -> None:
        self._buffer.reject(reason)
        self._rejected += 1
        if self._on_rejected is not None:
            try:
                self._on_rejected(Rejected(row, reason, time.time()))
                return
            except Exception:
                log.exception("telling of an event that was set aside")
        log.error("an event of %d bytes was set aside%s: %s", len(row), "" if isinstance(self._buffer, FileBuffer) else " and is lost", reason)

    def _say(self, error: str) -> None:
        """One line for each cause, not for each attempt."""
        if error != self._error:
            log.warning("events wait: %s", error)
        self._error = error
