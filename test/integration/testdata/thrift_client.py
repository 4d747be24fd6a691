"""Clients of a Thrift source, written by hand as users write them. What they did is printed as JSON.

thrift_client.py load PORT compact|binary EVENTS CONNECTIONS   numbered events over connections that stay open
thrift_client.py program PORT compact|binary ROUNDS            append, then appendBatch of 100, connecting anew for each
thrift_client.py full PORT compact|binary                      append until the channel is full, on one connection
"""
import collections, json, sys, threading, time

from thrift.Thrift import TApplicationException, TMessageType, TType
from thrift.protocol import TBinaryProtocol, TCompactProtocol
from thrift.protocol.TBase import TBase
from thrift.transport import TSocket, TTransport

STATUS = ["OK", "FAILED", "ERROR", "UNKNOWN"]


class ThriftFlumeEvent(TBase):
    thrift_spec = (
        None,
        (1, TType.MAP, "headers", (TType.STRING, "UTF8", TType.STRING, "UTF8", False), None),
        (2, TType.STRING, "body", "BINARY", None),
    )

    def __init__(self, headers=None, body=None):
        self.headers = headers
        self.body = body.encode() if isinstance(body, str) else body


class Append(TBase):
    thrift_spec = (None, (1, TType.STRUCT, "event", (ThriftFlumeEvent, ThriftFlumeEvent.thrift_spec), None))

    def __init__(self, event):
        self.event = event


class AppendBatch(TBase):
    thrift_spec = (None, (1, TType.LIST, "events", (TType.STRUCT, (ThriftFlumeEvent, ThriftFlumeEvent.thrift_spec), False), None))

    def __init__(self, events):
        self.events = events


class Result(TBase):
    thrift_spec = ((0, TType.I32, "success", None, None),)

    def __init__(self):
        self.success = None


class Client:
    def __init__(self, port, protocol):
        self.socket = TSocket.TSocket("127.0.0.1", port)
        self.transport = TTransport.TFramedTransport(self.socket)
        make = TBinaryProtocol.TBinaryProtocol if protocol == "binary" else TCompactProtocol.TCompactProtocol
        self.protocol = make(self.transport)
        self.transport.open()

    def call(self, name, arguments):
        self.protocol.writeMessageBegin(name, TMessageType.CALL, 0)
        arguments.write(self.protocol)
        self.protocol.writeMessageEnd()
        self.transport.flush()
        _, kind, _ = self.protocol.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            x = TApplicationException()
            x.read(self.protocol)
            self.protocol.readMessageEnd()
            raise x
        result = Result()
        result.read(self.protocol)
        self.protocol.readMessageEnd()
        return STATUS[result.success]

    def append(self, event):
        return self.call("append", Append(event))

    def appendBatch(self, events):
        return self.call("appendBatch", AppendBatch(events))

    def near(self):
        return self.socket.handle.getsockname()[1]

    def close(self):
        self.transport.close()


def load(port, protocol, events, connections):
    each = events // connections
    statuses = collections.Counter()
    faults = []
    ready = threading.Barrier(connections)

    def numbered(lane, n):
        run, state = ("coin", "coin_log") if n % 2 == 0 else ("rest", "elsewhere")
        text = "%s %d %08d " % (run, lane, n // 2)
        return ThriftFlumeEvent({"State": state, "number": str(n // 2)}, text + "x" * (100 - len(text)))

    def send(lane):
        try:
            client = Client(port, protocol)
            ready.wait(60)
            near, n, single = client.near(), 0, True
            while n < each:
                size = 1 if single else min(100, each - n)
                single = not single
                batch = [numbered(lane, i) for i in range(n, n + size)]
                while True:
                    status = client.append(batch[0]) if size == 1 else client.appendBatch(batch)
                    statuses[status] += 1
                    if status == "OK":
                        break
                    time.sleep(0.05)
                n += size
            if client.near() != near:
                faults.append("lane %d has another connection" % lane)
            client.close()
        except Exception as e:
            faults.append("lane %d: %s %s" % (lane, type(e).__name__, e))

    threads = [threading.Thread(target=send, args=(lane,)) for lane in range(connections)]
    began = time.time()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return {"each": each, "statuses": statuses, "faults": faults, "seconds": time.time() - began}


def program(port, protocol, rounds):
    statuses = collections.Counter()
    for _ in range(rounds):
        client = Client(port, protocol)
        statuses[client.append(ThriftFlumeEvent({"a": "hello", "b": "world"}, "text"))] += 1
        client.close()
        client = Client(port, protocol)
        statuses[client.appendBatch([ThriftFlumeEvent({"a": "hello", "b": "world"}, "text %d" % i) for i in range(100)])] += 1
        client.close()
    return {"statuses": statuses}


def full(port, protocol):
    client = Client(port, protocol)
    near, said = client.near(), []
    for _ in range(1000):
        said.append(client.append(ThriftFlumeEvent({}, "x")))
        if said[-1] != "OK":
            break
    said.append(client.appendBatch([ThriftFlumeEvent({}, "x")] * 10))
    said.append(client.append(ThriftFlumeEvent({}, "x")))
    said.append(client.appendBatch([]))
    same = client.near() == near
    client.close()
    return {"taken": said.count("OK"), "last": said[-4:], "same_connection": same}


mode, port, protocol = sys.argv[1], int(sys.argv[2]), sys.argv[3]
run = {"load": load, "program": program, "full": full}[mode]
print(json.dumps(run(port, protocol, *map(int, sys.argv[4:]))))
