"""Writes AvroFlumeEvent records with a project and a time, as Python programs do with the avro package.

usage: avro_projects.py BROKERS TOPIC COUNT MIDNIGHT

The times lie within a second of MIDNIGHT, in ms since 1970: the n-th is n % 2000 - 1000 ms from it.
"""
import io
import json
import sys

import avro.io
import avro.schema
import kafka

SCHEMA = avro.schema.parse(json.dumps({
    "type": "record", "name": "AvroFlumeEvent", "namespace": "org.apache.flume.source.avro", "fields": [
        {"name": "headers", "type": {"type": "map", "values": "string"}}, {"name": "body", "type": "bytes"}]}))


def main():
    brokers, topic, count, midnight = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    producer = kafka.KafkaProducer(bootstrap_servers=brokers, acks="all")
    for n in range(count):
        out = io.BytesIO()
        headers = {"project_id": "py", "timestamp": str(midnight + n % 2000 - 1000)}
        avro.io.DatumWriter(SCHEMA).write({"headers": headers, "body": b"python %d" % n}, avro.io.BinaryEncoder(out))
        producer.send(topic, out.getvalue())
    producer.flush()


main()
