use serde_json::json;

use super::{Project, ProjectCommand, ProjectEvent, ProjectState};
use crate::aggregate::{Aggregate, Claim, RejectionKind, testing::given};

fn created(name: &str) -> ProjectEvent {
    ProjectEvent::Created { name: name.into(), description: None }
}

fn changed(name: &str) -> ProjectEvent {
    ProjectEvent::Changed { name: name.into(), description: None }
}

fn update(name: &str) -> ProjectCommand {
    ProjectCommand::Update { name: name.into(), description: None }
}

#[test]
fn a_project_is_created_changed_and_deleted() {
    let create = ProjectCommand::read("project.create", &json!({"name": "  Apollo ", "description": "d"}));
    assert_eq!(create, Ok(ProjectCommand::Create { name: "Apollo".into(), description: Some("d".into()) }));
    assert_eq!(
        given::<Project>(vec![]).when(create.expect("valid")),
        Ok(vec![ProjectEvent::Created { name: "Apollo".into(), description: Some("d".into()) }])
    );
    assert_eq!(given::<Project>(vec![created("A")]).when(update("B")), Ok(vec![changed("B")]));
    assert_eq!(
        given::<Project>(vec![created("A")]).when(ProjectCommand::Delete {}),
        Ok(vec![ProjectEvent::Deleted {}])
    );
}

#[test]
fn a_change_to_the_same_is_no_event() {
    assert_eq!(given::<Project>(vec![created("A")]).when(update("A")), Ok(vec![]));
}

#[test]
fn what_does_not_exist_any_more_is_not_found() {
    for history in [vec![], vec![created("A"), ProjectEvent::Deleted {}]] {
        for command in [update("B"), ProjectCommand::Delete {}] {
            let rejection = given::<Project>(history.clone()).when(command).expect_err("no project");
            assert_eq!(rejection.kind, RejectionKind::NotFound);
        }
    }
}

#[test]
fn a_name_has_1_to_25_characters_after_trimming() {
    let read = |name: &str| ProjectCommand::read("project.create", &json!({ "name": name }));
    assert!(read(&format!("  {}  ", "é".repeat(25))).is_ok());
    for name in ["", "   ", &"é".repeat(26)] {
        assert_eq!(read(name).expect_err(name)[0].pointer, "/name");
    }
}

#[test]
fn a_name_is_claimed_whatever_its_case_and_released_when_it_goes() {
    let claims = |history: Vec<ProjectEvent>, event| {
        let state = history.iter().fold(ProjectState::default(), Project::evolve);
        Project::claims(&state, &event)
            .into_iter()
            .map(|claim| match claim {
                Claim::Take(value) => format!("+{}", value.value),
                Claim::Release(value) => format!("-{}", value.value),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(claims(vec![], created("Apollo")), ["+apollo"]);
    assert_eq!(claims(vec![created("Apollo")], changed("GEMINI")), ["-apollo", "+gemini"]);
    assert_eq!(claims(vec![created("Apollo")], ProjectEvent::Deleted {}), ["-apollo"]);
}
