package peers;

import static org.axonframework.modelling.command.AggregateLifecycle.apply;

import org.axonframework.commandhandling.CommandHandler;
import org.axonframework.eventsourcing.EventSourcingHandler;
import org.axonframework.modelling.command.AggregateIdentifier;
import org.axonframework.modelling.command.TargetAggregateIdentifier;

/** The aggregate that commands fall on. */
public class Counter {
  record Increment(@TargetAggregateIdentifier String id, int by) {}

  @AggregateIdentifier private String id;
  private long value;

  /** For Axon, which makes it from its events. */
  protected Counter() {}

  @CommandHandler
  void handle(Increment command) {
    if (value + command.by() < 0) throw new IllegalStateException("below nothing");
    apply(new Events.Incremented(command.by()));
  }

  @EventSourcingHandler
  void on(Events.CounterCreated event) {
    id = event.id();
  }

  @EventSourcingHandler
  void on(Events.Incremented event) {
    value += event.by();
  }
}
