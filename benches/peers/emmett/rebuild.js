// The orders' read model from the beginning, by Emmett's own rebuild: one statement per event.
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { rawSql, sql } from '@event-driven-io/dumbo';
import { postgreSQLRawSQLProjection, rebuildPostgreSQLProjections } from '@event-driven-io/emmett-postgresql';
import { share } from './clients.js';
import { open, stored } from './write.js';

const TYPES = ['OrderCreated', 'OrderConfirmed', 'OrderPaid', 'OrderShipped', 'OrderDelivered'];

export const rebuild = async (options, pool) => {
  const store = await open(options, pool);
  const orders = Math.floor(options.events / TYPES.length);
  await share(16, orders, () => store.appendToStream(`order-${randomUUID()}`, TYPES.map((type) => event(type, options))));
  await pool.query(readFileSync(options.table, 'utf8'));
  await pool.query('vacuum analyze emt_messages');
  const consumer = rebuildPostgreSQLProjections({
    connectionString: options.url,
    pulling: { batchSize: options.batch, pullingFrequencyInMs: options.pause },
    projections: [
      postgreSQLRawSQLProjection({ name: 'orders', canHandle: TYPES, evolve: (event) => rawSql(statement(event)) }),
    ],
  });
  const began = performance.now();
  await consumer.start();
  const seconds = (performance.now() - began) / 1e3;
  const done = await pool.query("select count(*) from orders where status = 'delivered' and version = 5");
  const made = Number(done.rows[0].count);
  // It pages by transaction and place but remembers the place alone, so of what was written side by side it skips some.
  const [stood, lost] = [await stored(pool), (orders - made) * TYPES.length];
  return { rate: (made * TYPES.length) / seconds, stored: stood, rows: made, lost };
};

const event = (type, { data }) => {
  if (type === 'OrderCreated') return { type, data };
  if (type === 'OrderPaid') return { type, data: { amount: 28.5, reference: 'card' } };
  return { type, data: {} };
};

const statement = ({ type, data, metadata }) => {
  const id = metadata.streamName.slice('order-'.length);
  const [status, version] = [type.slice('Order'.length).toLowerCase(), Number(metadata.streamPosition)];
  if (type === 'OrderCreated') {
    return sql(
      `insert into orders (id, customer_id, status, total, items, created_at, updated_at, version)
       values (%L, %L, %L, %L, %L, now(), now(), %L)`,
      id, data.customer_id, status, data.total, JSON.stringify(data.items), version,
    );
  }
  const paid = type === 'OrderPaid' ? sql(', paid = %L', data.amount) : '';
  return sql(`update orders set status = %L, updated_at = now(), version = %L${paid} where id = %L`, status, version, id);
};
