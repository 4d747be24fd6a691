import json
import random
import unittest

import support
from sluice_client import AVRO_SCHEMA, Event, EventError, decode_event, encode_event


class AvroFlumeEvent(unittest.TestCase):
    def test_golden(self):
        manifest = json.loads(support.golden("event", "manifest.json"))
        self.assertEqual(json.loads(AVRO_SCHEMA), manifest["schema"])
        read = refused = 0
        for value in manifest["values"]:
            with self.subTest(value["file"]):
                data = support.golden("event", value["file"])
                if value["file"].startswith("flume-sink-plain"):
                    continue
                if not value["readable"]:
                    refused += 1
                    with self.assertRaises(EventError):
                        decode_event(data)
                    continue
                read += 1
                want = support.event(value["event"])
                self.assertEqual(decode_event(data), want)
                if not value["file"].startswith("hand/"):
                    again = encode_event(want)
                    self.assertEqual(len(again), len(data))
                    self.assertEqual(decode_event(again), want)
                    if len(want.headers) < 2 or value["file"].startswith("python-"):
                        self.assertEqual(again, data)
        self.assertGreaterEqual(read, 37)
        self.assertGreaterEqual(refused, 11)

    def test_mistakes_are_named(self):
        for file, word in (
            ("avro-container", "container"), ("avro-container-deflate", "container"), ("single-object", "single-object"),
            ("registry-prefix", "Registry"), ("json", "JSON"), ("empty-value", "empty"),
        ):
            with self.subTest(file), self.assertRaisesRegex(EventError, word):
                decode_event(support.golden("event", "mistakes", file + ".bin"))

    def test_worked_example(self):
        e = Event("hello\n", {"host": "web-1", "kéy": "v€"})
        self.assertEqual(encode_event(e).hex(), "0408686f73740a7765622d31086bc3a9790876e282ac000c68656c6c6f0a")

    def test_bytes_that_are_no_text_pass_unchanged(self):
        data = bytes.fromhex("02046b8004fffe000262")
        self.assertEqual(encode_event(decode_event(data)), data)

    def test_what_cannot_be_an_event(self):
        for headers in ({"a": 1}, {"a": None}, {1: "a"}, {"a": b"b"}):
            with self.subTest(headers), self.assertRaisesRegex(EventError, "header"):
                encode_event(Event("x", headers))
        with self.assertRaisesRegex(EventError, "body"):
            Event(12)

    def test_bodies(self):
        for body in ("é", bytearray(b"\xc3\xa9"), memoryview(b"\xc3\xa9")):
            self.assertEqual(Event(body).body, b"\xc3\xa9")

    def test_sizes(self):
        for n in (0, 1, 63, 64, 4095, 4096, 8191, 8192, 1 << 20):
            e = Event(b"x" * n, {"k" * min(n, 5000): "v" * n})
            self.assertEqual(decode_event(encode_event(e)), e)

    def test_any_bytes(self):
        """Whatever comes is an event or an EventError, and soon."""
        rng = random.Random(7)
        seeds = [support.golden("event", v["file"])[:300] for v in json.loads(support.golden("event", "manifest.json"))["values"]]
        for _ in range(20000):
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randrange(4)):
                if data:
                    data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            data = bytes(data[: rng.randrange(len(data) + 1)]) if rng.random() < 0.5 else bytes(data)
            try:
                e = decode_event(data)
            except EventError:
                continue
            self.assertEqual(decode_event(encode_event(e)), e)


if __name__ == "__main__":
    unittest.main()
