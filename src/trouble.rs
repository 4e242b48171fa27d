//! What goes wrong in loops that try again: said once while it goes on, not with each try.

use std::fmt::Display;

use tracing::warn;

/// What a loop cannot do for now.
pub(crate) struct Trouble {
    what: &'static str,
    said: Option<String>,
}

impl Trouble {
    /// `what` is said beside the error: what is not done, and what becomes of it.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, said: None }
    }

    /// What a try gave. Its error is said, unless the try before had the same.
    pub(crate) fn note<T>(&mut self, tried: Result<T, impl Display>) -> Option<T> {
        match tried {
            Ok(value) => {
                self.end();
                Some(value)
            }
            Err(error) => {
                self.say(error);
                None
            }
        }
    }

    /// Says an error, unless it was said last.
    pub(crate) fn say(&mut self, error: impl Display) {
        let error = error.to_string();
        if self.said.as_ref() != Some(&error) {
            warn!(error, "{}", self.what);
            self.said = Some(error);
        }
    }

    /// It goes well again: the next error is a new one.
    pub(crate) fn end(&mut self) {
        self.said = None;
    }
}
