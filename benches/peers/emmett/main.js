// The driver of Emmett. One workload per run, one line of JSON; the command line is that of the other drivers:
//   node main.js append|command|rebuild|lost --url URL --payload FILE --clients N --seconds S …
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { append, command } from './write.js';
import { lost } from './lost.js';
import { rebuild } from './rebuild.js';

const number = (name, value) => {
  const parsed = Number(value);
  if (!Number.isFinite(parsed)) throw new Error(`--${name} takes a number`);
  return parsed;
};

const defaults = {
  clients: 64, seconds: 5, warmup: 1, events: 20_000, streams: 1_000, history: 10, connections: 64,
  // Of the consumer; Emmett's own defaults are 100 and 50.
  batch: 100, pause: 50,
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    url: { type: 'string' },
    payload: { type: 'string' },
    table: { type: 'string' },
    ...Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' }])),
  },
});
const options = { ...values };
for (const [name, value] of Object.entries(defaults)) options[name] = number(name, values[name] ?? value);
options.data = JSON.parse(readFileSync(options.payload, 'utf8'));

const workload = { append, command, rebuild, lost }[positionals[0]];
if (!workload) throw new Error('which workload? append, command, rebuild or lost');
const pool = new pg.Pool({ connectionString: options.url, max: Math.min(options.clients, options.connections) });
console.log(JSON.stringify(await workload(options, pool)));
// Its pollers keep timers of their own.
process.exit(0);
