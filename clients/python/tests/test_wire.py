"""The three protocols against golden conversations, and against anything."""

import random
import unittest
import zlib

import support
from sluice_client import DeliveryError, Event, EventError, RejectedError, RemoteError, StatusError
from sluice_client._avro import FLUME, OURS, TEXT, AvroWire
from sluice_client._http import HTTPWire, authorization
from sluice_client._steps import Pipe
from sluice_client._thrift import ThriftWire, accelerator


def outcome(run):
    try:
        run()
    except StatusError as e:
        return "FAILED" if "FAILED" in str(e) else str(e)
    except RemoteError:
        return "error"
    except DeliveryError:
        return "broken"
    return "OK"


class Avro(unittest.TestCase):
    def test_golden(self):
        played = 0
        for case in support.cases("avrorpc"):
            if "plan" not in case or case["name"] == "deflate-client-plain-server":
                continue
            deflated = case["name"].startswith("deflate")
            kind = ".inflated.bin" if deflated else ".bin"
            for step in (1, 7, 1 << 16):
                with self.subTest(case["name"], step=step):
                    answers = support.golden("avrorpc", case["name"] + ".server" + kind)
                    talk = support.Conversation(answers, step)
                    wire = AvroWire()
                    session = wire.session()
                    got = []
                    for events, single in support.plan(case):
                        size = 3 if case["name"] == "sub-batches" else max(len(events), 1)
                        for at in range(0, len(events), size):
                            call = wire.call(events[at : at + size], single)
                            got.append(outcome(lambda: talk.run(session.exchange(talk.pipe, call, single))))
                    want = []
                    for call in case["calls"]:
                        answer = call["answer"]
                        if answer.get("handshake", {}).get("match") != "NONE":
                            want.append(answer.get("status", "error"))
                    self.assertEqual(got, want)
                    self.compare(case, talk.said, support.golden("avrorpc", case["name"] + ".client" + kind))
                    played += 1
        self.assertGreaterEqual(played, 45)

    def compare(self, case, ours, theirs):
        ours, theirs = support.frames(bytes(ours)), support.frames(theirs)
        self.assertEqual([serial for serial, _ in ours], [serial for serial, _ in theirs])
        for (_, a), (_, b), call in zip(ours, theirs, case["calls"]):
            if "handshake" in call["request"]:
                if call["request"]["handshake"]["clientProtocol"] is None:
                    self.assertEqual(a[:33], b[:33])  # both hashes, no text
                    a, b = a[34:], b[35:]  # Java says an empty map where we say none
                else:
                    a, b = a[-len(b) + 1 :], b  # Flume's text has a licence in it
                    a, b = a[a.index(b"\x16appendBatch") - 1 :], b[b.index(b"\x16appendBatch") - 1 :]
            self.assertEqual(len(a), len(b))
            self.assertEqual(support.avro_events(a), support.avro_events(b))

    def test_first_bytes(self):
        """The worked example of one append with its handshake, and the next call."""
        talk = support.Conversation(bytes.fromhex("0000000100000003000000040000000000000001000000000200000000000200000003000000000000000100000000020000"))
        wire = AvroWire()
        session = wire.session()
        e = Event("hello", {"host": "web1"})
        for _ in range(2):
            talk.run(session.exchange(talk.pipe, wire.call([e], True), True))
        body = "000c617070656e640208686f73740877656231000a68656c6c6f"
        hello = FLUME.hex() + "00" + FLUME.hex() + "00"
        self.assertEqual(talk.said.hex(), "00000001000000010000003c" + hello + body + "00000002000000010000001a" + body)

    def test_text_has_its_hash(self):
        import hashlib

        self.assertEqual(hashlib.md5(TEXT).digest(), OURS)

    def test_deflate(self):
        for level in (0, 6, 9):
            for name in ("deflate-6", "deflate-0"):
                pipe = Pipe(None, level, False)
                talk = support.Conversation(support.golden("avrorpc", name + ".server.bin"), 5, pipe)
                case = [c for c in support.cases("avrorpc") if c["name"] == name][0]
                wire = AvroWire()
                session = wire.session()
                for events, single in support.plan(case):
                    talk.run(session.exchange(pipe, wire.call(events, single), single))
                self.assertTrue(talk.said.endswith(b"\0\0\xff\xff"))
                self.compare(case, zlib.decompressobj().decompress(bytes(talk.said)), support.golden("avrorpc", name + ".client.inflated.bin"))

    def test_packed(self):
        from sluice_client import encode_event

        events = [Event("a", {"x": "y"}), Event("b")]
        wire = AvroWire()
        self.assertEqual(wire.packed([encode_event(e) for e in events]), wire.call(events, False))

    def test_any_answer(self):
        fuzz(self, lambda: AvroWire(), [support.golden("avrorpc", c["name"] + ".server.bin")[:400] for c in support.cases("avrorpc")])


