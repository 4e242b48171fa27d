// Where and with what it was measured.
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { query, run } from './run.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const SETTINGS = ['fsync', 'synchronous_commit', 'full_page_writes', 'wal_level', 'shared_buffers', 'max_wal_size', 'max_connections'];

const first = (...command) => run(...command).then((text) => text.trim().split('\n')[0], () => null);

/** The versions that lockfiles and poms pin. */
const pinned = () => {
  const npm = JSON.parse(readFileSync(here('package.json'), 'utf8')).dependencies;
  const cargo = readFileSync(here('rust/Cargo.lock'), 'utf8');
  const crate = (name) => cargo.match(`name = "${name}"\nversion = "(.*)"`)[1];
  const axon = readFileSync(here('axon/pom.xml'), 'utf8').match('<axon.version>(.*)</axon.version>')[1];
  const connect = readFileSync(here('debezium/pom.xml'), 'utf8');
  return {
    'message-db': npm['@eventide/message-db'],
    Emmett: npm['@event-driven-io/emmett-postgresql'],
    'postgres-es': crate('postgres-es'),
    poem: crate('poem'),
    Axon: axon,
    Debezium: connect.match('debezium-connector-postgres</artifactId>\\s*<version>(.*)</version>')[1],
    'Kafka Connect': connect.match('connect-runtime</artifactId>\\s*<version>(.*)</version>')[1],
  };
};

export const facts = async () => {
  const server = process.env.ANNALS_DATABASE_URL;
  const settings = {};
  for (const name of SETTINGS) settings[name] = await query(server, `show ${name}`);
  return {
    at: new Date().toISOString(),
    commit: await first('git', ['-C', here('.'), 'describe', '--always', '--dirty']),
    machine: {
      cpu: os.cpus()[0].model.trim(),
      cores: os.cpus().length,
      memory_gb: Math.round(os.totalmem() / 2 ** 30),
      kernel: `${os.type()} ${os.release()}`,
      load_before: os.loadavg().map((load) => Math.round(load * 100) / 100),
    },
    versions: {
      ...pinned(),
      Postgres: await query(server, 'show server_version'),
      Kafka: readFileSync(here('../../scripts/kafka/pom.xml'), 'utf8').match('<kafka.version>(.*)</kafka.version>')[1],
      Rust: await first('rustc', ['--version']),
      Node: process.version,
      Java: await first('sh', ['-c', 'java -version 2>&1']),
      wrk: await first('sh', ['-c', 'wrk -v 2>&1 | head -1']),
    },
    settings,
  };
};
