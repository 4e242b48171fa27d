use serde_json::json;

use super::{Counter, CounterCommand, CounterEvent};
use crate::aggregate::{Aggregate, RejectionKind, testing::given};

fn created() -> CounterEvent {
    CounterEvent::Created { code_hash: "#1234".into() }
}

fn submit(code_hash: &str) -> CounterCommand {
    CounterCommand::SubmitCode { code_hash: code_hash.into() }
}

#[test]
fn a_counter_counts() {
    let increment = Counter::command("counter.increment", &json!({})).expect("valid");
    assert_eq!(increment, CounterCommand::Increment { by: 1 });
    assert_eq!(
        given::<Counter>(vec![created()]).when(increment),
        Ok(vec![CounterEvent::Incremented { by: 1 }])
    );
}

#[test]
fn the_right_code_resets_and_a_wrong_one_does_not() {
    let history = vec![created(), CounterEvent::Incremented { by: 7 }];
    assert_eq!(given::<Counter>(history.clone()).when(submit("#1234")), Ok(vec![CounterEvent::Reset {}]));
    let wrong = given::<Counter>(history).when(submit("#4321")).expect_err("wrong code");
    assert_eq!((wrong.kind, wrong.detail.as_str()), (RejectionKind::Rule, "the code is wrong"));
}

#[test]
fn an_unknown_counter_is_not_found() {
    for command in [submit("#1"), CounterCommand::Increment { by: 1 }] {
        let rejection = given::<Counter>(vec![]).when(command).expect_err("no counter");
        assert_eq!(rejection.kind, RejectionKind::NotFound);
    }
}

#[test]
fn a_code_is_sealed_before_anyone_reads_it() {
    let mut body = json!({"code": "1234"});
    CounterCommand::seal(&mut body, &|code| format!("#{code}"));
    assert_eq!(Counter::command("counter.submit-code", &body), Ok(submit("#1234")));
}

#[test]
fn a_counter_never_wraps() {
    let full = vec![created(), CounterEvent::Incremented { by: i64::MAX }];
    assert!(given::<Counter>(full).when(CounterCommand::Increment { by: 1 }).is_err());
}
