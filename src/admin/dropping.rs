//! Drops projections on an admin's request.
//!
//! The event names the projection and when it was made. So a repeat, or what a dead process left undone, never drops one
//! that was made anew under the same name.

use serde_json::json;

use super::{Admin, Asker, Error, request::stream_of};
use crate::{command, rebuild};

impl Admin {
    /// Notes that a projection is dropped, and drops it; whether an earlier request with the same key did. Refused, and not
    /// noted, where it would be made anew at once, or is being rebuilt.
    pub async fn drop_projection(
        &self,
        asker: &Asker,
        idempotency_key: Option<String>,
        projection: &str,
    ) -> Result<bool, Error> {
        let named = json!({ "projection": projection });
        let request = |made_at: &str, if_match| command::Request {
            sent: Some(named.clone()),
            idempotency_key: idempotency_key.clone(),
            if_match,
            ..asker.asks(
                "admin.drop-projection",
                Some(stream_of(projection)),
                json!({ "projection": projection, "made_at": made_at }),
            )
        };
        if idempotency_key.is_some() {
            // No version is wanted, so that nothing is noted: it only finds an earlier answer.
            match self.carry(request("", Some(vec![]))).await {
                Err(Error::Command(command::Error::VersionMismatch { .. })) => {}
                earlier => return Ok(earlier?.0.replayed),
            }
        }
        let made_at = rebuild::made_at(&self.read, projection).await?;
        self.refuse_folder(projection)?;
        if rebuild::unfinished(&self.read, projection).await?.is_some() {
            return Err(rebuild::Error::BeingRebuilt(projection.to_owned()).into());
        }
        Ok(self.carry(request(&made_at, None)).await?.0.replayed)
    }

    /// Drops a projection, where it is still the one that was made then.
    pub(super) async fn make_dropped(&self, projection: &str, made_at: &str) -> Result<(), Error> {
        self.refuse_folder(projection)?;
        Ok(rebuild::drop_projection(&self.read, projection, made_at).await?)
    }

    /// A worker would make it anew.
    fn refuse_folder(&self, projection: &str) -> Result<(), Error> {
        match self.folders.iter().any(|folder| folder.name == projection) {
            true => Err(Error::HasFolder(projection.to_owned())),
            false => Ok(()),
        }
    }
}
