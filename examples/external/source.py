#!/usr/bin/env python3
"""A source with transactions: every file in a directory is one batch, each of its lines an event.

A file is moved to DIRECTORY/done when the agent has answered that its events are stored, so that none is lost whatever
breaks: what was not answered is there, and is sent again.
"""
import json
import os
import sys
import time

inbox = sys.argv[1]
done = os.path.join(inbox, "done")
os.makedirs(done, exist_ok=True)


def send(name):
    with open(os.path.join(inbox, name), "rb") as file:
        lines = file.read().splitlines()
    events = [{"headers": {"file": name}, "body": line.decode("utf-8", "surrogateescape")} for line in lines]
    print(json.dumps({"id": name, "events": events}), flush=True)

    answer = json.loads(sys.stdin.readline() or "{}")
    if answer.get("ok"):
        os.rename(os.path.join(inbox, name), os.path.join(done, name))
    else:
        print(f"{name} is not stored: {answer.get('error')}", file=sys.stderr)


while True:
    for name in sorted(os.listdir(inbox)):
        if os.path.isfile(os.path.join(inbox, name)):
            send(name)
    time.sleep(0.2)
