"""Puts numbered events into a file buffer and takes some away, telling what returned, until it is killed.

buffer_writer.py PATH FIRST wait|drop_oldest
"""

import random
import sys
import threading

import support  # noqa: F401
from sluice_client import FileBuffer

path, first, when_full = sys.argv[1], int(sys.argv[2]), sys.argv[3]
buffer = FileBuffer(path, max_bytes=1 << 17, when_full=when_full)
out = threading.Lock()


def say(word, n):
    with out:
        sys.stdout.write("%s %d\n" % (word, n))
        sys.stdout.flush()


def drain():
    rng = random.Random()
    while True:
        rows = buffer.take(rng.randrange(1, 50), 1 << 16)
        if not rows:
            buffer.wait(1e18, 1, 1)
            continue
        say("forgetting", int(rows[-1].split()[0]))
        buffer.forget(len(rows))
        say("forgot", int(rows[-1].split()[0]))


if when_full == "wait":
    threading.Thread(target=drain, daemon=True).start()
n = first
while True:
    size = n % 7 + 1
    buffer.put([b"%d " % i + b"x" * (i % 300) for i in range(n, n + size)])
    n += size
    say("put", n - 1)
