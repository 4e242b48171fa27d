// How many events a live consumer never sees while writers append.
import { randomUUID } from 'node:crypto';
import { postgreSQLEventStoreConsumer } from '@event-driven-io/emmett-postgresql';
import { share } from './clients.js';
import { open, stored } from './write.js';

// Nothing new for so long after the last commit means that nothing comes any more.
const QUIET_MS = 10_000;

export const lost = async (options, pool) => {
  const store = await open(options, pool);
  const seen = new Set();
  let twice = 0;
  const consumer = postgreSQLEventStoreConsumer({
    connectionString: options.url,
    pulling: { batchSize: options.batch, pullingFrequencyInMs: options.pause },
  });
  consumer.reactor({
    processorId: 'lost',
    connectionOptions: { connectionString: options.url },
    eachMessage: ({ metadata }) => {
      if (seen.has(metadata.messageId)) twice += 1;
      seen.add(metadata.messageId);
    },
  });
  consumer.start().catch((error) => {
    console.error(error);
    process.exit(1);
  });
  await share(options.clients, options.events, () =>
    store.appendToStream(`order-${randomUUID()}`, [{ type: 'OrderCreated', data: options.data }]),
  );
  const there = await stored(pool);
  let known = -1;
  while (seen.size < there && known !== seen.size) {
    known = seen.size;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  }
  return { stored: there, seen: seen.size, lost: there - seen.size, twice };
};
