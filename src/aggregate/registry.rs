//! All aggregates by name: which one takes a command, and which one can read an event.

use std::collections::{BTreeMap, HashMap};

use super::{AnyAggregate, CommandType, DecodeError};
use crate::json::RawJson;

/// Topics beside those of the stream types; no stream type may take their names.
const TOPICS: [&str; 2] = ["commands", "replies"];

/// The aggregates of this program.
pub struct Registry {
    aggregates: Vec<Box<dyn AnyAggregate>>,
    by_command: HashMap<&'static str, (usize, CommandType)>,
    by_event: HashMap<&'static str, usize>,
    by_stream: HashMap<&'static str, usize>,
}

impl Registry {
    /// # Panics
    /// When two aggregates share a name, or one has that of another topic: a mistake in the program, met at its first
    /// start.
    pub fn new(aggregates: Vec<Box<dyn AnyAggregate>>) -> Self {
        let mut registry = Self {
            aggregates,
            by_command: HashMap::new(),
            by_event: HashMap::new(),
            by_stream: HashMap::new(),
        };
        for (index, aggregate) in registry.aggregates.iter().enumerate() {
            for command in aggregate.commands() {
                let before = registry.by_command.insert(command.name, (index, *command));
                assert!(before.is_none(), "two aggregates take `{}`", command.name);
            }
            for event in aggregate.events() {
                let before = registry.by_event.insert(event.name, index);
                assert!(before.is_none(), "two aggregates write `{}`", event.name);
            }
            assert!(
                !TOPICS.contains(&aggregate.stream_type()),
                "`{}` is another topic",
                aggregate.stream_type()
            );
            let before = registry.by_stream.insert(aggregate.stream_type(), index);
            assert!(before.is_none(), "two aggregates are called `{}`", aggregate.stream_type());
        }
        registry
    }

    /// The aggregate that takes this command.
    pub fn command(&self, name: &str) -> Option<(&dyn AnyAggregate, CommandType)> {
        self.by_command.get(name).map(|(index, command)| (&*self.aggregates[*index], *command))
    }

    /// The aggregate of this stream type.
    pub fn stream(&self, stream_type: &str) -> Option<&dyn AnyAggregate> {
        self.by_stream.get(stream_type).map(|index| &*self.aggregates[*index])
    }

    /// The aggregate that writes this event.
    pub fn event(&self, event_type: &str) -> Option<&dyn AnyAggregate> {
        self.by_event.get(event_type).map(|index| &*self.aggregates[*index])
    }

    pub fn aggregates(&self) -> impl Iterator<Item = &dyn AnyAggregate> {
        self.aggregates.iter().map(|aggregate| &**aggregate)
    }

    /// The schema version in which an event is written, and thus folded, today.
    pub fn schema_version(&self, event_type: &str) -> Option<i32> {
        let known = self.event(event_type)?.events();
        known.iter().find(|known| known.name == event_type).map(|known| known.schema_version)
    }

    /// Today's schema version of every event, by its type.
    pub fn schema_versions(&self) -> BTreeMap<&'static str, i32> {
        let events = self.aggregates().flat_map(AnyAggregate::events);
        events.map(|event| (event.name, event.schema_version)).collect()
    }

    /// An event's data as of today's schema version, for any reader of the log or a topic.
    pub fn upcast(
        &self,
        event_type: &str,
        schema_version: i32,
        data: &RawJson,
    ) -> Result<RawJson, DecodeError> {
        self.event(event_type)
            .ok_or_else(|| DecodeError::Unknown { event_type: event_type.to_owned() })?
            .upcast(event_type, schema_version, data)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{
        super::{Aggregate, CommandType, EventType, Rejection, erase},
        *,
    };

    struct Replies;

    impl Aggregate for Replies {
        const STREAM_TYPE: &'static str = "replies";
        const REVISION: u32 = 1;
        const COMMANDS: &'static [CommandType] = &[];
        const EVENTS: &'static [EventType] = &[];
        type State = ();
        type Command = ();
        type Event = ();

        fn decide((): &(), (): ()) -> Result<Vec<()>, Rejection> {
            Ok(Vec::new())
        }

        fn evolve((): (), (): &()) {}

        fn answer((): &(), _: Uuid, _: i64, _: &str) -> Value {
            json!({})
        }
    }

    #[test]
    #[should_panic(expected = "`replies` is another topic")]
    fn no_stream_type_has_the_name_of_another_topic() {
        Registry::new(vec![erase::<Replies>()]);
    }
}
