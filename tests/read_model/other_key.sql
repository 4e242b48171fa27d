-- Generation 2 of the orders has another key: the customer, and then the order.
update projections.generations
set folder = jsonb_set(folder, '{projection.toml}', to_jsonb(
        replace(folder ->> 'projection.toml', 'key = ["id"]', 'key = ["customer_id", "id"]')))
where projection = 'orders' and generation = 2;
