"""Where a sender's events wait: in memory, or in a file that survives the process and a power cut.

Both hold AvroFlumeEvents, in order, and bounded bytes. The first ones are *taken* while they are being sent; they are
forgotten when they are stored, and never dropped meanwhile.
"""

import collections
import os
import sqlite3
import threading
import time
from typing import Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple

from . import _fork
from .errors import BufferFullError, ClosedError, ConfigError, EventError, StorageError

WAIT = "wait"
DROP_OLDEST = "drop_oldest"

#: What an event costs beside its bytes.
OVERHEAD = 64


def weigh(rows: Sequence[bytes]) -> int:
    """What events take of a buffer."""
    return sum(map(len, rows)) + OVERHEAD * len(rows)


class Rejected(NamedTuple):
    """An event that was set aside because no receiver will ever take it."""

    event: bytes
    """as an AvroFlumeEvent"""
    reason: str
    time: float


class Buffer:
    """What both buffers do.

    :param max_bytes: what the events may take, with 64 bytes more for each
    :param when_full: ``wait`` for room, or ``drop_oldest`` to make room
    """

    def __init__(self, max_bytes: int, when_full: str) -> None:
        if max_bytes < 4096:
            raise ConfigError("max_bytes: %r is less than 4096" % (max_bytes,))
        if when_full not in (WAIT, DROP_OLDEST):
            raise ConfigError("when_full: %r is not wait or drop_oldest" % (when_full,))
        self.max_bytes = max_bytes
        self.drops = when_full == DROP_OLDEST
        self._news = threading.Condition()  # guards what follows, and tells of every change of it
        self._bytes = 0
        self._events = 0
        self._gone = 0  # events that have left the buffer since it was opened
        self._taken = 0
        self._dropped = 0
        self._closed = False
        _fork.notice(self)

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return self._events

    @property
    def waiting_bytes(self) -> int:
        """What they take, of max_bytes."""
        return self._bytes

    @property
    def dropped(self) -> int:
        """How many were dropped for newer ones."""
        return self._dropped

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, rows: Sequence[bytes], timeout: Optional[float] = None) -> None:
        """Adds events, all or none; returns when they are safe. timeout: how many seconds to wait for room; None: for ever."""
        raise NotImplementedError

    def take(self, count: int, size: int) -> List[bytes]:
        """The first events, count and about size bytes at most, but one at least if there is any. They stay until :meth:`forget`."""
        raise NotImplementedError

    def forget(self, count: int) -> None:
        """The first count of those that were taken are stored."""
        raise NotImplementedError

    def reject(self, reason: str) -> None:
        """Sets the first event aside."""
        raise NotImplementedError

    def rejected(self) -> List[Rejected]:
        """What was set aside. A buffer in memory keeps none."""
        return []

    def release(self) -> None:
        """Nothing is under way any more."""
        with self._news:
            self._taken = 0
            self._news.notify_all()

    def wait(self, until: float, count: int, size: int, enough: Callable[[], bool] = lambda: False) -> bool:
        """Waits for so many events or bytes, until that moment of time.monotonic, or until somebody wakes it and it is
        ``enough``. Whether there is any event."""
        with self._news:
            while not self._closed and self._events < count and self._bytes < size + self._events * OVERHEAD and not enough():
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._news.wait(min(left, 3600.0))
            return self._events > 0

    def flushed(self, until: float, going: Callable[[], bool]) -> bool:
        """Waits until what is in the buffer now has left it. False: not until then, or ``going`` says that it will not."""
        with self._news:
            goal = self._gone + self._events
            self._news.notify_all()
            while self._gone < goal:
                left = until - time.monotonic()
                if left <= 0 or self._closed or not going():
                    return False
                self._news.wait(min(left, 1.0))
            return True

    def wake(self) -> None:
        """Lets those who wait look again."""
        with self._news:
            self._news.notify_all()

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()

    def forked(self) -> None:
        """The process is a fork of the one that opened the buffer. Another thread may have held the lock."""
        self._news = threading.Condition()

    def _weigh(self, rows: Sequence[bytes]) -> int:
        need = weigh(rows)
        # Half of the room may be under way and cannot be dropped.
        if need > self.max_bytes // 2:
            raise EventError("%d events of together %d bytes do not fit a buffer of %d bytes, of which a half is one call's" % (len(rows), need, self.max_bytes))
        return need

    def _await_room(self, need: int, timeout: Optional[float]) -> None:
        """With _news held."""
        end = None if timeout is None else time.monotonic() + timeout
        while self._bytes + need > self.max_bytes:
            if self._closed:
                break
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise BufferFullError("the buffer is full: %d events wait, and they take %d of %d bytes" % (self._events, self._bytes, self.max_bytes))
            self._news.wait(left)
        if self._closed:
            raise ClosedError("the buffer is closed")


