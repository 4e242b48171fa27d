-- What is stored.
select count(*) from message_store.messages
