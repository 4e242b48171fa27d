// What is measured: each work with its sizes, its cases, and the systems that stand side by side.
//
// A work names the system that is Annals in its table (`base`); the limits are marked in their names.
import * as annals from './annals.js';
import { debezium } from './debezium.js';
import { axon, emmett, handler, messageDb, rust, wrk } from './drivers.js';

/** `quick` looks whether all works, in minutes; its figures are for nobody. */
export const plan = (quick) => {
  const seconds = quick ? 1 : 3;
  const clients = (numbers, more = {}) => numbers.map((clients) => ({ clients, seconds, ...more }));
  return [
    {
      work: 'append',
      title: 'Append: a new stream of one event',
      rate: 'appends/s',
      base: 'Annals',
      cases: clients(quick ? [1, 64] : [1, 16, 64, 256]),
      systems: {
        Annals: annals.append,
        'message-db': messageDb,
        'postgres-es': rust('postgres-es', 'append'),
        Emmett: emmett('append'),
        Axon: axon('append'),
        'one-row INSERT': rust('insert', 'append'),
        'binary COPY (limit)': rust('copy', 'append'),
      },
    },
    {
      work: 'command',
      title: 'Command on one of 1,000 aggregates with 10 events each',
      rate: 'commands/s',
      base: 'Annals',
      cases: clients([64], { streams: 1_000, history: 10 }),
      systems: {
        Annals: annals.command,
        'postgres-es': rust('postgres-es', 'command'),
        Emmett: emmett('command'),
        Axon: axon('command'),
        'Axon, cached': axon('command', { cache: 1 }),
      },
    },
    {
      work: 'http',
      title: 'HTTP: an order is created',
      rate: 'requests/s',
      base: 'Annals, with relay, projectors and audit',
      cases: clients(quick ? [64] : [1, 64, 256]),
      systems: {
        'Annals, with relay, projectors and audit': annals.http(wrk),
        'hand-written, one INSERT': handler(true),
        'hand-written, no database (limit)': handler(false),
      },
    },
    {
      work: 'relay',
      title: 'Relay: a backlog, then latency at 1,000 events/s',
      rate: 'events/s',
      base: 'Annals, exactly-once',
      rounds: 2,
      cases: [{ events: quick ? 50_000 : 200_000, rate: 1_000, seconds: quick ? 2 : 5 }],
      systems: {
        'Annals, exactly-once': annals.relay('exactly-once'),
        'Annals, low-latency': annals.relay('low-latency'),
        Debezium: debezium,
      },
    },
    {
      work: 'rebuild',
      title: 'Projection and rebuild of the orders',
      rate: 'events/s',
      base: 'Annals: rebuild, 2 lanes: load and indexes',
      rounds: 2,
      cases: [{}],
      systems: {
        Annals: () => annals.projection({ events: quick ? 100_000 : 1_000_000 }),
        Emmett: emmett('rebuild', { events: quick ? 2_500 : 20_000 }),
        Axon: axon('rebuild', { events: quick ? 5_000 : 30_000 }),
        'Axon, batch 1,000, 2 segments': axon('rebuild', { events: quick ? 10_000 : 100_000, batch: 1_000, segments: 2 }),
      },
    },
    {
      work: 'lost',
      title: 'Events that never reach a live projection while clients append',
      base: 'Annals',
      rounds: 1,
      cases: (quick ? [16] : [1, 4, 16, 64]).map((clients) => ({ clients, events: quick ? 2_000 : 20_000 })),
      systems: {
        Annals: annals.lost(true),
        'Annals, without Kafka': annals.lost(false),
        Emmett: emmett('lost'),
        Axon: axon('lost'),
        'poller of a bigserial': rust('serial', 'lost'),
      },
    },
    {
      work: 'visible',
      title: 'From the answer to a command to its order in the read model',
      rate: 'commands/s',
      base: 'Annals',
      rounds: 1,
      cases: (quick ? [1_000] : [100, 1_000, 5_000]).map((rate) => ({ rate, seconds: quick ? 2 : 5 })),
      systems: { Annals: annals.visible(true), 'Annals, without Kafka': annals.visible(false) },
    },
  ];
};
