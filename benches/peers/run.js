// Processes and databases of a run. None outlives it: a child is ended with its children, a database is dropped.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import pg from 'pg';

const running = new Set();

/** Starts a command in a process group of its own; what it says on stderr last is kept for a complaint. */
export const start = (command, args, env = {}) => {
  const child = spawn(command, args, { env: { ...process.env, RUST_BACKTRACE: '0', ...env }, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  child.said = { stdout: '', stderr: '' };
  child.stdout.on('data', (text) => (child.said.stdout += text));
  child.stderr.on('data', (text) => (child.said.stderr = (child.said.stderr + text).slice(-4_000)));
  child.ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code ?? signal));
  }).finally(() => running.delete(child));
  return child;
};

const signal = (child, name) => {
  try {
    process.kill(-child.pid, name);
  } catch {
    // It has ended.
  }
};

/** Ends it: politely, after so many seconds no longer. */
export const stop = async (child, seconds = 15) => {
  signal(child, 'SIGTERM');
  const timer = setTimeout(() => signal(child, 'SIGKILL'), seconds * 1e3);
  await child.ended;
  clearTimeout(timer);
};

export const stopAll = () => [...running].forEach((child) => signal(child, 'SIGKILL'));

/** Runs a command to its end; its stdout. */
export const run = async (command, args, { env, seconds = 120 } = {}) => {
  const child = start(command, args, env);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    signal(child, 'SIGKILL');
  }, seconds * 1e3);
  const status = await child.ended;
  clearTimeout(timer);
  if (late) throw new Error(`not done after ${seconds} s`);
  if (status !== 0) throw new Error(`ended with ${status}: ${child.said.stderr.trim().split('\n').slice(-6).join('\n')}`);
  return child.said.stdout;
};

/** The line of JSON that a driver prints last. */
export const json = async (...command) => JSON.parse((await run(...command)).trim().split('\n').at(-1));

/** Asks until the answer is true. */
export const until = async (seconds, what, ask) => {
  const deadline = performance.now() + seconds * 1e3;
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error(`${what}: not after ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

export const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** One statement on a database; the first column of its first row. */
export const query = async (url, sql, values) => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query({ text: sql, values, rowMode: 'array' });
    return rows?.[0]?.[0];
  } finally {
    await client.end();
  }
};

let databases = 0;

/** A database for one measurement, which begins when what was written before it has been put away. */
export const withDatabase = async (use) => {
  const server = process.env.ANNALS_DATABASE_URL;
  const name = `peers_${process.pid}_${(databases += 1)}`;
  await query(server, `create database ${name}`);
  await query(server, 'checkpoint');
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).href;
  try {
    return await use({ url, name });
  } finally {
    await query(
      server,
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '${name}' and not active`,
    );
    await query(server, `drop database ${name} with (force)`);
  }
};
