//! Which waiting appends go together.
//!
//! A batch never holds one command id, one (principal, key) or one claim twice: the second waits for the next batch, and
//! so do all that follow it in its stream, so that a stream's order is kept. So does an append whose expected event is not
//! its predecessor's last: `log.append` compares it with what is stored.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Append, Error, Expected, Outcome, StreamId};
use crate::{aggregate::Claim, config};

/// An append and who waits for it.
pub(super) struct Waiting {
    pub(super) append: Append,
    pub(super) reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// Takes the next batch off the front of `queue`; what may not join it stays there, in order.
pub(super) fn take(queue: &mut VecDeque<Waiting>, limits: &config::Append) -> Vec<Waiting> {
    let mut batch: Vec<Waiting> = Vec::with_capacity(queue.len().min(limits.batch_requests_max));
    let mut left = VecDeque::new();
    let mut held = Held::default();
    let mut bytes = 0;
    while let Some(waiting) = queue.pop_front() {
        let size = size(&waiting.append);
        let full = batch.len() >= limits.batch_requests_max
            || (!batch.is_empty() && bytes + size > limits.batch_bytes_max);
        if full {
            left.push_back(waiting);
            break;
        }
        if held.admits(&waiting.append) {
            bytes += size;
            batch.push(waiting);
        } else {
            left.push_back(waiting);
        }
    }
    left.append(queue);
    *queue = left;
    batch
}

/// What a batch holds once.
#[derive(Default)]
struct Held {
    commands: HashSet<Uuid>,
    keys: HashSet<(String, String)>,
    claims: HashSet<(&'static str, String)>,
    /// The last event that it appends to a stream.
    last: HashMap<StreamId, Uuid>,
    /// Streams of which an append has to wait.
    waiting: HashSet<StreamId>,
}

impl Held {
    fn admits(&mut self, append: &Append) -> bool {
        let claims: Vec<_> = append
            .claims
            .iter()
            .map(|(Claim::Take(value) | Claim::Release(value))| (value.scope, value.value.clone()))
            .collect();
        let key = append.idempotency_key.as_ref().map(|key| (append.principal.clone(), key.clone()));
        let must_wait = (!self.waiting.is_empty() && self.waiting.contains(&append.stream))
            || self.commands.contains(&append.command_id)
            || key.as_ref().is_some_and(|key| self.keys.contains(key))
            || claims.iter().any(|claim| self.claims.contains(claim))
            || self.follows_another(append);
        if must_wait {
            self.waiting.insert(append.stream.clone());
            return false;
        }
        self.commands.insert(append.command_id);
        self.keys.extend(key);
        self.claims.extend(claims);
        if let Some(last) = append.events.last() {
            self.last.insert(append.stream.clone(), last.event_id);
        }
        true
    }

    fn follows_another(&self, append: &Append) -> bool {
        let Expected::Last(_, counted_on) = append.expected else {
            return false;
        };
        self.last.get(&append.stream).is_some_and(|last| *last != counted_on)
    }
}

fn size(append: &Append) -> usize {
    append.answer.as_str().len()
        + append
            .events
            .iter()
            .map(|event| event.data.as_str().len() + event.metadata.as_str().len())
            .sum::<usize>()
}
