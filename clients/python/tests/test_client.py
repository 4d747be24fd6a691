import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import support
from sluice_client import (
    AvroClient, ClosedError, ConfigError, ConnectError, DeliveryError, Event, FailoverClient, HTTPClient, LoadBalancingClient, RejectedError,
    StatusError, ThriftClient, from_properties,
)
from sluice_client._target import Balance
from sluice_client.properties import load, read


def nobody():
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def numbered(n, start=0):
    return [Event("%d" % i) for i in range(start, start + n)]


def bodies(server):
    return [int(e.body) for e in server.events]


class One(unittest.TestCase):
    def test_batches_are_cut(self):
        with support.Server() as s, AvroClient("127.0.0.1", s.port, batch_size=3) as c:
            c.append_batch(e for e in numbered(7))
            c.append(Event("7"))
            c.append_batch([])
            self.assertEqual([len(call) for call in s.calls], [3, 3, 1, 1])
            self.assertEqual(bodies(s), list(range(8)))
            self.assertEqual(s.connections, 1)

    def test_what_was_delivered_is_told(self):
        with support.Server(lambda n: "FAILED" if n == 2 else "OK") as s, AvroClient("127.0.0.1", s.port, batch_size=2) as c:
            with self.assertRaises(StatusError) as caught:
                c.append_batch(numbered(8))
            self.assertEqual(caught.exception.delivered, 4)
            c.append_batch(numbered(4, 4))  # on the same connection
            self.assertEqual(bodies(s), list(range(8)))
            self.assertEqual(s.connections, 1)

    def test_connects_again(self):
        with support.Server(lambda n: "close" if n == 1 else "OK") as s, AvroClient("127.0.0.1", s.port) as c:
            c.append(Event("0"))
            with self.assertRaisesRegex(DeliveryError, "127.0.0.1:%d.*closed" % s.port):
                c.append(Event("1"))
            c.append(Event("1"))
            self.assertEqual(bodies(s), [0, 1])
            self.assertEqual(s.connections, 2)

    def test_agent_restarted_between_calls(self):
        """A connection that was closed while nothing was sent costs no error."""
        s = support.Server()
        with AvroClient("127.0.0.1", s.port) as c:
            c.append(Event("0"))
            s.close()
            time.sleep(0.05)
            with support.Server(port=s.port) as again:
                c.append(Event("1"))
                self.assertEqual(bodies(again), [1])

    def test_time_limits(self):
        with support.Server(lambda n: "silence") as s:
            for client in (AvroClient("127.0.0.1", s.port, connect_timeout=0.2), AvroClient("127.0.0.1", s.port, connect_timeout=0.2, request_timeout=9)):
                with client as c:
                    began = time.monotonic()
                    with self.assertRaisesRegex(DeliveryError, "no answer after 0.2 s"):
                        c.append(Event("x"))
                    self.assertLess(time.monotonic() - began, 2)
        with support.Server(lambda n: "silence" if n else "OK") as s, AvroClient("127.0.0.1", s.port, request_timeout=0.2) as c:
            c.append(Event("0"))
            with self.assertRaisesRegex(DeliveryError, "no answer after 0.2 s"):
                c.append(Event("1"))

    def test_nobody_there(self):
        for client in (AvroClient("127.0.0.1", nobody()), ThriftClient("127.0.0.1", nobody()), HTTPClient("http://127.0.0.1:%d/" % nobody())):
            with client as c, self.assertRaisesRegex(ConnectError, "does anything listen there"):
                c.append(Event("x"))

    def test_close_ends_a_call(self):
        with support.Server(lambda n: "silence") as s:
            c = AvroClient("127.0.0.1", s.port)
            threading.Timer(0.2, c.close).start()
            began = time.monotonic()
            with self.assertRaises(ClosedError):
                c.append(Event("x"))
            self.assertLess(time.monotonic() - began, 3)
            with self.assertRaises(ClosedError):
                c.append(Event("x"))

    def test_threads_share_it(self):
        with support.Server() as s, AvroClient("127.0.0.1", s.port) as c:
            threads = [threading.Thread(target=lambda lane=lane: [c.append(e) for e in numbered(50, lane * 50)]) for lane in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(bodies(s)), list(range(400)))
            self.assertEqual(s.connections, 1)

    def test_large_events(self):
        with ThriftClient("127.0.0.1", nobody()) as c:
            with self.assertRaisesRegex(RejectedError, "16384000"):
                c.append(Event(b"x" * 16_384_000))
            calls = list(c._target.calls([Event(b"x" * 5_000_000)] * 10, False, False))
            self.assertEqual(sum(n for _, n in calls), 10)
            self.assertLessEqual(max(len(call) for call, _ in calls), 16_384_000)

    def test_settings(self):
        for make in (
            lambda: AvroClient("h", 0), lambda: AvroClient("", 1), lambda: AvroClient("h", 1, batch_size=0), lambda: AvroClient("h", 1, connect_timeout=0),
            lambda: AvroClient("h", 1, compression_level=10), lambda: ThriftClient("h", 1, protocol="json"), lambda: HTTPClient("ftp://h/"),
            lambda: HTTPClient("http://h/a b"), lambda: HTTPClient("http://h:99999/"), lambda: LoadBalancingClient([AvroClient("h", 1)]), lambda: FailoverClient([]),
        ):
            with self.assertRaises(ConfigError):
                make()

    def test_fork(self):
        with support.Server() as s, AvroClient("127.0.0.1", s.port) as c:
            c.append(Event("0"))
            pid = os.fork()
            if pid == 0:
                try:
                    c.append(Event("1"))
                    os._exit(0)
                finally:
                    os._exit(1)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            c.append(Event("2"))
            support.until(lambda: sorted(bodies(s)) == [0, 1, 2])
            self.assertEqual(s.connections, 2)


