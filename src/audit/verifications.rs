//! Verifications in the background of a server: started in one process, and reported by any.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tracing::error;
use uuid::Uuid;

use super::{Audit, Error, verify::Progress};
use crate::json::RawJson;

const BEGIN: &str = include_str!("verification_begin.sql");
const TOUCH: &str = include_str!("verification_touch.sql");
const END: &str = include_str!("verification_end.sql");
const READ: &str = include_str!("verification.sql");

/// How often a running one says how far it is; after a minute of silence it counts as ended with its process.
const TOUCH_INTERVAL: Duration = Duration::from_secs(2);

impl Audit {
    /// Begins a verification; its id. Each process does one at a time.
    pub async fn begin_verification(&self, principal: &str) -> Result<Uuid, Error> {
        let permit = Arc::clone(&self.verifying).try_acquire_owned().map_err(|_| Error::Overloaded)?;
        let id = Uuid::now_v7();
        self.writer.get().await?.execute(BEGIN, &[&id, &principal]).await?;
        let audit = self.clone();
        tokio::spawn(async move {
            if let Err(error) = audit.carry_out(id).await {
                error!(%id, %error, "a verification broke off");
            }
            drop(permit);
        });
        Ok(id)
    }

    /// What became of a verification.
    pub async fn verification(&self, id: Uuid) -> Result<Option<RawJson>, Error> {
        Ok(self.rows(READ, &[&id]).await?.first().map(|row| row.get(0)))
    }

    async fn carry_out(&self, id: Uuid) -> Result<(), Error> {
        let (done, total) = (AtomicI64::new(0), AtomicI64::new(0));
        let verifying = self.verify(|progress: Progress| {
            done.store(progress.done, Ordering::Relaxed);
            total.store(progress.total, Ordering::Relaxed);
        });
        let touching = async {
            loop {
                sleep(TOUCH_INTERVAL).await;
                let far = (done.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
                self.writer.get().await?.execute(TOUCH, &[&id, &far.0, &far.1]).await?;
            }
        };
        let result = tokio::select! {
            result = verifying => result,
            touched = touching => touched,
        };
        let far = (done.load(Ordering::Relaxed), total.load(Ordering::Relaxed));
        let (state, report) = match &result {
            Ok(report) => ("done", Some(RawJson::of(report))),
            Err(_) => ("failed", None),
        };
        self.writer.get().await?.execute(END, &[&id, &state, &far.0, &far.1, &report]).await?;
        result.map(|_| ())
    }
}
