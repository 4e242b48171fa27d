create index order_timeline_order on order_timeline (order_id, position);