class Several(unittest.TestCase):
    def test_failover_stays_and_goes_on(self):
        with support.Server() as a, support.Server() as b:
            with FailoverClient([AvroClient("127.0.0.1", nobody()), AvroClient("127.0.0.1", a.port), AvroClient("127.0.0.1", b.port)]) as c:
                c.append_batch(numbered(3))
                a.answer = lambda n: "FAILED"
                c.append_batch(numbered(3, 3))
                a.answer = lambda n: "OK"
                c.append_batch(numbered(3, 6))
                self.assertEqual((bodies(a), bodies(b)), ([0, 1, 2], [3, 4, 5, 6, 7, 8]))

    def test_what_one_has_stored_the_next_does_not_get(self):
        with support.Server(lambda n: "OK" if n < 2 else "close") as a, support.Server() as b:
            with FailoverClient([AvroClient("127.0.0.1", a.port, batch_size=2), AvroClient("127.0.0.1", b.port, batch_size=2)]) as c:
                c.append_batch(numbered(9))
                self.assertEqual((bodies(a), bodies(b)), ([0, 1, 2, 3], [4, 5, 6, 7, 8]))

    def test_failover_gives_up(self):
        with FailoverClient([AvroClient("127.0.0.1", nobody()), AvroClient("127.0.0.1", nobody())]) as c:
            with self.assertRaises(ConnectError):
                c.append(Event("x"))
        with support.Server(lambda n: "FAILED") as a:
            with FailoverClient([AvroClient("127.0.0.1", a.port)], max_attempts=5) as c:
                with self.assertRaises(StatusError):
                    c.append(Event("x"))
                self.assertEqual(a.n, 5)

    def test_round_robin(self):
        with support.Server() as a, support.Server() as b:
            with LoadBalancingClient([AvroClient("127.0.0.1", a.port), AvroClient("127.0.0.1", b.port)]) as c:
                for i in range(6):
                    c.append(Event(str(i)))
                self.assertEqual((bodies(a), bodies(b)), ([0, 2, 4], [1, 3, 5]))
                a.close()
                for i in range(6, 10):
                    c.append(Event(str(i)))
                self.assertEqual(bodies(b)[3:], [6, 7, 8, 9])

    def test_all_left_out(self):
        with LoadBalancingClient([AvroClient("127.0.0.1", nobody()), AvroClient("127.0.0.1", nobody())], backoff=True) as c:
            with self.assertRaises(ConnectError):
                c.append(Event("x"))
            with self.assertRaisesRegex(DeliveryError, "left out"):
                c.append(Event("x"))

    def test_penalties(self):
        """2 s, 4, 8, 16, then the most; they count on for an hour after the last has ended."""
        b = Balance(2, "round_robin", True)
        now, waits = 1000.0, []
        for _ in range(6):
            b._fail(0, now)
            waits.append(b._until[0] - now)
            now = b._until[0] + 1
        self.assertEqual(waits, [2, 4, 8, 16, 30, 30])
        b._fail(0, b._until[0] + 3601)
        self.assertEqual(b._failures[0], 1)
        self.assertEqual([b._turn(now), b._turn(now + 9999)], [[1], [1, 0]])
        self.assertEqual(sorted(Balance(3, "random")._turn(0.5)), [0, 1, 2])


