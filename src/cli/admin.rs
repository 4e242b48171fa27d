//! What admins do from the command line: the same way as over HTTP, so each action is an event too, of actor
//! `cli:` and the system's name of who sits there.

use annals::{
    admin::{Admin, Asker},
    config::Config,
    postgres,
    projector::Folder,
    serve::pipeline,
};

/// Makes actions true, straight on the databases; rebuilds take newer versions from `folders`.
pub(super) async fn admin(config: &Config, folders: Vec<Folder>) -> anyhow::Result<Admin> {
    let databases = &config.databases;
    let read = databases.read_models_as_projector();
    let (writer, read) = (postgres::pool(&databases.writer, databases)?, postgres::pool(read, databases)?);
    Ok(Admin::new(pipeline(config).await?, writer, read, folders, config))
}

pub(super) fn asker(command: &str) -> Asker {
    Asker::at_command_line(&user(), command)
}

/// The system's name of who sits there.
pub(super) fn user() -> String {
    whoami::username().unwrap_or_else(|_| "unknown".into())
}
