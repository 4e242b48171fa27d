// Appends of new streams, and commands on streams that exist, through Emmett's command handler.
import { randomUUID } from 'node:crypto';
import { CommandHandler, STREAM_DOES_NOT_EXIST } from '@event-driven-io/emmett';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import { ask, checked, share } from './clients.js';

/** Each append is a new stream of one event. */
export const append = async (options, pool) => {
  const store = await open(options, pool);
  const seen = await ask(options, () =>
    store.appendToStream(`order-${randomUUID()}`, [{ type: 'OrderCreated', data: options.data }], {
      expectedStreamVersion: STREAM_DOES_NOT_EXIST,
    }),
  );
  return checked(seen, await stored(pool));
};

/** Load, decide, append. */
export const command = async (options, pool) => {
  const store = await open(options, pool);
  const ids = Array.from({ length: options.streams }, () => `counter-${randomUUID()}`);
  const incremented = { type: 'Incremented', data: { by: 1 } };
  await share(16, ids.length, (i) => store.appendToStream(ids[i], Array(options.history).fill(incremented)));
  const handle = CommandHandler({
    initialState: () => ({ value: 0 }),
    evolve: (state, { data }) => ({ value: state.value + data.by }),
    // A conflict is tried again, as often as it takes.
    retry: { onVersionConflict: 100 },
  });
  const decide = ({ value }) => {
    if (value + 1 < 0) throw new Error('below nothing');
    return incremented;
  };
  const seen = await ask(options, () => handle(store, ids[Math.floor(Math.random() * ids.length)], decide));
  return checked(seen, await stored(pool), options.streams * options.history);
};

/** A store whose schema is made. */
export const open = async ({ url }, pool) => {
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } });
  await store.schema.migrate();
  return store;
};

/** Messages in the database. */
export const stored = async (pool) =>
  Number((await pool.query('select count(*) from emt_messages')).rows[0].count);
