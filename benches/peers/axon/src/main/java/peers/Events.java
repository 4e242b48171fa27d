package peers;

import java.math.BigDecimal;
import java.util.List;

/** What happened. */
final class Events {
  record Item(String sku, int quantity, BigDecimal unit_price) {}

  record OrderCreated(String customer_id, List<Item> items, BigDecimal total) {}

  record OrderPaid(BigDecimal amount, String reference) {}

  /** Confirmed, shipped or delivered. */
  record OrderMoved(String status) {}

  record CounterCreated(String id) {}

  record Incremented(int by) {}

  private Events() {}
}