class Thrift(unittest.TestCase):
    def test_golden(self):
        played = 0
        for accelerate in (False, True):
            for case in support.cases("thriftrpc"):
                if not case.get("plan"):
                    continue
                with self.subTest(case["name"], accelerate=accelerate):
                    python = case["name"].startswith("python")
                    answers = bytearray(support.golden("thriftrpc", case["name"] + ".server.bin"))
                    client = support.golden("thriftrpc", case["name"] + ".client.bin")
                    at = 0
                    wire = ThriftWire(case["protocol"], accelerate=accelerate)
                    session = wire.session()
                    got = []
                    talk = support.Conversation(b"", 3)
                    said = 0
                    for number, (events, single) in enumerate(support.plan(case), 1):
                        n = 4 + int.from_bytes(answers[at : at + 4], "big")
                        answer = bytearray(answers[at : at + n])
                        at += n
                        place = 4 + 2 if case["protocol"] == "compact" else 4 + 8 + len("append" if single else "appendBatch") + 3
                        if python:  # which numbers all its calls 0
                            answer[place] = number
                        talk._answers = memoryview(bytes(answer))
                        got.append(outcome(lambda: talk.run(session.exchange(talk.pipe, wire.call(events, single), single))))
                        ours = bytearray(talk.said[said:])
                        theirs = bytearray(client[said : len(talk.said)])
                        said = len(talk.said)
                        if python:
                            ours[place] = 0
                        if python or "odd" not in case["name"]:  # Java's maps have an order of their own
                            self.assertEqual(len(ours), len(theirs))
                            if python or all(len(e.headers) < 2 for e in events):
                                self.assertEqual(ours, theirs)
                    self.assertEqual(len(talk.said), len(client))
                    self.assertEqual(got, [s.split(" ", 1)[1] if s.endswith(("OK", "FAILED")) and "status" not in s else "OK" if s.endswith("ok") else "FAILED" for s in case["client_says"]])
                    played += 1
        self.assertGreaterEqual(played, 28)

    def test_long_batches(self):
        """The header of a list has two forms."""
        for protocol in ("compact", "binary"):
            fast = ThriftWire(protocol)
            slow = ThriftWire(protocol, accelerate=False)
            for n in (0, 1, 14, 15, 16, 127, 128, 300):
                events = [Event("%d" % i, {"n": str(i), "kéy": "v€"} if i % 3 else {}) for i in range(n)]
                self.assertEqual(fast.call(events, False), slow.call(events, False))

    @unittest.skipUnless(accelerator("compact"), "the package thrift is not installed")
    def test_accelerator_refuses_what_we_refuse(self):
        for protocol in ("compact", "binary"):
            wire = ThriftWire(protocol)
            self.assertTrue(wire.accelerated)
            for headers in ({"a": 1}, {"a": None}):
                with self.assertRaisesRegex(EventError, "header"):
                    wire.call([Event("x", headers)], False)
            odd = [Event("x", {"a": b"\xff".decode("utf-8", "surrogateescape")})]
            self.assertEqual(wire.call(odd, False), ThriftWire(protocol, accelerate=False).call(odd, False))

    def test_errors(self):
        """Exceptions are told with their text; after PROTOCOL_ERROR the connection is of no use."""
        for protocol in ("compact", "binary"):
            answers = support.golden("thriftrpc", protocol + "-errors.server.bin")
            at, said = 0, []
            while at < len(answers):
                n = 4 + int.from_bytes(answers[at : at + 4], "big")
                frame = answers[at : at + n]
                at += n
                session = ThriftWire(protocol).session()
                name = b"appendBatch" if b"appendBatch" in frame[:24] else b"append"
                if b"append" not in frame[:24]:
                    continue  # about a method that we never call
                head = 4 + 2 if protocol == "compact" else 4 + 8 + len(name)
                session._sequence = (frame[head] if protocol == "compact" else int.from_bytes(frame[head : head + 4], "big")) - 1
                talk = support.Conversation(frame)
                try:
                    talk.run(session.exchange(talk.pipe, ThriftWire(protocol).call([Event("x")], name == b"append"), name == b"append"))
                    said.append(("OK", session.ended))
                except RemoteError as e:
                    said.append((str(e).split(": ", 1)[1][:25], session.ended))
            self.assertEqual(
                [(text[:14], ended) for text, ended in said],
                [("Internal error", False), ("Internal error", False), ("OK", False), (said[3][0][:14], True)],
            )

    def test_any_answer(self):
        for protocol in ("compact", "binary"):
            seeds = [support.golden("thriftrpc", c["name"] + ".server.bin")[:400] for c in support.cases("thriftrpc") if protocol in c["name"]]
            fuzz(self, lambda: ThriftWire(protocol), seeds)


