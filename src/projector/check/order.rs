//! Order that is left to chance: what is made of rows, or of some of them, must not depend on how they happen to lie.

use sqlparser::ast::{
    Distinct, DuplicateTreatment, Function, FunctionArgumentClause, FunctionArguments, Ident,
    NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query, Select, SetExpr, TableFactor, WindowType,
};

use super::{folded, last_name, singly::own_calls};

/// What these make of rows depends on their order.
pub(super) const ORDERED: &[&str] = &[
    "array_agg",
    "json_agg",
    "json_agg_strict",
    "json_arrayagg",
    "json_object_agg",
    "json_object_agg_strict",
    "json_objectagg",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "string_agg",
    "xmlagg",
    "row_number",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// What a query leaves to chance, its subqueries left out. `asks`: it is asked whether it has rows, and nothing else.
pub(super) fn faults(query: &Query, asks: bool) -> Vec<String> {
    let keys = match query.order_by.as_ref().map(|by| &by.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.len(),
        Some(OrderByKind::All(_)) => usize::MAX,
        None => 0,
    };
    let mut faults = Vec::new();
    if keys == 0
        && !asks
        && !is_of_functions(query)
        && (query.limit_clause.is_some() || query.fetch.is_some())
    {
        faults.push("`limit` without `order by` takes whichever rows come first".to_owned());
    }
    for select in arms(&query.body) {
        if let Some(Distinct::On(by)) = &select.distinct
            && keys <= by.len()
        {
            faults.push(
                "`distinct on` without a further key in `order by` takes whichever rows come first".into(),
            );
        }
        let calls = if is_of_one_function(select) { vec![] } else { own_calls(select) };
        let unordered = calls.iter().filter(|called| !is_ordered(select, called));
        faults.extend(unordered.map(|called| fault(&last_name(&called.name))));
    }
    faults
}

/// What `array(select …)` leaves to chance.
pub(super) fn fault_of_array(called: &Function) -> Option<String> {
    let FunctionArguments::Subquery(query) = &called.args else {
        return None;
    };
    let is_chance = last_name(&called.name) == "array" && query.order_by.is_none() && !is_of_functions(query);
    is_chance.then(|| fault("array"))
}

fn fault(name: &str) -> String {
    format!("`{name}` without `order by` depends on the order that rows happen to lie in")
}

/// The selects of a query whose rows it puts together.
pub(super) fn arms(body: &SetExpr) -> Vec<&Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::SetOperation { left, right, .. } => [arms(left), arms(right)].concat(),
        _ => vec![],
    }
}

fn is_of_functions(query: &Query) -> bool {
    let arms = arms(&query.body);
    !arms.is_empty() && arms.into_iter().all(is_of_one_function)
}

/// Whether it reads what one function returns, such as the elements of an array, in the function's order.
fn is_of_one_function(select: &Select) -> bool {
    match &select.from[..] {
        [only] if only.joins.is_empty() => matches!(
            only.relation,
            TableFactor::Table { args: Some(_), .. }
                | TableFactor::Function { .. }
                | TableFactor::UNNEST { .. }
        ),
        _ => false,
    }
}

/// Whether a call depends on no order, or names it.
fn is_ordered(select: &Select, called: &Function) -> bool {
    let by_argument = match &called.args {
        FunctionArguments::List(list) => {
            let is_order =
                |clause: &FunctionArgumentClause| matches!(clause, FunctionArgumentClause::OrderBy(_));
            // Postgres sorts to find what is there twice.
            list.clauses.iter().any(is_order)
                || list.duplicate_treatment == Some(DuplicateTreatment::Distinct)
        }
        _ => false,
    };
    let by_window = match &called.over {
        Some(WindowType::WindowSpec(window)) => {
            !window.order_by.is_empty()
                || window.window_name.as_ref().is_some_and(|name| orders(select, name))
        }
        Some(WindowType::NamedWindow(name)) => orders(select, name),
        None => false,
    };
    by_argument || by_window || !ORDERED.contains(&last_name(&called.name).as_str())
}

/// Whether the window of this name has an order.
fn orders(select: &Select, name: &Ident) -> bool {
    select.named_window.iter().any(|NamedWindowDefinition(defined, window)| {
        folded(defined) == folded(name)
            && matches!(window, NamedWindowExpr::WindowSpec(window) if !window.order_by.is_empty())
    })
}
