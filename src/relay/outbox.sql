-- How far the relay is (everything up to the cursor is in Kafka), who has its lease now (null: nobody), and the
-- how-manieth holder that is. One row.
select cursor, case when expires_at > clock_timestamp() then holder end, epoch
from log.outbox
