"""Reads a topic with stock packages, as anybody's consumer would: prints each record as a CloudEvent, a JSON line each."""

import json
import sys

from cloudevents.kafka import KafkaMessage, from_binary
from confluent_kafka import Consumer

brokers, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer(
    {
        "bootstrap.servers": brokers,
        "group.id": topic,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
)
consumer.subscribe([topic])
for _ in range(count):
    record = consumer.poll(60)
    if record is None or record.error():
        sys.exit(f"no record: {record and record.error()}")
    event = from_binary(KafkaMessage(headers=dict(record.headers()), key=record.key().decode(), value=record.value()))
    print(json.dumps({"attributes": dict(event.get_attributes()), "data": event.get_data()}))
consumer.close()
