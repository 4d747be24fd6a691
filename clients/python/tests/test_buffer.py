import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import support
from sluice_client import BufferFullError, ClosedError, ConfigError, EventError, FileBuffer, MemoryBuffer, StorageError
from sluice_client.buffer import OVERHEAD

KILLS = int(os.environ.get("SLUICE_KILLS", "12"))


class Both:
    """What holds for either buffer."""

    def open(self, **settings):
        raise NotImplementedError

    def test_order_and_forgetting(self):
        b = self.open()
        b.put([b"%d" % i for i in range(10)])
        b.put([b"10"])
        self.assertEqual(b.take(4, 1000), [b"0", b"1", b"2", b"3"])
        b.forget(3)
        self.assertEqual(b.take(100, 4), [b"3", b"4", b"5", b"6"])
        b.release()
        self.assertEqual(b.take(100, 1), [b"3"])
        b.forget(1)
        self.assertEqual((b.waiting, b.waiting_bytes), (7, 8 + 7 * OVERHEAD))
        self.assertEqual(b.take(1, 0), [b"4"])
        b.reject("why")
        self.assertEqual(b.take(100, 1000)[0], b"5")
        b.forget(6)
        self.assertEqual((b.waiting, b.take(1, 1)), (0, []))

    def test_waits_for_room(self):
        b = self.open(max_bytes=4096)
        row = b"x" * (1000 - OVERHEAD)
        for _ in range(4):
            b.put([row])
        with self.assertRaisesRegex(BufferFullError, "4 events"):
            b.put([row], timeout=0.05)
        with self.assertRaises(BufferFullError):
            b.put([row], timeout=0)
        t = threading.Timer(0.1, lambda: (b.take(1, 1), b.forget(1)))
        t.start()
        b.put([row], timeout=10)
        t.join()
        self.assertEqual((b.waiting, b.dropped), (4, 0))

    def test_drops_the_oldest(self):
        b = self.open(max_bytes=4096, when_full="drop_oldest")
        for i in range(10):
            b.put([b"%d" % i + b"x" * (999 - OVERHEAD)])
        self.assertEqual((b.waiting, b.dropped, b.waiting_bytes), (4, 6, 4000))
        self.assertEqual([row[:1] for row in b.take(9, 9999)], [b"6", b"7", b"8", b"9"])

    def test_what_is_under_way_is_not_dropped(self):
        b = self.open(max_bytes=4096, when_full="drop_oldest")
        for i in range(4):
            b.put([b"%d" % i + b"x" * (999 - OVERHEAD)])
        self.assertEqual(len(b.take(2, 9999)), 2)
        for i in range(4, 8):
            b.put([b"%d" % i + b"x" * (999 - OVERHEAD)])
        self.assertEqual((b.waiting, b.dropped), (4, 4))
        b.forget(2)
        self.assertEqual([row[:1] for row in b.take(9, 9999)], [b"6", b"7"])

    def test_too_large(self):
        b = self.open(max_bytes=4096)
        with self.assertRaisesRegex(EventError, "4096"):
            b.put([b"x" * 2000])
        self.assertEqual(b.waiting_bytes, 0)

    def test_close_ends_waiting(self):
        b = self.open(max_bytes=4096)
        b.put([b"x" * 1900])
        b.put([b"x" * 1900])
        threading.Timer(0.1, b.close).start()
        with self.assertRaises(ClosedError):
            b.put([b"x" * 1900])
        with self.assertRaises(ClosedError):
            b.put([b"x"])

    def test_settings(self):
        for settings in ({"max_bytes": 10}, {"when_full": "drop"}):
            with self.assertRaises(ConfigError):
                self.open(**settings)

    def test_many_threads(self):
        b = self.open()
        threads = [threading.Thread(target=lambda lane=lane: [b.put([b"%d %d" % (lane, i)]) for i in range(50)]) for lane in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        rows = [tuple(map(int, row.split())) for row in b.take(1000, 1 << 20)]
        self.assertEqual(sorted(rows), [(lane, i) for lane in range(8) for i in range(50)])
        for lane in range(8):
            self.assertEqual([i for at, i in rows if at == lane], list(range(50)))


class Memory(Both, unittest.TestCase):
    def open(self, **settings):
        b = MemoryBuffer(**settings)
        self.addCleanup(b.close)
        return b


class File(Both, unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.n = 0

    def open(self, **settings):
        self.n += 1
        b = FileBuffer(os.path.join(self.dir.name, "buffer%d" % self.n), **settings)
        self.addCleanup(b.close)
        return b

    def again(self, b, **settings):
        b.close()
        b = FileBuffer(b.path, **settings)
        self.addCleanup(b.close)
        return b

    def test_opened_again(self):
        b = self.open(max_bytes=1 << 20)
        b.put([b"%d" % i for i in range(10)])
        b.take(3, 100)
        b.forget(3)
        b.take(1, 100)
        b.reject("why")
        before = b.waiting_bytes
        b = self.again(b, max_bytes=1 << 20)
        self.assertEqual((b.waiting, b.waiting_bytes), (6, before))
        b.put([b"10"])
        self.assertEqual(b.take(100, 100), [b"%d" % i for i in range(4, 11)])
        (gone,) = b.rejected()
        self.assertEqual((gone.event, gone.reason), (b"3", "why"))
        self.assertLess(abs(gone.time - time.time()), 60)
        self.assertEqual((b.clear_rejected(), b.rejected()), (1, []))
        self.assertEqual(b.waiting_bytes, before - 1 - OVERHEAD + 2 + OVERHEAD)

    def test_set_aside_is_dropped_last(self):
        b = self.open(max_bytes=4096, when_full="drop_oldest")
        for i in range(3):
            b.put([b"%d" % i + b"x" * 1900])
            b.take(1, 1)
            b.reject("why")
        self.assertLessEqual(b.waiting_bytes, 4096)
        b.put([b"3" + b"x" * 1900])
        self.assertLessEqual(b.waiting_bytes, 4096)
        self.assertEqual((b.waiting, len(b.rejected()), b.dropped), (1, 1, 2))

    def test_one_process_has_it(self):
        b = self.open()
        b.put([b"x"])
        with self.assertRaisesRegex(StorageError, "another process"):
            FileBuffer(b.path)

    def test_what_is_no_buffer(self):
        path = os.path.join(self.dir.name, "other")
        with open(path, "w") as f:
            f.write("this is no database, however long it may be" * 100)
        with self.assertRaisesRegex(StorageError, "not a database"):
            FileBuffer(path)
        os.remove(path)
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE t (x)")
        db.commit()
        db.close()
        with self.assertRaisesRegex(StorageError, "something else"):
            FileBuffer(path)
        with self.assertRaises(StorageError):
            FileBuffer(os.path.join(self.dir.name, "no", "such", "folder"))

    def test_synchronous(self):
        """A put waits for the disk; what was stored elsewhere need not."""
        b = self.open()
        level = lambda: b._db.execute("PRAGMA synchronous").fetchone()[0]  # noqa: E731
        b.put([b"x", b"y"])
        self.assertEqual((level(), b._db.execute("PRAGMA journal_mode").fetchone()[0]), (2, "wal"))
        b.take(1, 1)
        b.forget(1)
        self.assertEqual(level(), 1)
        b.put([b"z"])
        self.assertEqual(level(), 2)
        quick = self.open(power_safe=False)
        quick.put([b"x"])
        self.assertEqual(quick._db.execute("PRAGMA synchronous").fetchone()[0], 1)

    def test_file_stays_small(self):
        b = self.open(max_bytes=1 << 20)
        for i in range(300):
            b.put([b"x" * 1000] * 100)
            b.take(100, 1 << 20)
            b.forget(100)
        size = sum(os.path.getsize(b.path + end) for end in ("", "-wal") if os.path.exists(b.path + end))
        self.assertLess(size, 12 << 20)  # of 30 MB that went through

    def test_fork(self):
        """A child can neither use the buffer nor harm it, even when it ends in the usual way."""
        b = self.open()
        b.put([b"0"])
        program = (
            "import os, sys; sys.path.insert(0, %r)\n"
            "from sluice_client import FileBuffer, StorageError\n"
            "b = FileBuffer(%r)\n"
            "b.put([b'1'])\n"
            "pid = os.fork()\n"
            "if pid == 0:\n"
            "    try:\n"
            "        b.put([b'child'])\n"
            "    except StorageError:\n"
            "        b.close(); del b; sys.exit(7)\n"
            "    sys.exit(1)\n"
            "assert os.waitpid(pid, 0)[1] == 7 << 8\n"
            "for i in range(2, 200): b.put([b'%%d' %% i])\n"
            "os.kill(os.getpid(), 9)\n"
        ) % (os.path.join(support.HERE, "..", "src"), b.path)
        b.close()
        done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, -9, done.stderr)
        b = FileBuffer(b.path)
        self.addCleanup(b.close)
        self.assertEqual(b.take(1000, 1 << 20), [b"%d" % i for i in range(200)])
        self.assertEqual(b._db.execute("PRAGMA integrity_check").fetchone()[0], "ok")

    def test_sigkill(self):
        """Killed at any moment: what was put is there, in order; what was forgotten is not."""
        for when_full in ("wait", "drop_oldest"):
            path = os.path.join(self.dir.name, "killed " + when_full)
            rng = random.Random(os.environ.get("SLUICE_SEED", "3"))
            following = put = forgot = 0
            put = forgot = -1
            for kill in range(KILLS):
                writer = subprocess.Popen([sys.executable, os.path.join(support.HERE, "buffer_writer.py"), path, str(following), when_full], stdout=subprocess.PIPE)
                forgetting = -1
                first = writer.stdout.readline()  # it works
                threading.Timer(rng.random() * 0.3, lambda w=writer: w.send_signal(signal.SIGKILL)).start()
                for line in [first] + writer.stdout.readlines():
                    word, _, n = line.decode().partition(" ")
                    if not n.endswith("\n"):
                        continue  # cut off
                    if word == "put":
                        put = int(n)
                    elif word == "forgot":
                        forgot = int(n)
                    else:
                        forgetting = int(n)
                writer.wait()
                writer.stdout.close()
                b = FileBuffer(path, max_bytes=1 << 17, when_full=when_full)
                rows = b.take(1 << 20, 1 << 30)
                numbers = [int(row.split()[0]) for row in rows]
                self.assertEqual(rows, [b"%d " % i + b"x" * (i % 300) for i in numbers])
                if numbers:
                    self.assertEqual(numbers, list(range(numbers[0], numbers[-1] + 1)))
                    self.assertGreaterEqual(numbers[-1], put)
                    if when_full == "wait":
                        self.assertGreater(numbers[0], forgot)
                        self.assertLessEqual(numbers[0], max(forgot, forgetting) + 1)
                    else:
                        self.assertLessEqual(b.waiting_bytes, 1 << 17)
                        self.assertTrue(numbers[0] == 0 or b.waiting_bytes > (1 << 17) - 4096)
                else:
                    self.assertGreaterEqual(max(forgot, forgetting), put)
                self.assertEqual(b.waiting_bytes, sum(map(len, rows)) + OVERHEAD * len(rows))
                following = (numbers[-1] if numbers else max(put, forgetting)) + 1
                b.close()


if __name__ == "__main__":
    unittest.main()
