// Debezium's outbox on Kafka Connect, standalone, tuned for latency with large batches.
//
// It delivers at least once here: Connect's exactly-once needs a distributed cluster and would only slow it down.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DATA, drive } from './drivers.js';
import { freePort, start, stop } from './run.js';

const TARGET = fileURLToPath(new URL('debezium/target', import.meta.url));
const PARTITIONS = 8;

const properties = (settings) => Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join('');

const worker = async (folder) => properties({
  'bootstrap.servers': process.env.ANNALS_KAFKA_BROKERS,
  listeners: `http://127.0.0.1:${await freePort()}`,
  'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
  'value.converter': 'org.apache.kafka.connect.storage.StringConverter',
  'offset.storage.file.filename': join(folder, 'offsets'),
  'plugin.path': join(TARGET, 'plugins'),
  'connector.client.config.override.policy': 'All',
});

const connector = ({ url, name }) => {
  const { hostname, port, username, password } = new URL(url);
  return properties({
    name,
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': 1,
    'topic.prefix': name,
    'database.hostname': hostname,
    'database.port': port,
    'database.user': username,
    'database.password': password,
    'database.dbname': name,
    'plugin.name': 'pgoutput',
    'slot.name': 'debezium',
    'publication.name': 'debezium',
    'publication.autocreate.mode': 'disabled',
    'table.include.list': 'public.outbox',
    'snapshot.mode': 'no_data',
    'tombstones.on.delete': false,
    transforms: 'outbox',
    'transforms.outbox.type': 'io.debezium.transforms.outbox.EventRouter',
    'transforms.outbox.route.topic.replacement': `${name}.\${routedByValue}`,
    'topic.creation.default.partitions': PARTITIONS,
    'topic.creation.default.replication.factor': 1,
    'poll.interval.ms': 1,
    'max.batch.size': 8_192,
    'max.queue.size': 32_768,
    'producer.override.batch.size': 1_048_576,
    'producer.override.linger.ms': 0,
    'producer.override.compression.type': 'lz4',
  });
};

/** Drains a backlog, then latency at a steady rate. */
export const debezium = async ({ events, rate, seconds }, database) => {
  const folder = mkdtempSync(join(tmpdir(), 'debezium-'));
  const log = ['--url', database.url, '--payload', DATA, '--events', events];
  const files = [join(folder, 'worker.properties'), join(folder, 'connector.properties')];
  writeFileSync(files[0], await worker(folder));
  writeFileSync(files[1], connector(database), { mode: 0o600 });
  await drive('debezium-prepare', log);
  const classes = ['org.apache.kafka.connect.cli.ConnectStandalone', ...files];
  const connect = start('java', ['-Xms512m', '-Xmx1g', '-cp', `${TARGET}/connect/*`, ...classes]);
  try {
    const topic = ['--brokers', process.env.ANNALS_KAFKA_BROKERS, '--topic', `${database.name}.order`];
    const line = await drive('debezium-measure', [...log, ...topic, '--rate', rate, '--seconds', seconds]);
    return { rate: line.drain, p50_ms: line.p50_ms, p99_ms: line.p99_ms, max_ms: line.max_ms };
  } catch (error) {
    throw new Error(`${error.message}\n${connect.said.stderr.trim().split('\n').slice(-6).join('\n')}`);
  } finally {
    await stop(connect);
    rmSync(folder, { recursive: true });
  }
};
