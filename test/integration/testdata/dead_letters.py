"""Prints Avro container files of dead letters as lines of JSON, bodies in hex. usage: dead_letters.py FILE..."""
import json
import sys

import fastavro

for path in sys.argv[1:]:
    with open(path, "rb") as f:
        for letter in fastavro.reader(f):
            letter["body"] = letter["body"].hex()
            print(json.dumps({k: v for k, v in letter.items() if k in ("headers", "body", "reason", "component", "position")}))
