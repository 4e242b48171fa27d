//! The projection folders of a process.

use std::path::{Path, PathBuf};

use crate::projector::Folder;

/// The projection folders cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnfitFolders {
    #[error("{0} cannot be read: set ANNALS_PROJECTIONS_DIR: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("projection folders have faults:{0}")]
    Faults(String),
}

/// The projection folders; every fault in any of them is told at once.
pub fn folders(dir: &Path) -> Result<Vec<Folder>, UnfitFolders> {
    let loaded = Folder::load_all(dir).map_err(|error| UnfitFolders::Unreadable(dir.to_owned(), error))?;
    let mut folders = Vec::new();
    let mut faults = Vec::new();
    for (name, folder) in loaded {
        match folder {
            Ok(folder) => folders.push(folder),
            Err(found) => faults.extend(
                found.into_iter().map(|fault| format!("\n  {name}/{}: {}", fault.file, fault.detail)),
            ),
        }
    }
    if faults.is_empty() { Ok(folders) } else { Err(UnfitFolders::Faults(faults.concat())) }
}
