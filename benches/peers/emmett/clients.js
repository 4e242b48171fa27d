// Clients that each wait for their answer before they ask again, and what they saw.

/** Lets clients ask for so long: first a warm-up that does not count. */
export const ask = async ({ clients, warmup, seconds }, once) => {
  const started = performance.now();
  const [counts, ends] = [started + warmup * 1e3, started + (warmup + seconds) * 1e3];
  const latencies = [];
  let answered = 0;
  const client = async () => {
    for (let asked = started; asked < ends; ) {
      asked = performance.now();
      await once();
      answered += 1;
      if (asked >= counts) latencies.push(performance.now() - asked);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  return { answered, elapsed: (performance.now() - counts) / 1e3, latencies };
};

/** The line of JSON; an error where the database does not hold what was acknowledged. */
export const checked = ({ answered, elapsed, latencies }, stored, before = 0) => {
  if (stored !== answered + before) throw new Error(`${answered + before} were acknowledged, ${stored} are stored`);
  latencies.sort((a, b) => a - b);
  const quantile = (q) => latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))];
  return {
    rate: latencies.length / elapsed,
    p50_ms: quantile(0.5),
    p99_ms: quantile(0.99),
    max_ms: quantile(1),
    stored,
  };
};

/** Lets so many clients do a number of things together. */
export const share = async (clients, total, once) => {
  let next = 0;
  const client = async () => {
    while (next < total) await once(next++);
  };
  await Promise.all(Array.from({ length: clients }, client));
};
