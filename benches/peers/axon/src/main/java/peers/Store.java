package peers;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import org.axonframework.common.jdbc.ConnectionProvider;
import org.axonframework.common.jdbc.UnitOfWorkAwareConnectionProviderWrapper;
import org.axonframework.common.transaction.NoTransactionManager;
import org.axonframework.config.AggregateConfigurer;
import org.axonframework.config.Configurer;
import org.axonframework.config.DefaultConfigurer;
import org.axonframework.eventhandling.EventMessage;
import org.axonframework.eventhandling.GenericDomainEventMessage;
import org.axonframework.eventhandling.tokenstore.jdbc.JdbcTokenStore;
import org.axonframework.eventhandling.tokenstore.jdbc.PostgresTokenTableFactory;
import org.axonframework.eventsourcing.eventstore.EventStore;
import org.axonframework.eventsourcing.eventstore.jdbc.JdbcEventStorageEngine;
import org.axonframework.eventsourcing.eventstore.jdbc.PostgresEventTableFactory;
import org.axonframework.messaging.StreamableMessageSource;
import org.axonframework.messaging.unitofwork.CurrentUnitOfWork;
import org.axonframework.messaging.unitofwork.DefaultUnitOfWork;
import org.axonframework.serialization.json.JacksonSerializer;

/** Axon on JDBC with its schema made: a unit of work is a transaction, events are JSON. */
final class Store implements AutoCloseable {
  /** Beside the clients': the processors' own. */
  private static final int PROCESSOR_CONNECTIONS = 20;

  final Options options;
  final Configurer configurer;
  final ConnectionProvider connections;
  private final HikariDataSource pool;

  Store(Options options) throws Exception {
    this.options = options;
    var settings = new HikariConfig();
    settings.setJdbcUrl(options.jdbcUrl());
    settings.setMaximumPoolSize(Math.min(options.number("clients"), options.number("connections")) + PROCESSOR_CONNECTIONS);
    // Connections as many as clients; the processors' only when they ask.
    settings.setMinimumIdle(1);
    pool = new HikariDataSource(settings);
    connections = new UnitOfWorkAwareConnectionProviderWrapper(this::connect);
    var serializer = JacksonSerializer.defaultSerializer();
    var engine = JdbcEventStorageEngine.builder().connectionProvider(connections)
        .transactionManager(NoTransactionManager.INSTANCE).eventSerializer(serializer).snapshotSerializer(serializer).build();
    engine.createSchema(PostgresEventTableFactory.INSTANCE);
    var tokens = JdbcTokenStore.builder().connectionProvider(connections).serializer(serializer).build();
    tokens.createSchema(PostgresTokenTableFactory.INSTANCE);
    var counters = AggregateConfigurer.defaultConfiguration(Counter.class);
    if (options.number("cache") == 1) counters.configureWeakReferenceCache();
    // Not what it finds on the class path: the connector of Axon Server would be asked for.
    configurer = DefaultConfigurer.defaultConfiguration(false).configureEmbeddedEventStore(c -> engine)
        .configureSerializer(c -> serializer).configureAggregate(counters);
    configurer.eventProcessing().registerTokenStore(c -> tokens);
  }

  /** Outside of a unit of work each statement is a transaction. */
  private Connection connect() throws SQLException {
    var connection = pool.getConnection();
    if (CurrentUnitOfWork.isStarted()) connection.setAutoCommit(false);
    return connection;
  }

  /** A pooled streaming processor of `handler`, from the first event on, with the batch and segments of the options. */
  void follow(Object handler) {
    configurer.eventProcessing().registerEventHandler(c -> handler).usingPooledStreamingEventProcessors(
        (c, processor) -> processor.batchSize(options.number("batch")).initialSegmentCount(options.number("segments"))
            .initialToken(StreamableMessageSource::createTailToken));
  }

  /** Publishes the events of a new stream in one unit of work, as the only ones. */
  static void publish(EventStore store, String id, List<?> payloads) {
    var work = DefaultUnitOfWork.startAndGet(null);
    work.execute(() -> {
      EventMessage<?>[] messages = new EventMessage<?>[payloads.size()];
      for (int i = 0; i < messages.length; i++) {
        messages[i] = new GenericDomainEventMessage<>("order", id, i, payloads.get(i));
      }
      store.publish(messages);
    });
  }

  long stored() throws SQLException {
    return count("select count(*) from DomainEventEntry");
  }

  long count(String sql) throws SQLException {
    try (var connection = pool.getConnection(); var rows = connection.createStatement().executeQuery(sql)) {
      rows.next();
      return rows.getLong(1);
    }
  }

  void execute(String sql) throws SQLException {
    try (var connection = pool.getConnection(); var statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  @Override
  public void close() {
    pool.close();
  }
}
