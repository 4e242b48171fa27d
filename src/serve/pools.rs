//! The pools of connections of this process, each by the part it is for.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_postgres::Pool;
use secrecy::SecretString;

use crate::{
    config::Databases,
    postgres::{self, Error},
};

/// Makes pools, and knows them all. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pools(Arc<Shared>);

struct Shared {
    databases: Databases,
    /// Of those who wait on a silent session.
    patience: Duration,
    all: Mutex<Vec<(&'static str, Pool)>>,
}

impl Pools {
    pub(super) fn new(databases: &Databases, patience: Duration) -> Self {
        Self(Arc::new(Shared { databases: databases.clone(), patience, all: Mutex::default() }))
    }

    /// A pool of its own for one part.
    pub(super) fn open(&self, part: &'static str, url: &SecretString) -> Result<Pool, Error> {
        Ok(self.add(part, postgres::watched_pool(url, &self.0.databases, self.0.patience)?))
    }

    /// A few connections for one part alone, with an end to each statement.
    pub(super) fn bounded(
        &self,
        part: &'static str,
        url: &SecretString,
        pool_size: usize,
        time_max: Duration,
    ) -> Result<Pool, Error> {
        let databases = Databases { pool_size, ..self.0.databases.clone() };
        Ok(self.add(part, postgres::bounded_pool(url, &databases, time_max, "")?))
    }

    /// Counts a pool that was made elsewhere among them.
    pub(super) fn add(&self, part: &'static str, pool: Pool) -> Pool {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner).push((part, pool.clone()));
        pool
    }

    pub(super) fn all(&self) -> Vec<(&'static str, Pool)> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
