package peers;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.Map;

/**
 * The driver of Axon Framework. One workload per run, one line of JSON; the command line is that of the other drivers:
 * {@code append|command|rebuild|lost --url URL --payload FILE --clients N --seconds S …}
 */
public final class Main {
  public static void main(String[] args) throws Exception {
    var options = Options.parse(args);
    Map<String, Object> line;
    try (var store = new Store(options)) {
      line = switch (options.workload()) {
        case "append" -> Write.append(store);
        case "command" -> Write.command(store);
        case "rebuild" -> Rebuild.run(store);
        case "lost" -> Lost.run(store);
        default -> throw new IllegalArgumentException("which workload? append, command, rebuild or lost");
      };
    }
    System.out.println(new ObjectMapper().writeValueAsString(line));
    // Its executors keep threads of their own.
    System.exit(0);
  }
}
