package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import org.axonframework.common.jdbc.ConnectionProvider;
import org.axonframework.eventhandling.EventHandler;
import org.axonframework.eventhandling.SequenceNumber;
import org.axonframework.messaging.annotation.SourceId;

/** The orders' read model from the beginning, by a pooled streaming processor: one statement per event, as handlers are. */
final class Rebuild {
  private static final String CREATED = """
      insert into orders (id, customer_id, status, total, items, created_at, updated_at, version)
      values (?::uuid, ?, 'created', ?, ?::jsonb, now(), now(), ?)""";
  private static final String PAID =
      "update orders set status = 'paid', paid = ?, updated_at = now(), version = ? where id = ?::uuid";
  private static final String MOVED =
      "update orders set status = ?, updated_at = now(), version = ? where id = ?::uuid";
  private static final String DONE = "select count(*) from orders where status = 'delivered' and version = 5";
  private static final long POLL_MS = 20;

  private final ConnectionProvider connections;
  private final ObjectMapper json = new ObjectMapper();
  private final AtomicLong handled = new AtomicLong();

  private Rebuild(ConnectionProvider connections) {
    this.connections = connections;
  }

  static Map<String, Object> run(Store store) throws Exception {
    var handlers = new Rebuild(store.connections);
    store.follow(handlers);
    var configuration = store.configurer.buildConfiguration();
    var created = store.options.data();
    var life = List.of(created, new Events.OrderMoved("confirmed"), new Events.OrderPaid(created.total(), "card"),
        new Events.OrderMoved("shipped"), new Events.OrderMoved("delivered"));
    int orders = store.options.number("events") / life.size();
    long total = (long) orders * life.size();
    var events = configuration.eventStore();
    Clients.share(16, orders, i -> Store.publish(events, UUID.randomUUID().toString(), life));
    store.execute(Files.readString(Path.of(store.options.text("table"))));
    store.execute("vacuum analyze DomainEventEntry");

    long began = System.nanoTime();
    configuration.start();
    while (handlers.handled.get() < total || store.count(DONE) < orders) Thread.sleep(POLL_MS);
    double seconds = (System.nanoTime() - began) / 1e9;
    return Map.of("rate", total / seconds, "stored", store.stored(), "rows", orders);
  }

  @EventHandler
  void on(Events.OrderCreated event, @SourceId String id, @SequenceNumber long sequence) throws Exception {
    execute(CREATED, id, event.customer_id(), event.total(), json.writeValueAsString(event.items()), sequence + 1);
  }

  @EventHandler
  void on(Events.OrderPaid event, @SourceId String id, @SequenceNumber long sequence) throws SQLException {
    execute(PAID, event.amount(), sequence + 1, id);
  }

  @EventHandler
  void on(Events.OrderMoved event, @SourceId String id, @SequenceNumber long sequence) throws SQLException {
    execute(MOVED, event.status(), sequence + 1, id);
  }

  private void execute(String sql, Object... values) throws SQLException {
    try (var statement = connections.getConnection().prepareStatement(sql)) {
      for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
      statement.executeUpdate();
    }
    handled.incrementAndGet();
  }
}
