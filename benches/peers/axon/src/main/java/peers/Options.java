package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The command line that all drivers share. */
record Options(String workload, Map<String, String> given) {
  private static final Map<String, String> DEFAULTS = Map.ofEntries(
      Map.entry("clients", "64"), Map.entry("seconds", "5"), Map.entry("warmup", "1"), Map.entry("events", "20000"),
      Map.entry("streams", "1000"), Map.entry("history", "10"), Map.entry("connections", "64"),
      // Of the processor; these are Axon's own defaults.
      Map.entry("batch", "1"), Map.entry("segments", "16"),
      // 1 keeps aggregates in its WeakReferenceCache.
      Map.entry("cache", "0"));

  static Options parse(String[] args) {
    var given = new HashMap<>(DEFAULTS);
    for (int i = 1; i + 1 < args.length; i += 2) given.put(args[i].substring(2), args[i + 1]);
    return new Options(args.length == 0 ? "" : args[0], given);
  }

  String text(String name) {
    var value = given.get(name);
    if (value == null) throw new IllegalArgumentException("--" + name + " is missing");
    return value;
  }

  int number(String name) {
    return Integer.parseInt(text(name));
  }

  long nanos(String name) {
    return (long) (Double.parseDouble(text(name)) * 1e9);
  }

  /** postgres://user:password@host:port/name, as a JDBC URL. */
  String jdbcUrl() {
    var url = URI.create(text("url"));
    var login = url.getUserInfo().split(":", 2);
    return "jdbc:postgresql://%s:%d%s?user=%s&password=%s"
        .formatted(url.getHost(), url.getPort(), url.getPath(), login[0], login[1]);
  }

  Events.OrderCreated data() throws IOException {
    return new ObjectMapper().readValue(Path.of(text("payload")).toFile(), Events.OrderCreated.class);
  }
}