class MemoryBuffer(Buffer):
    """Events in memory. They are lost with the process."""

    def __init__(self, max_bytes: int = 64 << 20, when_full: str = WAIT) -> None:
        super().__init__(max_bytes, when_full)
        self._rows: Deque[bytes] = collections.deque()

    def forked(self) -> None:
        super().forked()
        self._rows.clear()  # the parent sends them
        self._bytes = self._events = self._taken = self._dropped = 0

    def put(self, rows: Sequence[bytes], timeout: Optional[float] = None) -> None:
        need = self._weigh(rows)
        with self._news:
            if self._closed:
                raise ClosedError("the buffer is closed")
            if self.drops:
                while self._bytes + need > self.max_bytes and self._taken < self._events:
                    row = self._rows[self._taken]
                    del self._rows[self._taken]
                    self._bytes -= len(row) + OVERHEAD
                    self._events -= 1
                    self._gone += 1
                    self._dropped += 1
            else:
                self._await_room(need, timeout)
            self._rows.extend(rows)
            self._bytes += need
            self._events += len(rows)
            self._news.notify_all()

    def take(self, count: int, size: int) -> List[bytes]:
        with self._news:
            rows: List[bytes] = []
            for row in self._rows:
                size -= len(row)
                if rows and (len(rows) == count or size < 0):
                    break
                rows.append(row)
            self._taken = len(rows)
            return rows

    def forget(self, count: int) -> None:
        with self._news:
            for _ in range(count):
                self._bytes -= len(self._rows.popleft()) + OVERHEAD
            self._events -= count
            self._gone += count
            self._taken = max(self._taken - count, 0)
            self._news.notify_all()

    def reject(self, reason: str) -> None:
        self.forget(1)


class _Put:
    """Events on their way into a file. Those of several threads are written together."""

    __slots__ = ("rows", "need", "done", "error")

    def __init__(self, rows: Sequence[bytes], need: int) -> None:
        self.rows, self.need = rows, need
        self.done = False
        self.error: Optional[Exception] = None


