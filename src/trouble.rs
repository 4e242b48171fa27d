//! What goes wrong in loops that try again: said once while it goes on, not with each try.

use std::{borrow::Cow, fmt::Display};

use tracing::{info, warn};

/// What a loop cannot do for now.
pub(crate) struct Trouble {
    what: Cow<'static, str>,
    said: Option<String>,
}

impl Trouble {
    /// `what` is said beside the error: what is not done, and what becomes of it.
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), said: None }
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
        if self.is_news(&error) {
            warn!(error, "{}", self.what);
        }
    }

    /// It goes well again: the next error is a new one.
    pub(crate) fn end(&mut self) {
        if self.said.take().is_some() {
            info!("over: {}", self.what);
        }
    }

    /// Whether an error was not said last; it is now.
    fn is_news(&mut self, error: &str) -> bool {
        let is_news = self.said.as_deref() != Some(error);
        if is_news {
            self.said = Some(error.to_owned());
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_once() {
        let mut trouble = Trouble::new("nothing is done");
        assert!(trouble.is_news("away"));
        assert!(!trouble.is_news("away"));
        assert!(trouble.is_news("full"));
        assert!(trouble.is_news("away"));
        trouble.end();
        assert!(trouble.is_news("away"), "it went well between");
    }
}
