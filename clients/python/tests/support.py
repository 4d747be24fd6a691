"""What the tests share: the golden bytes of the repository, conversations without a network, small servers."""

import base64
import json
import os
import socket
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "src"))

from sluice_client import Event, decode_event  # noqa: E402
from sluice_client._steps import Pipe  # noqa: E402


def golden(package, *name):
    with open(os.path.join(ROOT, "internal", package, "testdata", *name), "rb") as f:
        return f.read()


def cases(package):
    return json.loads(golden(package, "manifest.json"))["cases"]


def event(described):
    if "body_text" in described:
        body = described["body_text"].encode()
    elif "body_b64" in described:
        body = base64.b64decode(described["body_b64"])
    else:
        fill = described["body_fill"]
        pattern = base64.b64decode(fill["pattern_b64"])
        body = (pattern * (fill["length"] // max(len(pattern), 1) + 1))[: fill["length"]]
    return Event(body, described["headers"])


def plan(case):
    """The calls of a golden conversation: lists of events, and whether each is an append."""
    events, at = [event(e) for e in case["events"]], 0
    for step in case["plan"].split(","):
        kind, n = step.split(":")
        n = int(n)
        if kind == "append":
            for _ in range(n):
                yield [events[at]], True
                at += 1
        else:
            yield events[at : at + n], False
            at += n


class Conversation:
    """Gives a session what a receiver has once said, some bytes at a time, and keeps what the session says."""

    def __init__(self, answers, step=1 << 16, pipe=None):
        self.pipe = pipe or Pipe(None, None, False)
        self._answers, self._step = memoryview(answers), step
        self.said = bytearray()

    def run(self, steps):
        try:
            word = next(steps)
            while True:
                if word is None:
                    part, self._answers = self._answers[: self._step], self._answers[self._step :]
                    word = steps.send(bytes(part))
                else:
                    self.said += word
                    word = next(steps)
        except StopIteration as end:
            return end.value


def frames(data):
    """The payloads of frames of Avro RPC with their serials."""
    at, out = 0, []
    while at < len(data):
        serial, count = struct.unpack_from(">ii", data, at)
        at += 8
        payload = b""
        for _ in range(count):
            (n,) = struct.unpack_from(">i", data, at)
            payload += data[at + 4 : at + 4 + n]
            at += 4 + n
        out.append((serial, payload))
    return out


class Server:
    """An agent's source in a thread. It keeps the events of every call; answer(number of the call) says what becomes of it:
    "OK", another status, "close" without an answer, or "silence"."""

    def __init__(self, answer=lambda n: "OK", port=0):
        self.answer, self.calls, self.connections, self.n = answer, [], 0, 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def events(self):
        return [e for call in self.calls for e in call]

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        known = False
        f = connection.makefile("rb")
        try:
            while True:
                head = f.read(8)
                if len(head) < 8:
                    return
                serial, count = struct.unpack(">ii", head)
                if not 0 < count < 1 << 20:
                    return  # no Avro RPC
                payload = b"".join(f.read(struct.unpack(">i", f.read(4))[0]) for _ in range(count))
                if not known:
                    payload = payload[16 + 1 + 16 + 1 :]
                said, self.n = self.answer(self.n), self.n + 1
                if said == "close":
                    return
                if said == "silence":
                    time.sleep(5)
                    return
                if said == "OK":
                    self.calls.append(avro_events(payload))
                out = (b"" if known else b"\0\0\0\0") + b"\0\0" + {"OK": b"\0", "FAILED": b"\2", "UNKNOWN": b"\4"}[said]
                known = True
                connection.sendall(struct.pack(">iii", serial, 1, len(out)) + out)
        except (OSError, ValueError):
            pass  # it has gone, or speaks something else
        finally:
            connection.close()

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the one that accepts
        except OSError:
            pass
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def avro_events(call):
    """The events of append or appendBatch."""
    from sluice_client.events import _chunk, _long, _read

    name, at = _chunk(call, 1)
    if name == b"append":
        return [decode_event(call[at:])]
    out = []
    count, at = _long(call, at)
    while count:
        for _ in range(count):
            headers, body, end = _read(call[at:])
            out.append(Event(body, headers))
            at += end
        count, at = _long(call, at)
    return out


def until(what, limit=20.0):
    """Waits for a condition."""
    end = time.monotonic() + limit
    while not what():
        if time.monotonic() > end:
            raise AssertionError("it did not come about in %g s" % limit)
        time.sleep(0.005)
