"""Writes AvroFlumeEvent records as Python programs do, and between them the mistakes that such programs make.

usage: avro_values.py BROKERS TOPIC COUNT

The good ones have the headers number and kéy and the body "python 0 NNNNNNNN"; they are made with the avro package's
BinaryEncoder. A line of JSON on stdout says how many of each mistake there are.
"""
import io
import json
import sys

import avro.datafile
import avro.io
import avro.schema
import fastavro
import kafka

SCHEMA = json.dumps({
    "type": "record", "name": "AvroFlumeEvent", "namespace": "org.apache.flume.source.avro", "fields": [
        {"name": "headers", "type": {"type": "map", "values": "string"}}, {"name": "body", "type": "bytes"}]})
PARSED = avro.schema.parse(SCHEMA)


def event(n):
    return {"headers": {"number": str(n), "kéy": "v€ %d" % n}, "body": b"python 0 %08d " % n}


def datum(n):
    out = io.BytesIO()
    avro.io.DatumWriter(PARSED).write(event(n), avro.io.BinaryEncoder(out))
    return out.getvalue()


def container(n):
    out = io.BytesIO()
    writer = avro.datafile.DataFileWriter(out, avro.io.DatumWriter(), PARSED)
    writer.append(event(n))
    writer.flush()
    return out.getvalue()


def deflated(n):
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(json.loads(SCHEMA)), [event(n)], codec="deflate")
    return out.getvalue()


def registry(n):
    return b"\x00" + (1000 + n).to_bytes(4, "big") + datum(n)


def main():
    brokers, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    producer = kafka.KafkaProducer(bootstrap_servers=brokers, acks="all")
    mistakes = [container, deflated, registry]
    made = {m.__name__: 0 for m in mistakes}
    for n in range(count):
        producer.send(topic, datum(n), partition=0)
        if n % 100 == 50:
            mistake = mistakes[n // 100 % len(mistakes)]
            producer.send(topic, mistake(n), partition=0)
            made[mistake.__name__] += 1
    producer.flush()
    print(json.dumps(made))


main()
