//! Some of a list, and where the rest begins.

use crate::json::RawJson;

/// Items of a list, newest or oldest first, and the place behind which the next page begins.
#[derive(Debug, Clone)]
pub struct Page<C> {
    pub items: Vec<RawJson>,
    pub next: Option<C>,
}

impl<C> Page<C> {
    /// The first `limit` of these items, each with its place in the list. More than those show that it goes on.
    pub fn cut(items: impl Iterator<Item = (C, RawJson)>, limit: usize) -> Self {
        let mut page = Self { items: Vec::new(), next: None };
        let mut items = items.peekable();
        while page.items.len() < limit
            && let Some((place, item)) = items.next()
        {
            page.items.push(item);
            page.next = items.peek().is_some().then_some(place);
        }
        page
    }
}
