// Measures Annals beside its peers: node bench.js --out FILE [--quick] [--only WORK,…] [--minutes N]
//
// In each round of a work every system has its turn in each case, and the round after begins with the next system: so a
// machine that gets slower is fair to all. A measurement that fails is written down as failed, and when the time is up what
// is left is written down as left out. `make bench` starts the servers and builds what is needed.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { warmBroker } from './annals.js';
import { facts } from './facts.js';
import { plan } from './plan.js';
import { stopAll, withDatabase } from './run.js';

const ROUNDS = 3;

const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    minutes: { type: 'string', default: '40' },
  },
});
if (!options.out || !process.env.ANNALS_DATABASE_URL || !process.env.ANNALS_KAFKA_BROKERS) {
  console.error('bench: --out, ANNALS_DATABASE_URL and ANNALS_KAFKA_BROKERS are needed; see scripts/bench');
  process.exit(2);
}
for (const name of ['SIGINT', 'SIGTERM']) {
  process.on(name, () => {
    stopAll();
    process.exit(130);
  });
}

/** What is to be done, in its order. */
function* turns(works) {
  for (const { work, cases, systems, once = [], rounds = ROUNDS } of works) {
    const names = Object.keys(systems);
    for (let round = 0; round < (options.quick ? 1 : rounds); round += 1) {
      for (const sizes of cases) {
        for (let i = 0; i < names.length; i += 1) {
          const system = names[(i + round) % names.length];
          if (once.includes(system) && sizes !== cases.at(-1)) continue;
          yield { work, system, sizes, round, measure: systems[system] };
        }
      }
    }
  }
}

const short = (line) => JSON.stringify(line, (_, value) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value));

const began = performance.now();
const minutes = () => (performance.now() - began) / 60e3;
const works = plan(options.quick).filter(({ work }) => !options.only || options.only.split(',').includes(work));
const result = { ...(await facts()), quick: options.quick, measurements: [] };
if (!options.quick && works.some(({ broker }) => broker)) {
  await withDatabase(warmBroker).catch((error) => console.error(`the broker was not warmed up: ${error.message}`));
}
for (const { measure, ...turn } of turns(works)) {
  const { ways, ...line } =
    minutes() > Number(options.minutes)
      ? { error: 'left out: the time was up' }
      : await withDatabase((database) => measure(turn.sizes, database)).catch((error) => ({ error: error.message }));
  const lines = ways ? Object.entries(ways) : [[turn.system, line]];
  for (const [system, line] of lines) {
    result.measurements.push({ ...turn, system, ...line });
    console.error(`${minutes().toFixed(1).padStart(5)} min  ${turn.work}  ${system}  ${short(turn.sizes)}  ${short(line)}`);
  }
}
result.minutes = Math.round(minutes() * 10) / 10;
mkdirSync(dirname(options.out), { recursive: true });
writeFileSync(options.out, `${JSON.stringify(result, null, 1)}\n`);