class Properties(unittest.TestCase):
    def test_kinds(self):
        hosts = {"hosts": "h1 h2", "hosts.h1": "one:1", "hosts.h2": "[::1]:2"}
        for kind, cls in (("", AvroClient), ("DEFAULT", AvroClient), ("thrift", ThriftClient), ("default_failover", FailoverClient), ("default_loadbalance", LoadBalancingClient)):
            with from_properties({"client.type": kind, **hosts}) as c:
                self.assertIsInstance(c, cls)
        setup = read({"client.type": "default_failover", **hosts})
        self.assertEqual((setup.addresses, setup.odd), ([("one", 1), ("::1", 2)], []))

    def test_numbers_are_lenient_as_flumes(self):
        base = {"hosts": "h", "hosts.h": "one:1"}
        for properties, want in (
            ({}, (100, 20.0, 20.0)),
            ({"batch-size": "7", "connect-timeout": "1500", "request-timeout": "999"}, (7, 1.5, 20.0)),
            ({"batch-size": "x", "connect-timeout": "x", "request-timeout": "x"}, (100, 20.0, 20.0)),
        ):
            common = read({**base, **properties}).common
            self.assertEqual((common["batch_size"], common["connect_timeout"], common["request_timeout"]), want)
        self.assertEqual(read({**base, "maxBackoff": "5000"}).max_backoff, 5)

    def test_what_is_odd_is_said(self):
        base = {"hosts": "h", "hosts.h": "one:1"}
        for key, value in (("batchsize", "3"), ("maxIoWorkers", "3"), ("protocol", "Binary"), ("compression-type", "gzip"), ("batch-size", "0")):
            self.assertRegex("\n".join(read({**base, key: value}).odd), key)

    def test_what_cannot_be(self):
        for properties in (
            {}, {"hosts": "h"}, {"hosts": "h", "hosts.h": "one"}, {"hosts": "h", "hosts.h": "::1:2"}, {"hosts": "h", "hosts.h": "one:0"},
            {"client.type": "my.Client", "hosts": "h", "hosts.h": "one:1"}, {"client.type": "default_loadbalance", "hosts": "h", "hosts.h": "one:1"},
            {"hosts": "h", "hosts.h": "one:1", "kerberos": "true"}, {"hosts": "h", "hosts.h": "one:1", "maxBackoff": "soon"},
        ):
            with self.subTest(properties), self.assertRaises(ConfigError):
                read(properties)

    def test_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".properties", encoding="utf-8") as f:
            f.write("# a comment\n! another\nhosts = a \\\n   b\nhosts.a:one\\:1\nhosts.b two:2\nk\\ 1=\\u00e9\\t\nempty\n\nlast=v\\")
            f.flush()
            self.assertEqual(load(f.name), {"hosts": "a b", "hosts.a": "one:1", "hosts.b": "two:2", "k 1": "é\t", "empty": "", "last": "v"})
        with self.assertRaises(ConfigError):
            load("/nowhere/x")

    def test_java_key_stores_are_refused_by_name(self):
        store = os.path.join(support.ROOT, "internal", "tls", "testdata", "trust.jks")
        with self.assertRaisesRegex(ConfigError, "keytool"):
            read({"hosts": "h", "hosts.h": "one:1", "ssl": "true", "truststore": store})


@unittest.skipUnless(subprocess.run(["which", "openssl"], stdout=subprocess.DEVNULL).returncode == 0, "no openssl to make a certificate")
class Encrypted(unittest.TestCase):
    """A source that speaks TLS, with the compression inside and outside of it."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.cert, key = os.path.join(self.dir.name, "cert.pem"), os.path.join(self.dir.name, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", self.cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.cert, key)

    def front(self, behind):
        """A TLS end in front of a plain server."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            while True:
                try:
                    raw, _ = listener.accept()
                    near = self.server.wrap_socket(raw, server_side=True)
                except (OSError, ssl.SSLError):
                    if listener.fileno() < 0:
                        return
                    continue
                far = socket.create_connection(("127.0.0.1", behind))
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=(a, b), daemon=True).start()

        def pump(a, b):
            try:
                while True:
                    data = a.recv(65536)
                    if not data:
                        break
                    b.sendall(data)
            except (OSError, ValueError):
                pass
            for s in (a, b):
                s.close()

        threading.Thread(target=serve, daemon=True).start()
        self.addCleanup(listener.close)
        return listener.getsockname()[1]

    def test_trusted_and_not(self):
        with support.Server() as s:
            port = self.front(s.port)
            trusting = ssl.create_default_context(cafile=self.cert)
            with AvroClient("localhost", port, tls=trusting) as c:
                for i in range(3):
                    c.append(Event(str(i)))
                c.append(Event(b"x" * 3_000_000))
            self.assertEqual(len(s.events), 4)
            with AvroClient("localhost", port, tls=True) as c, self.assertRaisesRegex(ConnectError, "trust store"):
                c.append(Event("x"))
            with AvroClient("127.0.0.1", port, tls=trusting) as c, self.assertRaises(ConnectError):
                c.append(Event("x"))  # another name than the certificate's
            for more in ({"truststore": self.cert}, {"trust-all-certs": "true"}):
                with from_properties({"hosts": "h", "hosts.h": "127.0.0.1:%d" % port, "ssl": "true", **more}) as c:
                    c.append(Event("5"))  # which Flume's clients do not look at
            with AvroClient("localhost", s.port, tls=trusting, connect_timeout=1) as c, self.assertRaises(ConnectError):
                c.append(Event("x"))  # nobody who speaks TLS


if __name__ == "__main__":
    unittest.main()
