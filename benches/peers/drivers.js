// How the peers' drivers are called: each workload of a peer is `(sizes, database) => line of JSON`.
import { fileURLToPath } from 'node:url';
import { json, freePort, query, run, start, stop, until } from './run.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));
export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const ANNALS = `${ROOT}/target/release/annals`;
const PEERS = `${HERE}rust/target/release/peers`;
/** The event of 250 bytes, and the body of its command. */
export const DATA = `${ROOT}/src/bench/order.json`;
const READ_MODEL = `${ROOT}/projections/orders/table.sql`;

const flags = (sizes) => Object.entries(sizes).flatMap(([name, value]) => [`--${name}`, String(value)]);

/** What all drivers of stores share; connections are as many as clients. */
const store = (sizes, { url }) => ({ url, payload: DATA, connections: sizes.clients ?? 16, ...sizes });

export const drive = (workload, args) => json(PEERS, [workload, ...args.map(String)]);

/** A store with a driver in Rust. */
export const rust = (name, workload) => (sizes, database) =>
  drive('store', [name, workload, ...flags(store(sizes, database))]);

export const messageDb = async (sizes, database) => {
  const { hostname, port, username, password } = new URL(database.url);
  const env = { PGHOST: hostname, PGPORT: port, PGUSER: username, PGPASSWORD: password };
  const script = `${HERE}node_modules/@eventide/message-db/database/install.sh`;
  await run('bash', [script], { env: { ...env, DATABASE_NAME: database.name, CREATE_DATABASE: 'off' } });
  return rust('message-db', 'append')(sizes, database);
};

export const emmett = (workload, more = {}) => (sizes, database) =>
  json('node', [`${HERE}emmett/main.js`, workload, ...flags({ ...store(sizes, database), ...more, table: READ_MODEL })]);

/** The JVM compiles while it runs: it warms up for longer. */
const JVM_WARMUP = 3;

export const axon = (workload, more = {}) => (sizes, database) => {
  const classes = `${HERE}axon/target/axon-1.jar:${HERE}axon/target/libs/*`;
  const options = { ...store(sizes, database), warmup: JVM_WARMUP, ...more, table: READ_MODEL };
  return json('java', ['-cp', classes, 'peers.Main', workload, ...flags(options)]);
};

/** The load on an HTTP server: a second that does not count, then those that do. */
export const wrk = async (base, { clients, seconds }) => {
  const load = (time) => json('wrk', [
    '-t1', `-c${clients}`, `-d${time}s`, '--timeout', '10s', '-s', `${HERE}http/post.lua`, `${base}/api/orders`,
  ], { env: { BODY: DATA } });
  await load(1);
  return load(seconds);
};

/** The hand-written handler; without a database where `stores` is false. */
export const handler = (stores) => async (sizes, { url }) => {
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const child = start(PEERS, ['serve', '--listen', `127.0.0.1:${port}`, ...(stores ? ['--url', url, '--connections', '32'] : [])]);
  try {
    await until(10, 'listening', () => fetch(base).then(() => true, () => false));
    const line = await wrk(base, sizes);
    if (!stores) return line;
    const stored = Number(await query(url, 'select count(*) from events'));
    if (stored < line.answered) throw new Error(`${line.answered} were acknowledged, ${stored} are stored`);
    return { ...line, stored };
  } finally {
    await stop(child, 5);
  }
};
