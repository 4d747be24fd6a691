import sys

from kafka import KafkaProducer
from sluice_client import Event, encode_event

producer = KafkaProducer(bootstrap_servers=sys.argv[1], value_serializer=encode_event)
for i in range(100):
    producer.send(sys.argv[2], Event("text %d" % i, {"host": "web1", "number": str(i)}))
producer.flush()
