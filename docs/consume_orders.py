"""Keeps a table of orders from their topic: each event once and in order, however often this is stopped and started.

    python docs/consume_orders.py BROKERS TOPIC DATABASE
"""

import json
import sqlite3
import sys
from decimal import Decimal

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

brokers, topic, database = sys.argv[1:]
db = sqlite3.connect(database)
db.executescript("""
    create table if not exists checkpoint (part integer primary key, source text, position integer, next integer);
    create table if not exists orders (id text primary key, last_event text, version integer);
""")
reread = set()  # partitions that are read once more from their beginning


def checkpoint(partition):
    row = db.execute("select source, position, next from checkpoint where part = ?", (partition,)).fetchone()
    return row or (None, 0, 0)


def start(consumer, partitions):
    consumer.assign([TopicPartition(topic, each.partition, checkpoint(each.partition)[2]) for each in partitions])


def take(record):
    headers = {name: value.decode() for name, value in record.headers()}
    source, position, previous = (headers["ce_" + name] for name in ("source", "position", "prevposition"))
    position, previous, partition = int(position), int(previous), record.partition()
    known, last, _ = checkpoint(partition)
    if known not in (None, source):
        sys.exit(f"the topic is of another log now ({source}): delete {database}, and begin anew")
    if previous > last:
        if partition in reread:
            sys.exit(f"partition {partition}: what stands between positions {last} and {position} is lost")
        # Perhaps the topic was sent again, and its offsets are others now: its beginning tells. What came before is skipped.
        reread.add(partition)
        with db:
            db.execute("update checkpoint set next = 0 where part = ?", (partition,))
        return consumer.seek(TopicPartition(topic, partition, OFFSET_BEGINNING))
    with db:  # what was made of the event, and that it was made: both or neither
        if position > last:
            reread.discard(partition)
            order, event, version = record.key().decode(), headers["ce_type"], int(headers["ce_streamversion"])
            db.execute("insert or replace into orders values (?, ?, ?)", (order, event, version))
            print(position, event, order, json.loads(record.value(), parse_float=Decimal), flush=True)
        progress = (partition, source, max(position, last), record.offset() + 1)
        db.execute("insert or replace into checkpoint values (?, ?, ?, ?)", progress)


consumer = Consumer({
    "bootstrap.servers": brokers,
    "group.id": "orders-by-hand",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,  # the checkpoint is ours
    "auto.offset.reset": "earliest",  # a topic that was made again begins anew; positions tell what came before
})
consumer.subscribe([topic], on_assign=start)
try:
    while True:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            raise KafkaException(record.error())
        take(record)
except KeyboardInterrupt:
    pass
finally:
    consumer.close()  # leaves the group, so that the next one need not wait
