#!/usr/bin/env python3
"""An interceptor: bodies are JSON with a level and a text. Debug messages are dropped, the level becomes a header, and
what is no JSON is rejected, which makes it a dead letter.
"""
import json
import sys

for line in sys.stdin.buffer:
    call = json.loads(line)
    events, rejected = [], []
    for index, event in enumerate(call["events"]):
        try:
            message = json.loads(event["body"])  # a body that is no UTF-8 would be in event["base64"]
            level, text = message["level"], message["text"]
        except (KeyError, TypeError, ValueError) as error:
            rejected.append({"index": index, "error": f"not a message: {error!r}"})
            continue
        if level == "debug":
            continue
        event["headers"]["level"] = level
        event["body"] = text
        events.append(event)
    print(json.dumps({"id": call["id"], "events": events, "rejected": rejected}), flush=True)
