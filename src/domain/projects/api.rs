//! Projects over HTTP: the shapes that are published, and which route is which command.

use chrono::{DateTime, Utc};
use poem_openapi::{Object, OpenApi, Tags, types::Example};
use uuid::Uuid;

use crate::api::{
    problem::Problem,
    read::{Filter, Page, Read, Row},
    reply::{Created, Done, Gone},
    sent::{Bare, Id, Sent},
};

const READ_MODEL: &str = "projects";

/// The routes.
pub(crate) struct ProjectsApi;

#[derive(Tags)]
enum Tag {
    /// Each with a name that no other has.
    Projects,
}

#[OpenApi(prefix_path = "/api/projects", tag = "Tag::Projects")]
impl ProjectsApi {
    /// Create a project
    ///
    /// The name is trimmed, and no two projects have the same, whatever its case.
    #[oai(path = "/", method = "post", operation_id = "createProject")]
    async fn create(&self, project: Sent<CreateProject>) -> Result<Created<ProjectCreated>, Problem> {
        project.create("project.create").await
    }

    /// List projects
    #[oai(path = "/", method = "get", operation_id = "listProjects")]
    async fn list(
        &self,
        read: Read,
        /// The whole name, in its case. For a part of it see the query `search` of the read model.
        #[oai(name = "name")]
        _name: Filter<String>,
    ) -> Result<Page<Project>, Problem> {
        read.page(READ_MODEL).await
    }

    /// Get a project
    #[oai(path = "/:id", method = "get", operation_id = "getProject")]
    async fn get(&self, id: Id, read: Read) -> Result<Row<Project>, Problem> {
        read.row(READ_MODEL, &[&id.0.to_string()]).await
    }

    /// Rename or describe a project
    ///
    /// Both members are as they are sent from now on. An id in the body is ignored.
    #[oai(path = "/:id", method = "put", operation_id = "updateProject")]
    async fn update(&self, id: Id, project: Sent<UpdateProject>) -> Result<Done<ProjectChanged>, Problem> {
        project.on(id, "project.update").await
    }

    /// Delete a project
    ///
    /// Its name is free again.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteProject")]
    async fn delete(&self, id: Id, deletion: Bare) -> Result<Gone, Problem> {
        deletion.on(id, "project.delete").await
    }
}

#[derive(Object)]
#[oai(example)]
struct CreateProject {
    /// 1 to 25 characters after trimming.
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    #[oai(validator(max_length = 100))]
    description: Option<String>,
}

#[derive(Object)]
#[oai(example)]
struct UpdateProject {
    /// 1 to 25 characters after trimming.
    #[oai(validator(min_length = 1, max_length = 100))]
    name: String,
    #[oai(validator(max_length = 100))]
    description: Option<String>,
}

#[derive(Object)]
struct ProjectCreated {
    id: Uuid,
}

#[derive(Object)]
struct ProjectChanged {
    id: Uuid,
    name: String,
    #[oai(nullable)]
    description: Option<String>,
    /// How many events the project has.
    version: i64,
}

/// A project as it stands.
#[derive(Object)]
struct Project {
    id: Uuid,
    name: String,
    #[oai(nullable)]
    description: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// How many events the project has.
    version: i64,
}

impl Example for CreateProject {
    fn example() -> Self {
        Self { name: "Apollo".into(), description: Some("To the moon and back.".into()) }
    }
}

impl Example for UpdateProject {
    fn example() -> Self {
        Self { name: "Apollo 13".into(), description: None }
    }
}
