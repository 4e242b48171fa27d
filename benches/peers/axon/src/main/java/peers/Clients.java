package peers;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/** Clients, each a thread that waits for its answer before it asks again, and what they saw. */
final class Clients {
  interface Once {
    void run() throws Exception;
  }

  interface Numbered {
    void run(int number) throws Exception;
  }

  /** All answers, those of the warm-up too; and the sorted latencies of those that count. */
  record Seen(long answered, double seconds, long[] latencies) {
    /** The line of JSON; an error where the database does not hold what was acknowledged. */
    Map<String, Object> checked(long stored, long before) {
      if (stored != answered + before) {
        throw new IllegalStateException((answered + before) + " were acknowledged, " + stored + " are stored");
      }
      var line = new LinkedHashMap<String, Object>();
      line.put("rate", latencies.length / seconds);
      line.put("p50_ms", millis(0.5));
      line.put("p99_ms", millis(0.99));
      line.put("max_ms", millis(1));
      line.put("stored", stored);
      return line;
    }

    private double millis(double quantile) {
      return latencies[Math.min(latencies.length - 1, (int) (quantile * latencies.length))] / 1e6;
    }
  }

  /** Lets clients ask for so long: first a warm-up that does not count. */
  static Seen ask(Options options, Once once) throws Exception {
    long started = System.nanoTime();
    long counts = started + options.nanos("warmup");
    long ends = counts + options.nanos("seconds");
    var answered = new AtomicInteger();
    var seen = all(options.number("clients"), () -> {
      var latencies = LongStream.builder();
      for (long asked = started; asked < ends; ) {
        asked = System.nanoTime();
        once.run();
        answered.incrementAndGet();
        if (asked >= counts) latencies.add(System.nanoTime() - asked);
      }
      return latencies.build().toArray();
    });
    double seconds = (System.nanoTime() - counts) / 1e9;
    var latencies = Arrays.stream(seen).flatMapToLong(Arrays::stream).sorted().toArray();
    return new Seen(answered.get(), seconds, latencies);
  }

  /** Lets so many clients do a number of things together. */
  static void share(int clients, int total, Numbered once) throws Exception {
    var next = new AtomicInteger();
    all(clients, () -> {
      for (int number; (number = next.getAndIncrement()) < total; ) once.run(number);
      return new long[0];
    });
  }

  private static long[][] all(int clients, Callable<long[]> client) throws Exception {
    var threads = Executors.newFixedThreadPool(clients);
    try {
      var running = IntStream.range(0, clients).mapToObj(i -> threads.submit(client)).toList();
      var results = new long[clients][];
      for (int i = 0; i < clients; i++) results[i] = result(running.get(i));
      return results;
    } finally {
      threads.shutdownNow();
    }
  }

  private static long[] result(Future<long[]> running) throws Exception {
    try {
      return running.get();
    } catch (ExecutionException failed) {
      throw failed.getCause() instanceof Exception cause ? cause : failed;
    }
  }

  private Clients() {}
}
