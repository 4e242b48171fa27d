// What is measured: each work with its sizes, its cases, and the systems that stand side by side.
//
// `base` is the system that the others are compared with, `goals` how many times a system it is meant to be, by case;
// `case` is the size in which the cases differ. Limits are marked in their names,
// and `once` are those that are measured in the last case alone, since clients are nothing to them; `broker` says that Kafka takes part.
import * as annals from './annals.js';
import { debezium } from './debezium.js';
import { axon, emmett, handler, messageDb, rust } from './drivers.js';

/** Of `annals bench projection`. */
const LIMIT = 'one hand-written insert … select and indexes';

/** `quick` looks whether all works, in minutes; its figures are for nobody. */
export const plan = (quick) => {
  const seconds = quick ? 1 : 2;
  const clients = (numbers, more = {}) => numbers.map((clients) => ({ clients, seconds, ...more }));
  return [
    {
      work: 'append',
      title: 'Append: a new stream of one event',
      unit: 'appends/s',
      case: 'clients',
      base: 'Annals',
      goals: {
        'message-db': { 64: 12 },
        Axon: { 64: 7 },
        'one-row INSERT': { 1: 0.8, 64: 2.5 },
        'binary COPY (limit)': { 256: 0.5 },
      },
      once: ['binary COPY (limit)'],
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
      unit: 'commands/s',
      case: 'clients',
      base: 'Annals',
      goals: { 'postgres-es': { 64: 10 }, Emmett: { 64: 10 }, Axon: { 64: 10 } },
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
      broker: true,
      title: 'HTTP: an order is created',
      unit: 'requests/s',
      case: 'clients',
      base: 'Annals, with relay, projectors and audit',
      goals: { 'hand-written, one INSERT': { 1: 1, 64: 2, 256: 2 } },
      cases: clients(quick ? [64] : [1, 64, 256]),
      systems: {
        'Annals, with relay, projectors and audit': annals.http(),
        'Annals, the API alone': annals.http(['api']),
        'hand-written, one INSERT': handler(true),
        'hand-written, no database (limit)': handler(false),
      },
    },
    {
      work: 'relay',
      broker: true,
      title: 'Relay: a backlog, then latency at 1,000 events/s',
      unit: 'events/s',
      base: 'Annals, exactly-once',
      goals: { Debezium: { '': 4 } },
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
      unit: 'events/s',
      base: 'Annals: rebuild, 2 lanes: load and indexes',
      goals: { 'one statement per event (sample)': { '': 15 }, 'Axon, batch 1,000, 2 segments': { '': 8 }, [LIMIT]: { '': 0.5 } },
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
      broker: true,
      title: 'Events that never reach a live projection while clients append',
      unit: 'events',
      case: 'clients',
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
      broker: true,
      title: 'From the answer to a command to its order in the read model',
      unit: 'p50, ms',
      shows: 'p50_ms',
      case: 'rate',
      base: 'Annals',
      rounds: 1,
      cases: (quick ? [1_000] : [100, 1_000, 5_000]).map((rate) => ({ rate, seconds: quick ? 2 : 5 })),
      systems: {
        Annals: annals.visible(true),
        'Annals, without Kafka': annals.visible(false),
        'Annals, workers in another process': annals.visible(true, true),
      },
    },
    {
      work: 'start',
      broker: true,
      title: 'Start: from the process to ready, with a log that is there',
      unit: 'ms',
      shows: 'p50_ms',
      case: 'events',
      base: 'Annals',
      rounds: 1,
      cases: (quick ? [10_000] : [10_000, 1_000_000, 10_000_000]).map((events) => ({ events })),
      systems: { Annals: annals.begin },
    },
    {
      work: 'growth',
      title: 'Growth: the same work on a log of so many events',
      unit: 'per second',
      case: 'events',
      rounds: 1,
      cases: (quick ? [10_000] : [100_000, 1_000_000, 10_000_000]).map((events) => ({ events })),
      systems: { Annals: annals.growth },
    },
  ];
};
