package peers;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.axonframework.eventhandling.EventHandler;
import org.axonframework.eventhandling.EventMessage;

/** How many events a live processor never sees while writers append. */
final class Lost {
  /** Nothing new for so long after the last commit means that nothing comes any more. */
  private static final long QUIET_MS = 10_000;
  private static final long POLL_MS = 50;

  private final Set<String> seen = ConcurrentHashMap.newKeySet();
  private final AtomicLong twice = new AtomicLong();

  @EventHandler
  void on(Events.OrderCreated event, EventMessage<Events.OrderCreated> message) {
    if (!seen.add(message.getIdentifier())) twice.incrementAndGet();
  }

  static Map<String, Object> run(Store store) throws Exception {
    var processor = new Lost();
    store.follow(processor);
    var events = store.configurer.start().eventStore();
    var payload = List.of(store.options.data());
    Clients.share(store.options.number("clients"), store.options.number("events"),
        i -> Store.publish(events, UUID.randomUUID().toString(), payload));
    long stored = store.stored();
    int known = -1;
    for (long quiet = 0; processor.seen.size() < stored && quiet < QUIET_MS; quiet += POLL_MS) {
      if (known != processor.seen.size()) quiet = 0;
      known = processor.seen.size();
      Thread.sleep(POLL_MS);
    }
    int seen = processor.seen.size();
    return Map.of("stored", stored, "seen", seen, "lost", stored - seen, "twice", processor.twice.get());
  }

  private Lost() {}
}
