// Annals: its own measurements, and its server as others meet it.
import { readFileSync } from 'node:fs';
import { ANNALS, DATA, ROOT, drive, wrk } from './drivers.js';
import { freePort, query, run, start, stop, until } from './run.js';

/** Nothing new in a read model for so long means that nothing comes any more. */
const QUIET_MS = 10_000;
const WARMUP_ORDERS = 1_000;
const WARMUP_SECONDS = 15;

/** `annals bench …`: its lines. */
const bench = async (args, seconds) => {
  const env = { ANNALS_PROJECTIONS_DIR: `${ROOT}/projections` };
  const lines = await run(ANNALS, ['bench', ...args, '--json'], { seconds, env });
  return lines.trim().split('\n').map((line) => JSON.parse(line));
};

const timed = ({ per_second, p50_ms, p99_ms, max_ms }) => ({ rate: per_second, p50_ms, p99_ms, max_ms });

export const append = async ({ clients, seconds }) => {
  const lines = await bench(['append', '--clients', clients, '--seconds', seconds]);
  return timed(lines.at(-1));
};

export const command = async ({ clients, seconds, streams, history }) => {
  const sizes = ['--streams', streams, '--history', history];
  const lines = await bench(['command', '--clients', clients, '--seconds', seconds, ...sizes]);
  return timed(lines.at(-1));
};

export const relay = (mode) => async ({ events, rate, seconds }) => {
  const lines = await bench(['relay', '--mode', mode, '--events', events, '--rate', rate, '--seconds', seconds]);
  return timed(lines.at(-1));
};

/** A log of its own per number of events. */
export const growth = async ({ events }) => {
  const lines = await bench(['growth', '--events', events], 1_200);
  // Where no latency was taken, none is shown.
  const taken = (figures) => Object.fromEntries(Object.entries(figures).filter(([, figure]) => figure !== null));
  const way = ({ what, per_second: rate, p50_ms, p99_ms, memory_mb }) =>
    [`Annals: ${what}`, taken({ rate, p50_ms, p99_ms, memory_mb })];
  return { ways: Object.fromEntries(lines.map(way)) };
};

/** Several ways in one run, each a system of its own. What it tells of latencies has no place beside rates. */
export const projection = async ({ events }) => {
  const lines = await bench(['projection', '--orders', events / 5], 240);
  const ours = (what) => (/^(workers|rebuild)/.test(what) ? `Annals: ${what}` : what);
  const rated = lines.filter(({ per_second }) => per_second !== null);
  return { ways: Object.fromEntries(rated.map(({ what, per_second: rate }) => [ours(what), { rate, events }])) };
};

/** One process with all roles, or those named, on a database of its own; with workers in another one, where they are asked for. */
const withServer = async ({ url, name }, kafka, use, roles = [], apart = false) => {
  const port = await freePort();
  const env = {
    ANNALS_DATABASE_URL: url,
    ANNALS_KAFKA_BROKERS: kafka ? process.env.ANNALS_KAFKA_BROKERS : '',
    ANNALS_TOPIC_PREFIX: name,
    ANNALS_LISTEN: `127.0.0.1:${port}`,
    ANNALS_AUTH: 'dev',
    ANNALS_PROJECTIONS_DIR: `${ROOT}/projections`,
  };
  if (!kafka) delete env.ANNALS_TOPIC_PREFIX;
  await run(ANNALS, ['migrate'], { env });
  const began = performance.now();
  const child = start(ANNALS, ['serve', ...roles.flatMap((role) => ['--role', role])], env);
  const worker = apart && start(ANNALS, ['worker'], env);
  const base = `http://127.0.0.1:${port}`;
  try {
    await until(30, 'ready', async () => (await fetch(`${base}/health/ready`).catch(() => ({}))).ok);
    return await use({ base, pid: child.pid, ready_ms: performance.now() - began });
  } catch (error) {
    throw new Error(`${error.message}\n${child.said.stderr.trim().split('\n').slice(-6).join('\n')}`);
  } finally {
    await Promise.all([child, ...(worker ? [worker] : [])].map((one) => stop(one)));
  }
};

/** Resident memory in MB, now and at most; where /proc tells. */
const memory = (pid) => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (key) => Math.round(Number(status.match(`${key}:\\s+(\\d+) kB`)[1]) / 1024);
  return { now: megabytes('VmRSS'), peak: megabytes('VmHWM') };
};

/** Half a minute of orders before anything is measured: a broker compiles while it runs, and stays for the whole run. */
export const warmBroker = (database) => {
  const measure = async ({ base }) => {
    for (const clients of [1, 64]) await wrk(base, { clients, seconds: WARMUP_SECONDS });
  };
  return withServer(database, true, measure);
};

/** Some orders make the topic and the workers' groups. */
const warmUp = async (base, database) => {
  await drive('post', [...target(base), '--clients', 16, '--events', WARMUP_ORDERS]);
  await settled(counts(database), WARMUP_ORDERS);
};

/** Load over HTTP, on all roles or those named; with the memory it took. */
export const http = (roles) => (sizes, database) => {
  const measure = async ({ base, pid }) => {
    const idle = memory(pid).now;
    if (!roles) await warmUp(base, database);
    const before = await counts(database)('log.events');
    const line = await wrk(base, sizes);
    const stored = (await counts(database)('log.events')) - before;
    if (stored < line.answered) throw new Error(`${line.answered} were acknowledged, ${stored} are stored`);
    return { ...line, stored, idle_mb: idle, peak_mb: memory(pid).peak };
  };
  return withServer(database, true, measure, roles);
};

const target = (base) => ['--base', base, '--body', DATA];

const counts = ({ url }) => async (table) => Number(await query(url, `select count(*) from ${table}`));

/** How many orders have reached the read model when no more come. */
const settled = async (count, stored) => {
  let [seen, since] = [-1, performance.now()];
  await until(120, 'quiet', async () => {
    const now = await count('projection_orders_1.orders');
    if (now !== seen) [seen, since] = [now, performance.now()];
    return seen === stored || performance.now() - since > QUIET_MS;
  });
  return seen;
};

/** How many orders never reach the live read model. */
export const lost = (kafka) => ({ clients, events }, database) =>
  withServer(database, kafka, async ({ base }) => {
    await drive('post', [...target(base), '--clients', clients, '--events', events]);
    const count = counts(database);
    const stored = await count('log.events');
    const seen = await settled(count, stored);
    return { stored, seen, lost: stored - seen };
  });

/** From a command's answer to its order in the read model. */
export const visible = (kafka, apart = false) => ({ rate, seconds }, database) => {
  const measure = async ({ base }) => {
    await warmUp(base, database);
    return drive('visible', [...target(base), '--rate', rate, '--seconds', seconds]);
  };
  return withServer(database, kafka, measure, apart ? ['api', 'relay'] : [], apart);
};

/** How long until it is ready, with a log that is there already. */
export const begin = async ({ events }, database) => {
  await run(ANNALS, ['migrate'], { env: { ANNALS_DATABASE_URL: database.url } });
  const sql = (name) => readFileSync(`${ROOT}/src/bench/projection/${name}.sql`, 'utf8');
  await query(database.url, sql('stream_type'), [8]);
  await query(database.url, sql('log'), [events / 5]);
  await query(database.url, sql('vacuum'));
  return withServer(database, true, ({ ready_ms }) => ({ p50_ms: ready_ms }));
};
