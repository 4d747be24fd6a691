"""Programs that use the package sluice_client. What they did is printed.

python_client.py send SETUP     numbered events by the lane's client, in batches; "acked N" after each, then "done DUPLICATES…"
python_client.py speed SETUP    events a second of this package's client and of the thrift package's generated one, as JSON

SETUP is JSON: client (avro, thrift, http, properties), port, options, lane, first, count, size, run; buffer: a path, for a
Sender with a file; aio: true for the asyncio variant.
"""
import asyncio
import json
import logging
import statistics
import sys
import time

import sluice_client
from sluice_client import Event, FileBuffer, Sender, aio


def bodies(setup, start, end):
    lane, size = setup["lane"], setup["size"]
    for n in range(start, end):
        text = "%s %d %08d " % (setup["run"], lane, n)
        yield (text + chr(ord("a") + (lane * 7 + n) % 26) * (size - len(text))).encode()


def batches(setup):
    at, end, batch = setup["first"], setup["count"], setup.get("batch", 100)
    while at < end:
        n = min(batch, end - at)
        yield [Event(body, {"number": str(at + i)}) for i, body in enumerate(bodies(setup, at, at + n))]
        at += n


def client(setup, package):
    kind, options = setup["client"], setup.get("options", {})
    if kind == "properties":
        return package.from_properties(options)
    if kind == "http":
        return package.HTTPClient("http://127.0.0.1:%d/" % setup["port"], **options)
    return (package.AvroClient if kind == "avro" else package.ThriftClient)("127.0.0.1", setup["port"], **options)


def say(*words):
    print(*words, flush=True)


def again(send, events):
    """What a caller without a sender does: what was not delivered, until it is."""
    end = time.monotonic() + 60
    while events:
        try:
            send(events)
            return
        except sluice_client.DeliveryError as e:
            if time.monotonic() > end:
                raise
            events = events[e.delivered :]
            time.sleep(0.1)


async def again_async(c, events):
    end = time.monotonic() + 60
    while events:
        try:
            await c.append_batch(events)
            return
        except sluice_client.DeliveryError as e:
            if time.monotonic() > end:
                raise
            events = events[e.delivered :]
            await asyncio.sleep(0.1)


def send(setup):
    at = setup["first"]
    c = client(setup, sluice_client)
    if "buffer" in setup:
        with Sender(c, FileBuffer(setup["buffer"], max_bytes=setup.get("max_bytes", 64 << 20)), retry_most=0.5) as sender:
            for events in batches(setup):
                sender.send_batch(events)
                at += len(events)
                say("acked", at)
            if not sender.flush(300):
                raise SystemExit("not delivered: %s" % (sender.counts,))
            say("done", json.dumps(sender.counts._asdict()))
        return
    with c:
        for events in batches(setup):
            again(c.append_batch, events)
            at += len(events)
            say("acked", at)
        if setup["first"] == 0 and setup.get("single"):
            for body in bodies(setup, at, at + 10):
                c.append(Event(body, {"number": str(at)}))
                at += 1
                say("acked", at)
    say("done", "{}")


async def send_async(setup):
    at = setup["first"]
    async with client(setup, aio) as c:
        for events in batches(setup):
            await again_async(c, events)
            at += len(events)
            say("acked", at)
    say("done", "{}")


def speed(setup):
    from flume_thrift import ThriftSourceProtocol
    from flume_thrift.ttypes import ThriftFlumeEvent
    from thrift.protocol import TBinaryProtocol, TCompactProtocol
    from thrift.transport import TSocket, TTransport

    port, count = setup["port"], setup["count"]
    binary = setup["protocol"] == "binary"
    body = b"x" * setup["size"]

    def headers(i):
        return {"host": "web%d" % (i % 3), "State": "coin_log", "timestamp": str(1700000000000 + i), "number": str(i)}

    def generated(accelerated):
        transport = TTransport.TFramedTransport(TSocket.TSocket("127.0.0.1", port))
        if accelerated:
            protocol = (TBinaryProtocol.TBinaryProtocolAccelerated if binary else TCompactProtocol.TCompactProtocolAccelerated)(transport, fallback=False)
        else:
            protocol = (TBinaryProtocol.TBinaryProtocol if binary else TCompactProtocol.TCompactProtocol)(transport)
        transport.open()
        c = ThriftSourceProtocol.Client(protocol)

        def run(count):
            for start in range(0, count, 100):
                if c.appendBatch([ThriftFlumeEvent(headers(i), body) for i in range(start, start + 100)]) != 0:
                    raise SystemExit("not OK")

        return run

    def ours(accelerated):
        c = sluice_client.ThriftClient("127.0.0.1", port, protocol=setup["protocol"], accelerate=accelerated)
        if c._target.wire.accelerated != accelerated:
            raise SystemExit("no accelerator")

        def run(count):
            for start in range(0, count, 100):
                c.append_batch([Event(body, headers(i)) for i in range(start, start + 100)])

        return run

    def avro():
        c = sluice_client.AvroClient("127.0.0.1", setup["avro"])

        def run(count):
            for start in range(0, count, 100):
                c.append_batch([Event(body, headers(i)) for i in range(start, start + 100)])

        return run

    runs = {
        "ours, C": ours(True), "thrift, C": generated(True), "ours, Python": ours(False), "thrift, Python": generated(False), "ours, Avro": avro(),
    }
    # All take turns of some milliseconds, so that what else the machine does slows each of them alike.
    turn, took = 2000, {name: [] for name in runs}
    for name, run in runs.items():
        run(turn)
    for _ in range(count // turn):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(turn)
            took[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    say(json.dumps({name: {
        "PerSecond": turn / statistics.median(wall for wall, _ in turns), "PerCPUSecond": turn / statistics.median(cpu for _, cpu in turns),
    } for name, turns in took.items()}))


logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
mode, setup = sys.argv[1], json.loads(sys.argv[2])
if mode == "speed":
    speed(setup)
elif setup.get("aio"):
    asyncio.run(send_async(setup))
else:
    send(setup)
