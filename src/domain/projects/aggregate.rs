//! The rules of a project.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{commands::ProjectCommand, events::ProjectEvent, schemas::SCHEMAS};
use crate::aggregate::{
    Aggregate, Claim, CommandType, EventSchema, EventType, Rejection, UniqueValue, Violation,
};

/// The aggregate.
pub struct Project;

/// `Some` while the project exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectState(pub Option<Content>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub name: String,
    pub description: Option<String>,
}

impl Aggregate for Project {
    const STREAM_TYPE: &'static str = "project";
    const REVISION: u32 = 1;
    const COMMANDS: &'static [CommandType] = &[
        CommandType::new("project.create", "CreateProject").creating(),
        CommandType::new("project.update", "UpdateProject"),
        CommandType::new("project.delete", "DeleteProject"),
    ];
    const EVENTS: &'static [EventType] = &[
        EventType::new("project.created", 1),
        EventType::new("project.changed", 1),
        EventType::new("project.deleted", 1),
    ];
    const SCHEMAS: &'static [EventSchema] = SCHEMAS;

    type State = ProjectState;
    type Command = ProjectCommand;
    type Event = ProjectEvent;

    fn command(name: &str, body: &Value) -> Result<ProjectCommand, Vec<Violation>> {
        ProjectCommand::read(name, body)
    }

    fn decide(state: &ProjectState, command: ProjectCommand) -> Result<Vec<ProjectEvent>, Rejection> {
        match (command, &state.0) {
            (ProjectCommand::Create { name, description }, None) => {
                Ok(vec![ProjectEvent::Created { name, description }])
            }
            (ProjectCommand::Create { .. }, Some(_)) => Err(Rejection::rule("the project exists already")),
            (_, None) => Err(Rejection::not_found("there is no such project")),
            (ProjectCommand::Update { name, description }, Some(content)) => {
                if name == content.name && description == content.description {
                    return Ok(vec![]);
                }
                Ok(vec![ProjectEvent::Changed { name, description }])
            }
            (ProjectCommand::Delete {}, Some(_)) => Ok(vec![ProjectEvent::Deleted {}]),
        }
    }

    fn evolve(_state: ProjectState, event: &ProjectEvent) -> ProjectState {
        match event {
            ProjectEvent::Created { name, description } | ProjectEvent::Changed { name, description } => {
                ProjectState(Some(Content { name: name.clone(), description: description.clone() }))
            }
            ProjectEvent::Deleted {} => ProjectState(None),
        }
    }

    fn answer(state: &ProjectState, id: Uuid, version: i64, command: &str) -> Value {
        match (command, &state.0) {
            ("project.update", Some(Content { name, description })) => {
                json!({ "id": id, "name": name, "description": description, "version": version })
            }
            _ => json!({ "id": id }),
        }
    }

    /// A name belongs to one project, whatever its case, until that project is renamed or deleted.
    fn claims(before: &ProjectState, event: &ProjectEvent) -> Vec<Claim> {
        let released = before.0.iter().map(|content| Claim::Release(unique(&content.name)));
        match event {
            ProjectEvent::Created { name, .. } | ProjectEvent::Changed { name, .. } => {
                released.chain([Claim::Take(unique(name))]).collect()
            }
            ProjectEvent::Deleted {} => released.collect(),
        }
    }
}

fn unique(name: &str) -> UniqueValue {
    UniqueValue {
        scope: "project.name",
        value: name.to_lowercase(),
        taken: Violation::at("/name", "a project with this name already exists"),
    }
}
