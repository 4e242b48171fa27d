// A consumer with a client that is generated from openapi.yaml: places an order, reads it back, and is refused.
import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { components, paths } from "./generated/api.js";

type Order = components["schemas"]["CreateOrder"];

const baseUrl = process.argv[2];
assert(baseUrl, "usage: node client.js URL");
const annals = createClient<paths>({ baseUrl, headers: { Authorization: "Bearer dev-consumer" } });

const order: Order = {
  customer_id: "c-1",
  items: [{ sku: "tea", quantity: 2, unit_price: 4.5 }],
  total: 9,
};

// Placed…
const placed = await annals.POST("/api/orders", { body: order });
assert.equal(placed.response.status, 201);
// Without `Prefer: respond-async` it is not a mere receipt.
assert(placed.data && "id" in placed.data);
assert.equal(placed.response.headers.get("Location"), `/api/orders/${placed.data.id}`);
const token = placed.response.headers.get("Consistency-Token");
assert(token);

// … and read back as it was placed, however far behind the read model is.
const read = await annals.GET("/api/orders/{id}", {
  params: { path: { id: placed.data.id }, header: { "Consistency-Token": token, Prefer: "wait=30" } },
});
assert.equal(read.response.status, 200);
assert(read.data);
assert.equal(read.data.status, "created");
assert.equal(read.data.customer_id, order.customer_id);
assert.equal(read.data.total, order.total);
assert.equal(read.data.version, 1);
assert.equal(read.response.headers.get("ETag"), '"1"');

// Its state forbids to ship it.
const shipped = await annals.POST("/api/orders/{id}/ship", {
  params: { path: { id: placed.data.id } },
  body: { carrier: "dhl", tracking: "JD01" },
});
assert.equal(shipped.response.status, 409);
assert.equal(shipped.response.headers.get("Content-Type"), "application/problem+json");
assert(shipped.error);
assert.equal(shipped.error.type, "/problems/rejected");
assert.equal(shipped.error.state, "created");
assert.deepEqual(shipped.error.allowed, ["items", "confirm", "cancel"]);

// A fault in the body is told with its place.
const faulty = await annals.POST("/api/orders", { body: { ...order, total: 8 } });
assert.equal(faulty.response.status, 422);
assert.equal(faulty.error?.type, "/problems/validation-failed");
assert.equal(faulty.error?.errors?.[0]?.pointer, "/total");
