// Tables and plots of a result: node page.js RESULT.json PAGE.md
//
// What stands in the page between the two marks is written anew, all else stays; the plots are in a folder of the page's
// name beside it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { plan } from './plan.js';
import { plot } from './plot.js';

const [BEGIN, END] = ['<!-- measured: begin (make bench writes this) -->', '<!-- measured: end -->'];
const [resultFile, pageFile] = process.argv.slice(2);
if (!pageFile) {
  console.error('page: which result, and which page?');
  process.exit(2);
}

const digitsOf = (value) => (Number.isInteger(value) || value >= 100 ? 0 : value < 10 ? 2 : 1);

/** `1 234 567`, and digits behind the point where there are few before it. */
const number = (value, digits = digitsOf(value)) =>
  value.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, ' ');

const times = (ratio) => `${number(ratio, ratio < 0.1 ? 3 : 2)}×`;

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

/** What was measured of one system in one case, over its rounds. */
const summary = (measured) => {
  const good = measured.filter(({ error }) => !error);
  const of = (key) => {
    const values = good.map((line) => line[key]).filter(Number.isFinite);
    return values.length ? { median: median(values), low: Math.min(...values), high: Math.max(...values) } : undefined;
  };
  const said = measured[0]?.error?.split('\n')[0].replaceAll('|', '/');
  const error = good.length > 0 || !said ? undefined : said.startsWith('left out') ? said : `failed: ${said}`;
  return { of, rounds: good.length, error };
};

/** The cases of a work, and in each the systems, in the order in which they were measured first. */
const grouped = (measurements, { work, case: size }) => {
  const cases = new Map();
  for (const line of measurements.filter((line) => line.work === work)) {
    const key = size ? line.sizes[size] : '';
    const systems = cases.get(key) ?? cases.set(key, new Map()).get(key);
    systems.set(line.system, [...(systems.get(line.system) ?? []), line]);
  }
  return [...cases].map(([key, systems]) => ({
    key,
    systems: [...systems].map(([system, measured]) => ({ system, ...summary(measured) })),
  }));
};

const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
const cell = (seen, text = number) => (seen ? text(seen.median) : '');
const spread = (seen) => (seen ? `${number(seen.low)} – ${number(seen.high)}` : '');

/** Rates and latencies, each beside Annals. */
const rates = (work, cases) =>
  cases.flatMap(({ key, systems }) => {
    const base = systems.find(({ system }) => system === work.base)?.of('rate');
    return systems.map(({ system, of, rounds, error }) => {
      const rate = of('rate');
      const goal = work.goals?.[system]?.[key];
      const ratio = base && rate && system !== work.base && !work.shows ? times(base.median / rate.median) : '';
      return [
        key, system, error ?? cell(rate), spread(rate), cell(of('p50_ms')), cell(of('p99_ms')),
        goal && ratio ? `${ratio} (goal ${goal}×)` : ratio, rounds, cell(of('refused'), String), cell(of('lost'), String), cell(of('memory_mb'), String),
      ];
    });
  });

const RATES = ['', 'system', 'median/s', 'least – most', 'p50 ms', 'p99 ms', 'Annals is', 'rounds', 'refused', 'lost', 'memory MB'];

const losses = (_, cases) =>
  cases.flatMap(({ key, systems }) =>
    systems.map(({ system, of, error }) => [key, system, cell(of('stored')), error ?? cell(of('lost'), String)]),
  );

/** Leaves out the columns that say nothing. */
const full = (head, rows) => {
  const kept = head.map((_, i) => rows.some((cells) => String(cells[i]) !== ''));
  const only = (cells) => cells.filter((_, i) => kept[i]);
  return table(only(head), rows.map(only));
};

const bars = (work, cases, key) =>
  cases.map((group) => ({
    label: work.case ? `${work.case} ${group.key}` : '',
    bars: group.systems.flatMap(({ system, of }) => {
      const seen = of(key);
      if (!seen) return [];
      const { median: value, low, high } = seen;
      return [{ name: system, value, low, high, text: number(value), ours: system.startsWith('Annals') }];
    }),
  }));

const section = (work, result, folder) => {
  const cases = grouped(result.measurements, work);
  if (cases.length === 0) return '';
  const isLoss = work.work === 'lost';
  const [head, rows] = isLoss ? [['', 'system', 'events', 'lost'], losses(work, cases)] : [RATES, rates(work, cases)];
  const key = isLoss ? 'lost' : work.shows ?? 'rate';
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${work.work}.svg`), plot(work.title, work.unit, bars(work, cases, key)));
  const named = head.with(0, work.case ?? '');
  return `### ${work.title}\n\n${full(named, rows)}\n\n![${work.title}](${basename(folder)}/${work.work}.svg)\n`;
};

/** Resident memory of each server that was loaded over HTTP and told it. */
const memory = ({ measurements }) => {
  const told = measurements.filter(({ peak_mb }) => peak_mb);
  const lines = [...new Set(told.map(({ system }) => system))].map((system) => {
    const { of } = summary(told.filter((line) => line.system === system));
    return `${system}: ${cell(of('idle_mb'), String)} MB idle, at most ${of('peak_mb').high} MB under load.`;
  });
  return lines.length ? `Resident memory. ${lines.join(' ')}\n` : '';
};

const heading = ({ at, commit, machine, versions, settings, quick, minutes }) => `## Beside its peers

${quick ? '**A quick look: one short round, figures for nobody.**\n\n' : ''}Measured ${at} at ${commit} in ${minutes} minutes by \
\`make bench${quick ? ' QUICK=1' : ''}\`, every system in its turn.

- Machine: ${machine.cores} cores of ${machine.cpu}, ${machine.memory_gb} GB, ${machine.kernel}; load average before: \
${machine.load_before.join(', ')}. Servers, systems and clients share it.
- Versions: ${Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(', ')}.
- Postgres: ${Object.entries(settings).map(([name, value]) => `\`${name}=${value}\``).join(', ')}.
`;

const result = JSON.parse(readFileSync(resultFile, 'utf8'));
const folder = pageFile.replace(/\.md$/, '');
const sections = plan(result.quick).map((work) => section(work, result, folder));
const measured = [BEGIN, heading(result), ...sections.filter(Boolean), memory(result), END].join('\n');
const page = existsSync(pageFile) ? readFileSync(pageFile, 'utf8') : `${BEGIN}${END}\n`;
const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
if (begin < 0 || end < begin) throw new Error(`${pageFile} does not have the two marks`);
mkdirSync(dirname(pageFile), { recursive: true });
writeFileSync(pageFile, page.slice(0, begin) + measured + page.slice(end + END.length));
