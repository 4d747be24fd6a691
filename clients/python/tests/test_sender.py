import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import support
from sluice_client import (
    AvroClient, BufferFullError, ClosedError, ConfigError, Event, EventError, FileBuffer, MemoryBuffer, Sender, SluiceHandler, decode_event,
)
from sluice_client.client import Client
from sluice_client.errors import DeliveryError, RejectedError, StatusError


class Scripted(Client):
    """A client of which the test says what becomes of each call: how many are delivered, and with which error."""

    def __init__(self, answer):
        self.answer, self.calls, self.got, self.closed = answer, 0, [], False

    def _transmit(self, items, packed=False, single=False):
        self.calls += 1
        events = [decode_event(row) for row in items]
        error = self.answer(self, events)
        n = len(events) if error is None else error.delivered
        self.got += [e.body for e in events[:n]]
        if error is not None:
            raise error

    def close(self):
        self.closed = True


def ok(client, events):
    return None


class Background(unittest.TestCase):
    def sender(self, answer, buffer=None, **settings):
        client = Scripted(answer)
        settings.setdefault("retry_first", 0.01)
        settings.setdefault("close_timeout", 0.2)
        s = Sender(client, buffer, **settings)
        self.addCleanup(s.close)
        return s, client

    def test_delivers_in_order(self):
        s, client = self.sender(ok, batch_size=7)
        for i in range(100):
            s.send(Event("%d" % i))
        s.send_batch(Event("%d" % i) for i in range(100, 200))
        s.send_batch([])
        self.assertTrue(s.flush(10))
        self.assertEqual(client.got, [b"%d" % i for i in range(200)])
        counts = s.counts
        self.assertEqual((counts.sent, counts.delivered, counts.waiting, counts.waiting_bytes, counts.last_error), (200, 200, 0, 0, ""))
        self.assertEqual(s.close(), 0)
        self.assertTrue(client.closed)
        with self.assertRaises(ClosedError):
            s.send(Event("x"))

    def test_tries_until_it_is_done(self):
        script = iter([DeliveryError("away", 0), DeliveryError("away", 2), StatusError("full"), StatusError("full", retry_after=0.05)])
        with self.assertLogs("sluice_client", "INFO") as logs:
            s, client = self.sender(lambda c, e: next(script, None), linger=0.05)
            s.send_batch(Event("%d" % i) for i in range(5))
            self.assertTrue(s.flush(10))
            support.until(lambda: s.counts.last_error == "")
        self.assertEqual(client.got, [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(s.counts.failures, 4)
        said = [record.getMessage() for record in logs.records]
        self.assertEqual(said, ["events wait: away", "events wait: full", "events are delivered again"])  # a line for each cause

    def test_one_that_is_rejected_does_not_hold_up_the_others(self):
        for buffer in (None, "file"):
            with tempfile.TemporaryDirectory() as d:
                aside = []
                s, client = self.sender(
                    lambda c, e: RejectedError("bad") if any(x.body in (b"13", b"77") for x in e) else None,
                    FileBuffer(os.path.join(d, "b")) if buffer else None, on_rejected=aside.append,
                )
                s.send_batch(Event("%d" % i) for i in range(100))
                self.assertTrue(s.flush(10))
                self.assertEqual(client.got, [b"%d" % i for i in range(100) if i not in (13, 77)])
                self.assertEqual([decode_event(r.event).body for r in aside], [b"13", b"77"])
                self.assertEqual((s.counts.rejected, s.counts.delivered), (2, 98))
                if buffer:
                    self.assertEqual([r.reason for r in s.buffer.rejected()], ["bad", "bad"])
                s.close()

    def test_rejected_is_said(self):
        with self.assertLogs("sluice_client", "ERROR") as logs:
            s, _ = self.sender(lambda c, e: RejectedError("bad"))
            s.send(Event("x"))
            self.assertTrue(s.flush(10))
        self.assertIn("is lost: bad", logs.output[0])

    def test_batches(self):
        gate = threading.Event()
        sizes = []

        def answer(client, events):
            gate.wait(5)
            sizes.append(len(events))

        s, _ = self.sender(answer, batch_size=10, batch_bytes=1000)
        s.send_batch(Event(b"x" * 90) for _ in range(35))
        s.send_batch(Event(b"y" * 400) for _ in range(5))
        gate.set()
        self.assertTrue(s.flush(10))
        self.assertEqual(sizes, [10, 10, 10, 6, 2, 2])

    def test_linger(self):
        s, client = self.sender(ok, linger=30, batch_size=5)
        for i in range(5):
            s.send(Event("%d" % i))
        support.until(lambda: client.calls == 1)  # it was full
        s.send(Event("5"))
        time.sleep(0.05)
        self.assertEqual(client.calls, 1)
        self.assertTrue(s.flush(10))  # which does not wait for more
        s2, client2 = self.sender(ok, linger=0.05)
        s2.send(Event("0"))
        support.until(lambda: client2.calls == 1)

    def test_full(self):
        s, client = self.sender(lambda c, e: DeliveryError("away"), MemoryBuffer(4096))
        with self.assertRaises(BufferFullError):
            for _ in range(100):
                s.send(Event(b"x" * 400), timeout=0.01)
        client.answer = ok
        s.send(Event("last"))  # waits for room
        self.assertTrue(s.flush(10))
        self.assertEqual(client.got[-1], b"last")

    def test_drop_oldest(self):
        s, client = self.sender(lambda c, e: DeliveryError("away"), MemoryBuffer(4096, "drop_oldest"))
        for i in range(100):
            s.send(Event(b"%03d" % i + b"x" * 400))
        client.answer = ok
        self.assertTrue(s.flush(10))
        self.assertEqual(client.got[-1][:3], b"099")
        counts = s.counts
        self.assertEqual(counts.delivered + counts.dropped, 100)
        self.assertEqual(len(client.got), counts.delivered)

    def test_what_cannot_be_sent_is_refused_at_once(self):
        s, _ = self.sender(ok)
        with self.assertRaises(EventError):
            s.send(Event("x", {"k": 1}))
        with self.assertRaises(EventError):
            s.send_batch([Event("x"), Event("x", {"k": 1})])
        self.assertEqual(s.counts.sent, 0)

    def test_a_mistake_of_ours_does_not_end_it(self):
        boom = iter([ZeroDivisionError("bug")])

        def answer(client, events):
            for error in boom:
                raise error

        with self.assertLogs("sluice_client", "ERROR"):
            s, client = self.sender(answer)
            s.send(Event("x"))
            self.assertTrue(s.flush(10))
        self.assertEqual(client.got, [b"x"])

    def test_what_is_lost_is_said(self):
        with self.assertLogs("sluice_client", "ERROR") as logs:
            s, _ = self.sender(lambda c, e: DeliveryError("away"))
            s.send(Event("x"))
            self.assertEqual(s.close(0.05), 1)
        self.assertIn("1 events were not delivered and are lost: away", logs.output[-1])

    def test_a_file_keeps_it(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "b")
            s, _ = self.sender(lambda c, e: DeliveryError("away"), FileBuffer(path))
            s.send_batch(Event("%d" % i) for i in range(10))
            self.assertEqual(s.close(0.05), 10)
            s, client = self.sender(ok, FileBuffer(path))
            s.send(Event("10"))
            self.assertTrue(s.flush(10))
            self.assertEqual(client.got, [b"%d" % i for i in range(11)])
            s.close()

    def test_flush_gives_up(self):
        s, _ = self.sender(lambda c, e: DeliveryError("away"))
        s.send(Event("x"))
        self.assertFalse(s.flush(0.05))

    def test_settings(self):
        for settings in ({"batch_size": 0}, {"batch_bytes": 0}, {"linger": -1}, {"retry_first": 0}, {"retry_most": 0.001}):
            with self.assertRaises(ConfigError):
                Sender(Scripted(ok), **settings)

    def test_program_that_just_ends(self):
        """What a program has sent before its end is delivered."""
        with support.Server() as server:
            program = (
                "import sys; sys.path.insert(0, %r)\n"
                "from sluice_client import *\n"
                "s = Sender(AvroClient('127.0.0.1', %d))\n"
                "s.send_batch(Event('%%d' %% i) for i in range(1000))\n"
            ) % (os.path.join(support.HERE, "..", "src"), server.port)
            subprocess.run([sys.executable, "-c", program], check=True)
            self.assertEqual([e.body for e in server.events], [b"%d" % i for i in range(1000)])

    def test_fork(self):
        """A forked process has a sender of its own, and sends nothing twice."""
        with support.Server() as server:
            s = Sender(AvroClient("127.0.0.1", server.port))
            self.addCleanup(s.close)
            server.answer = lambda n: "FAILED"
            s.send(Event("parent"))
            pid = os.fork()
            if pid == 0:
                try:
                    s.send(Event("child"))
                    os._exit(0 if s.flush(10) and s.counts.delivered == 1 else 2)
                finally:
                    os._exit(1)
            server.answer = lambda n: "OK"
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertTrue(s.flush(10))
            self.assertEqual(sorted(e.body for e in server.events), [b"child", b"parent"])


class Logging(unittest.TestCase):
    def setUp(self):
        self.log = logging.getLogger("my.program")
        self.log.propagate = False
        self.log.setLevel(logging.DEBUG)

    def attach(self, handler):
        self.log.addHandler(handler)

        def remove():
            self.log.removeHandler(handler)
            handler.close()

        self.addCleanup(remove)
        return handler

    def test_records(self):
        with support.Server() as server:
            h = self.attach(SluiceHandler(Sender(AvroClient("127.0.0.1", server.port)), {"app": "shop"}))
            h.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
            before = time.time()
            self.log.warning("häuser %d", 3)
            try:
                1 / 0
            except ZeroDivisionError:
                self.log.exception("bad \udcff")
            logging.getLogger("sluice_client.sender").addHandler(h)
            try:
                logging.getLogger("sluice_client.sender").error("of ours")
            finally:
                logging.getLogger("sluice_client.sender").removeHandler(h)
            self.assertTrue(h.sender.flush(10))
            first, second = server.events
            self.assertEqual(first.body.decode(), "WARNING häuser 3")
            self.assertIn(b"ZeroDivisionError", second.body)
            p = "flume.client.log4j."
            headers = first.headers
            self.assertEqual((headers[p + "logger.name"], headers[p + "log.level"], headers[p + "message.encoding"], headers["app"]), ("my.program", "30000", "UTF8", "shop"))
            self.assertEqual(headers["timestamp"], headers[p + "timestamp"])
            self.assertLess(abs(int(headers["timestamp"]) / 1000 - before), 10)
            self.assertTrue(headers["host"])
            self.assertEqual(h.lost, 0)

    def test_full_buffer_does_not_stop_the_program(self):
        h = self.attach(SluiceHandler(Sender(Scripted(lambda c, e: DeliveryError("away")), MemoryBuffer(4096), close_timeout=0.05), timeout=0.01))
        h.handleError = lambda record: None
        began = time.monotonic()
        for _ in range(30):
            self.log.info("x" * 200)
        self.assertGreater(h.lost, 10)
        self.assertLess(time.monotonic() - began, 5)

    def test_needs_a_sender(self):
        with self.assertRaises(ConfigError):
            SluiceHandler(AvroClient("h", 1))


if __name__ == "__main__":
    unittest.main()
