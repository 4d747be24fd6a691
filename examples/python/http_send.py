import sys

from sluice_client import Event, HTTPClient

with HTTPClient(sys.argv[1]) as client:
    client.append_batch([Event("text %d" % i, {"project_id": "p1"}) for i in range(100)])
