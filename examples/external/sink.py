#!/usr/bin/env python3
"""A sink: every batch becomes rows of an SQLite table, in one transaction of the database."""
import json
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
database.execute("create table if not exists events (file text, level text, body text)")

for line in sys.stdin.buffer:
    call = json.loads(line)
    rows = [(e["headers"].get("file"), e["headers"].get("level"), e["body"]) for e in call["events"]]
    try:
        with database:  # commits, or rolls back
            database.executemany("insert into events values (?, ?, ?)", rows)
        answer = {"id": call["id"], "ok": True}
    except sqlite3.Error as error:
        answer = {"id": call["id"], "error": str(error)}  # nothing is stored: the batch is offered again
    print(json.dumps(answer), flush=True)