class FileBuffer(Buffer):
    """Events in an SQLite file, which one process has at a time.

    A put that returned survives SIGKILL, and a power cut too unless power_safe is False, which saves the wait for the disk.
    Threads that put at one time share that wait.

    An event that was stored by a receiver just before the process or the power ended is sent again.
    """

    def __init__(self, path: "os.PathLike[str] | str", max_bytes: int = 1 << 30, when_full: str = WAIT, power_safe: bool = True) -> None:
        super().__init__(max_bytes, when_full)
        self.path = os.fspath(path)
        self._full = "FULL" if power_safe else "NORMAL"
        self._level = ""
        self._database = threading.Lock()  # guards the connection and the ids; taken before _news
        self._puts: List[_Put] = []
        self._db: Optional[sqlite3.Connection] = None
        self._foreign = False
        try:
            self._open()
        except sqlite3.Error as e:
            if self._db is not None:
                self._db.close()
            raise self._storage("opening", e) from e

    def _open(self) -> None:
        self._db = db = sqlite3.connect(self.path, timeout=2.0, isolation_level=None, check_same_thread=False)
        # The lock is held until the end: two processes would send everything twice.
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL").fetchone()
        db.execute("PRAGMA fullfsync=ON")  # where a sync means less otherwise, which is on a Mac
        self._synchronous(self._full)
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StorageError("%s is an SQLite file of something else" % self.path)
            db.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, event BLOB NOT NULL)")
            db.execute("CREATE TABLE rejected (id INTEGER PRIMARY KEY, event BLOB NOT NULL, reason TEXT NOT NULL, time REAL NOT NULL)")
            db.execute("PRAGMA user_version=1")
        elif version != 1:
            raise StorageError("%s was written by a newer version of sluice-client" % self.path)
        db.execute("COMMIT")
        events, size, first, last = db.execute("SELECT count(*), ifnull(sum(length(event)), 0), ifnull(min(id), 1), ifnull(max(id), 0) FROM events").fetchone()
        aside, aside_size = db.execute("SELECT count(*), ifnull(sum(length(event)), 0) FROM rejected").fetchone()
        self._events = events
        self._bytes = size + aside_size + OVERHEAD * (events + aside)
        self._first, self._next = first, last + 1  # the ids of the first event and of the one to come
        self._head: List[int] = []  # the ids of what was taken

    def _synchronous(self, level: str) -> None:
        if self._level != level:
            self._connection().execute("PRAGMA synchronous=" + level)
            self._level = level

    def _connection(self) -> sqlite3.Connection:
        if self._foreign:
            raise StorageError("the buffer %s belongs to the process that this one was forked from; open another file" % self.path)
        if self._db is None:
            raise ClosedError("the buffer is closed")
        return self._db

    def _storage(self, what: str, e: Exception) -> StorageError:
        hint = ""
        if "locked" in str(e):
            hint = "; another process has it"
        elif "malformed" in str(e) or "not a database" in str(e):
            hint = "; what can be read of it the sqlite3 program reads (.recover), and the buffer begins anew when the file is moved away"
        return StorageError("%s the buffer %s: %s%s" % (what, self.path, e, hint))

    def put(self, rows: Sequence[bytes], timeout: Optional[float] = None) -> None:
        need = self._weigh(rows)
        put = _Put(rows, need)
        if self._foreign:
            self._connection()
        with self._news:
            if not self.drops:
                self._await_room(need, timeout)
            elif self._closed:
                raise ClosedError("the buffer is closed")
            self._bytes += need
            self._puts.append(put)
        with self._database:  # the first to be here writes what all have brought
            if not put.done:
                with self._news:
                    puts, self._puts = self._puts, []
                self._write(puts)
        if put.error is not None:
            raise put.error

    def _write(self, puts: List[_Put]) -> None:
        dropped = aside = freed = 0
        count = sum(len(p.rows) for p in puts)
        error: Optional[Exception] = StorageError("writing to the buffer %s was interrupted" % self.path)
        first = self._first
        try:
            db = self._connection()
            self._synchronous(self._full)
            db.execute("BEGIN IMMEDIATE")
            try:
                dropped, aside, freed, first = self._drop(db)
                number = self._next
                db.executemany("INSERT INTO events VALUES (?, ?)", enumerate((row for p in puts for row in p.rows), number))
                db.execute("COMMIT")
                error = None
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as e:
            error = self._storage("writing to", e)
        except (StorageError, ClosedError) as e:
            error = e
        finally:
            with self._news:
                if error is None:
                    self._next += count
                    self._first = first
                    self._events += count - dropped
                    self._gone += dropped
                    self._bytes -= freed
                    self._dropped += dropped + aside
                else:
                    self._bytes -= sum(p.need for p in puts)
                for p in puts:
                    p.done, p.error = True, error
                self._news.notify_all()

    def _drop(self, db: sqlite3.Connection) -> Tuple[int, int, int, int]:
        """Makes room for what has been counted already: how many events, how many that were set aside, what they took, and
        the first id that is left."""
        over = self._bytes - self.max_bytes if self.drops else 0
        if over <= 0:
            return 0, 0, 0, self._first
        after = self._head[-1] if self._head else 0
        dropped, freed, last = self._oldest(db, "events", after, over)
        first = self._first if self._head or not dropped else last + 1
        aside, more, _ = self._oldest(db, "rejected", 0, over - freed)
        return dropped, aside, freed + more, first

    @staticmethod
    def _oldest(db: sqlite3.Connection, table: str, after: int, over: int) -> Tuple[int, int, int]:
        count = freed = 0
        last = after
        if over > 0:
            for number, size in db.execute("SELECT id, length(event) FROM %s WHERE id > ? ORDER BY id" % table, (after,)):
                if freed >= over:
                    break
                count, freed, last = count + 1, freed + size + OVERHEAD, number
            db.execute("DELETE FROM %s WHERE id > ? AND id <= ?" % table, (after, last))
        return count, freed, last

    def take(self, count: int, size: int) -> List[bytes]:
        with self._database:
            db = self._connection()
            rows: List[bytes] = []
            head: List[int] = []
            try:
                for number, row in db.execute("SELECT id, event FROM events WHERE id >= ? ORDER BY id LIMIT ?", (self._first, count)):
                    size -= len(row)
                    if rows and size < 0:
                        break
                    rows.append(row)
                    head.append(number)
            except sqlite3.Error as e:
                raise self._storage("reading", e) from e
            self._head = head
            return rows

    def forget(self, count: int) -> None:
        self._remove(count, None)

    def reject(self, reason: str) -> None:
        self._remove(1, reason)

    def _remove(self, count: int, reason: Optional[str]) -> None:
        with self._database:
            if not count:
                return
            db = self._connection()
            last = self._head[count - 1]
            try:
                # What is stored needs no wait for the disk: the order of commits is kept, and what a power cut brings
                # back is sent again.
                self._synchronous("NORMAL" if reason is None else self._full)
                db.execute("BEGIN IMMEDIATE")
                try:
                    (freed,) = db.execute("SELECT ifnull(sum(length(event)), 0) FROM events WHERE id <= ?", (last,)).fetchone()
                    if reason is not None:
                        db.execute("INSERT INTO rejected (event, reason, time) SELECT event, ?, ? FROM events WHERE id = ?", (reason, time.time(), last))
                    db.execute("DELETE FROM events WHERE id <= ?", (last,))
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as e:
                raise self._storage("writing to", e) from e
            del self._head[:count]
            self._first = last + 1
            with self._news:
                self._events -= count
                self._gone += count
                if reason is None:
                    self._bytes -= freed + OVERHEAD * count
                self._news.notify_all()

    def release(self) -> None:
        with self._database:
            self._head = []
        super().release()

    def rejected(self) -> List[Rejected]:
        with self._database:
            db = self._connection()
            return [Rejected(*row) for row in db.execute("SELECT event, reason, time FROM rejected ORDER BY id")]

    def clear_rejected(self) -> int:
        """Forgets what was set aside, and says how many events that were."""
        with self._database:
            db = self._connection()
            count, size = db.execute("SELECT count(*), ifnull(sum(length(event)), 0) FROM rejected").fetchone()
            db.execute("DELETE FROM rejected")
            with self._news:
                self._bytes -= size + OVERHEAD * count
                self._news.notify_all()
            return int(count)

    def close(self) -> None:
        super().close()
        with self._database:
            if self._db is not None and not self._foreign:
                self._db.close()
                self._db = None

    def forked(self) -> None:
        super().forked()
        self._database = threading.Lock()
        self._foreign = True
        # SQLite must not even close a connection of the parent: it would tidy up under the parent's feet.
        _fork.keep(self._db)


__all__: List[str] = ["Buffer", "DROP_OLDEST", "FileBuffer", "MemoryBuffer", "Rejected", "WAIT"]
