"""Rows of JSON between Kafka and a database, as users write it by hand.

    rows.py produce BROKERS TOPIC COUNT
    rows.py consume BROKERS TOPIC COUNT WAY ADDRESS     executemany | execute_values | pymysql | sqlite; batches of 1000
    rows.py await COUNT WAY ADDRESS                      until the table has so many rows
    rows.py empty WAY ADDRESS                            makes the table anew

The consumer commits its offsets when a batch is in the database, reads ahead as librdkafka does, and does nothing about bad rows.
Seconds are printed from the first row to the last commit, without the start of the interpreter.
"""
import json
import sys
import time

COLUMNS = "id, n, name, at, price"
SCHEMA = "(id BIGINT PRIMARY KEY, n INT, name VARCHAR(40) NOT NULL, at VARCHAR(30), price NUMERIC(10,2))"
INSERT = "INSERT INTO speed (" + COLUMNS + ") VALUES "


def connect(way, address):
    if way == "sqlite":
        import sqlite3
        return sqlite3.connect(address, isolation_level="DEFERRED")
    host, port = address.split(":")
    if way == "pymysql":
        import pymysql
        return pymysql.connect(host=host, port=int(port), user="sluice", database="sluice")
    import psycopg2
    return psycopg2.connect(host=host, port=port, user="sluice", dbname="postgres")


def produce(brokers, topic, count):
    from confluent_kafka import Producer
    p = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "queue.buffering.max.messages": 500000})
    for i in range(int(count)):
        row = {"id": i, "n": i % 1000, "name": "customer number %d" % i, "at": "2026-11-21T10:00:%02d" % (i % 60), "price": i % 997 / 4}
        while True:
            try:
                p.produce(topic, json.dumps(row).encode())
                break
            except BufferError:
                p.poll(0.1)
    p.flush()


def consume(brokers, topic, count, way, address):
    from confluent_kafka import Consumer
    db = connect(way, address)
    cursor = db.cursor()
    if way == "execute_values":
        from psycopg2.extras import execute_values
        write = lambda rows: execute_values(cursor, INSERT + "%s", rows, page_size=1000)
    elif way == "sqlite":
        write = lambda rows: cursor.executemany(INSERT + "(?, ?, ?, ?, ?)", rows)
    else:
        write = lambda rows: cursor.executemany(INSERT + "(%s, %s, %s, %s, %s)", rows)
    c = Consumer({"bootstrap.servers": brokers, "group.id": "%s-%s-%f" % (topic, way, time.time()),
                  "auto.offset.reset": "earliest", "enable.auto.commit": False})
    c.subscribe([topic])
    done, begun = 0, None
    while done < int(count):
        messages = c.consume(1000, 1.0)
        if not messages:
            continue
        if begun is None:
            begun = time.time()
        rows = []
        for m in messages:
            r = json.loads(m.value())
            rows.append((r["id"], r["n"], r["name"], r["at"], r["price"]))
        write(rows)
        db.commit()
        c.commit(asynchronous=False)
        done += len(rows)
    print("%.2f" % (time.time() - begun))
    c.close()


def wait(count, way, address):
    db = connect(way, address)
    cursor = db.cursor()
    begun = None
    while True:
        cursor.execute("SELECT max(id), min(id) FROM speed")
        most, least = cursor.fetchone()
        db.rollback()
        if least is not None and begun is None:
            begun = time.time()
        if most == int(count) - 1:
            break
        time.sleep(0.05)
    print("%.2f" % (time.time() - begun))
    cursor.execute("SELECT count(*) FROM speed")
    if cursor.fetchone()[0] != int(count):
        sys.exit("rows are missing")


def empty(way, address):
    db = connect(way, address)
    cursor = db.cursor()
    cursor.execute("DROP TABLE IF EXISTS speed")
    cursor.execute("CREATE TABLE speed " + SCHEMA)
    db.commit()


{"produce": produce, "consume": consume, "await": wait, "empty": empty}[sys.argv[1]](*sys.argv[2:])