class HTTP(unittest.TestCase):
    def ask(self, answer, events=(Event("é", {"k": "v"}),), step=3):
        wire = HTTPWire("h:1", "/x")
        session = wire.session()
        talk = support.Conversation(answer, step)
        talk.run(session.exchange(talk.pipe, wire.call(list(events), False), False))
        return talk, session

    def test_request(self):
        talk, session = self.ask(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        head, _, body = bytes(talk.said).partition(b"\r\n\r\n")
        self.assertEqual(body.decode(), '[{"headers":{"k":"v"},"body":"\\u00e9"}]')
        self.assertIn(b"Content-Length: %d" % len(body), head)
        self.assertFalse(session.ended)

    def test_answers(self):
        for answer, error in (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", None),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", None),
            (b"HTTP/1.0 200 OK\r\n\r\n", None),
            (b"HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\nwhy\r\n", RemoteError),
            (b"HTTP/1.1 405 Not\r\nContent-Length: 0\r\n\r\n", RemoteError),
            (b"HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n", RejectedError),
            (b"HTTP/1.1 503 Full\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", StatusError),
            (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", StatusError),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", DeliveryError),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\n", DeliveryError),
            (b"SSH-2.0-x\r\n", DeliveryError),
            (b"", DeliveryError),
        ):
            with self.subTest(answer):
                if error is None:
                    self.ask(answer)
                    continue
                with self.assertRaises(error) as caught:
                    self.ask(answer)
                self.assertIs(type(caught.exception), error)
                if b"Retry" in answer:
                    self.assertEqual(caught.exception.retry_after, 7)

    def test_what_json_cannot_carry(self):
        wire = HTTPWire("h:1")
        for e in (Event(b"\xff"), Event("x", {"k": b"\xff".decode("utf-8", "surrogateescape")}), Event("x", {"k": 1})):
            with self.assertRaises(EventError):
                wire.call([e], False)
        wire.call([Event("\U0001f600", {"k": "\U0001f600"})], False)

    def test_authorization(self):
        self.assertEqual(authorization("Aladdin", "open sesame", None), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        self.assertEqual(authorization(None, None, "t"), "Bearer t")
        for arguments in (("u", "p", "t"), (None, None, "a\r\nb")):
            with self.assertRaises(ValueError):
                authorization(*arguments)

    def test_any_answer(self):
        fuzz(self, lambda: HTTPWire("h:1"), [
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
        ])


def fuzz(test, wire, seeds):
    """Whatever a receiver answers, a call ends with nothing or with a DeliveryError."""
    rng = random.Random(11)
    for _ in range(4000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(5)):
            if data:
                data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        if rng.random() < 0.3:
            data = data[: rng.randrange(len(data) + 1)]
        w = wire()
        session = w.session()
        talk = support.Conversation(bytes(data), rng.choice((1, 3, 1 << 16)))
        try:
            for _ in range(3):
                single = rng.random() < 0.5
                talk.run(session.exchange(talk.pipe, w.call([Event("x")], single), single))
        except DeliveryError:
            pass


if __name__ == "__main__":
    unittest.main()
