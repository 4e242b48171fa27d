package peers;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/** Appends of new streams, and commands on aggregates that exist. */
final class Write {
  /** Each append is a new stream of one event. */
  static Map<String, Object> append(Store store) throws Exception {
    var events = store.configurer.start().eventStore();
    var payload = List.of(store.options.data());
    var seen = Clients.ask(store.options, () -> Store.publish(events, UUID.randomUUID().toString(), payload));
    return seen.checked(store.stored(), 0);
  }

  /** Load, decide, append, through the command bus. */
  static Map<String, Object> command(Store store) throws Exception {
    var running = store.configurer.start();
    int streams = store.options.number("streams");
    int history = store.options.number("history");
    var ids = new String[streams];
    Clients.share(16, streams, i -> {
      ids[i] = UUID.randomUUID().toString();
      var payloads = new ArrayList<Object>(List.of(new Events.CounterCreated(ids[i])));
      while (payloads.size() < history) payloads.add(new Events.Incremented(1));
      Store.publish(running.eventStore(), ids[i], payloads);
    });
    var gateway = running.commandGateway();
    var seen = Clients.ask(store.options, () -> {
      var id = ids[ThreadLocalRandom.current().nextInt(streams)];
      gateway.sendAndWait(new Counter.Increment(id, 1));
    });
    return seen.checked(store.stored(), (long) streams * history);
  }

  private Write() {}
}
