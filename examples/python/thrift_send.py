import sys

from sluice_client import Event, ThriftClient

with ThriftClient("127.0.0.1", int(sys.argv[1])) as client:
    client.append(Event("text", {"State": "coin_log"}))
    client.append_batch([Event("text %d" % i, {"State": "coin_log"}) for i in range(100)])
