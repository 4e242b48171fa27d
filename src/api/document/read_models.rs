//! Read models in the document: each folder's rows, filters and queries, with the types that its `table.sql` declares.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sqlparser::ast::DataType;

use crate::{
    api::read_models::COLLECTION,
    projector::{DeclaredColumn, Folder, Parameter, ParameterType},
};

const TAG: &str = "Read models";
const OPERATORS: [(&str, &str); 4] =
    [("gte", "At least"), ("gt", "More than"), ("lte", "At most"), ("lt", "Less than")];

/// The paths and schemas of these folders, fit to be merged into the framework's document.
pub(super) fn of(folders: &[Folder]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let mut names = Names::default();
    paths.insert(COLLECTION.to_owned(), json!({"get": index()}));
    for folder in folders {
        let schema = names.unique(format!("{}Row", pascal(&folder.name)));
        let base = format!("{COLLECTION}/{}", folder.name);
        let rows = json!({"$ref": format!("#/components/schemas/{schema}")});
        paths.insert(base.clone(), json!({"get": list(folder, &rows, &mut names)}));
        paths.insert(format!("{base}/{{key}}"), json!({"get": row(folder, &rows, &mut names)}));
        for (name, query) in &folder.queries {
            let parameters: Vec<_> = query.parameters.iter().map(query_parameter).collect();
            let id = names.unique(format!("query{}{}", pascal(&folder.name), pascal(name)));
            let operation =
                operation(&id, &query.description, parameters, page(&json!({"type": "object"}), false));
            paths.insert(format!("{base}/queries/{name}"), json!({"get": operation}));
        }
        schemas.insert(schema, row_schema(folder));
    }
    let tag = json!({"name": TAG, "description": "Each is a folder of SQL; what there is, is found here."});
    json!({"paths": paths, "components": {"schemas": schemas}, "tags": [tag]})
}

fn index() -> Value {
    let names = ["name", "description", "path"].map(|name| (name.to_owned(), json!({"type": "string"})));
    let lists = ["key", "filter", "sort"]
        .map(|name| (name.to_owned(), json!({"type": "array", "items": {"type": "string"}})));
    let mut properties: Map<String, Value> = names.into_iter().chain(lists).collect();
    properties.insert("version".into(), json!({"type": "integer"}));
    properties.insert("queries".into(), json!({"type": "array", "items": {"type": "object"}}));
    let item = json!({"type": "object", "required": properties.keys().collect::<Vec<_>>(), "properties": properties});
    let content = json!({"application/json": {"schema": page_schema(&item)}});
    let answer = json!({"description": "By name.", "content": content, "headers": {"Link": {}}});
    let page = ["Limit", "Cursor"].map(|name| json!({"$ref": format!("#/components/parameters/{name}")}));
    let mut operation = operation("listReadModels", "What read models there are", page.into(), answer);
    for status in [400, 422] {
        operation["responses"][status.to_string()] =
            json!({"$ref": format!("#/components/responses/Problem{status}")});
    }
    operation
}

fn list(folder: &Folder, rows: &Value, names: &mut Names) -> Value {
    let mut parameters = Vec::new();
    for name in &folder.filter {
        let column = folder.columns().iter().find(|column| column.name == *name);
        let schema = column.map_or(json!({}), |column| schema(&column.data_type));
        let parameter = |name: String, description: String| json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema});
        parameters.push(parameter(name.clone(), format!("Equal to `{name}`.")));
        let compared = OPERATORS
            .iter()
            .map(|(suffix, words)| parameter(format!("{name}.{suffix}"), format!("{words}.")));
        parameters.extend(compared);
    }
    let id = names.unique(format!("list{}Rows", pascal(&folder.name)));
    operation(&id, &folder.description, parameters, page(rows, true))
}

fn row(folder: &Folder, rows: &Value, names: &mut Names) -> Value {
    let key = json!({
        "name": "key", "in": "path", "required": true, "schema": {"type": "string"},
        "description": format!("{}; parts separated by commas, each percent-encoded.", folder.key.join(", ")),
    });
    let mut headers = moment();
    headers.insert("ETag".into(), json!({}));
    let content = json!({"application/json": {"schema": rows}});
    let answer = json!({"description": "The row.", "content": content, "headers": headers});
    let summary = format!("A row of {}", folder.name);
    let id = names.unique(format!("get{}Row", pascal(&folder.name)));
    operation(&id, &summary, vec![key], answer)
}

fn operation(id: &str, summary: &str, parameters: Vec<Value>, answer: Value) -> Value {
    let summary = if summary.is_empty() { id } else { summary };
    json!({
        "operationId": id,
        "summary": summary.trim_end_matches('.'),
        "tags": [TAG],
        "parameters": parameters,
        "responses": {"200": answer},
    })
}

fn page(items: &Value, continued: bool) -> Value {
    let mut headers = moment();
    if continued {
        headers.insert("Link".into(), json!({}));
    }
    let content = json!({"application/json": {"schema": page_schema(items)}});
    json!({"description": "A page.", "content": content, "headers": headers})
}

fn page_schema(items: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": {"type": "array", "items": items},
            "next": {"type": "string", "nullable": true},
        },
    })
}

fn moment() -> Map<String, Value> {
    ["Annals-Position", "Annals-Generation", "Annals-Parked"]
        .map(|name| (name.to_owned(), json!({})))
        .into_iter()
        .collect()
}

fn row_schema(folder: &Folder) -> Value {
    let columns = folder.columns();
    let names: Vec<_> = columns.iter().map(|column| &column.name).collect();
    let properties: Map<_, _> =
        columns.iter().map(|column| (column.name.clone(), column_schema(column))).collect();
    json!({"type": "object", "description": folder.description, "required": names, "properties": properties})
}

fn query_parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.parameter_type {
        ParameterType::Text => json!({"type": "string"}),
        ParameterType::Uuid => json!({"type": "string", "format": "uuid"}),
        ParameterType::Bigint => json!({"type": "integer", "format": "int64"}),
        ParameterType::Numeric => json!({"type": "number"}),
        ParameterType::Boolean => json!({"type": "boolean"}),
        ParameterType::Date => json!({"type": "string", "format": "date"}),
        ParameterType::Timestamptz => json!({"type": "string", "format": "date-time"}),
    };
    json!({"name": parameter.name, "in": "query", "required": parameter.required, "schema": schema})
}

fn column_schema(column: &DeclaredColumn) -> Value {
    let mut schema = schema(&column.data_type);
    if column.nullable {
        schema["nullable"] = true.into();
    }
    schema
}

fn schema(data_type: &DataType) -> Value {
    match data_type {
        DataType::Uuid => json!({"type": "string", "format": "uuid"}),
        DataType::Text | DataType::Varchar(_) | DataType::Char(_) => json!({"type": "string"}),
        DataType::SmallInt(_) | DataType::Int(_) | DataType::Integer(_) => {
            json!({"type": "integer", "format": "int32"})
        }
        DataType::BigInt(_) => json!({"type": "integer", "format": "int64"}),
        DataType::Numeric(_) | DataType::Decimal(_) => json!({"type": "number"}),
        DataType::Boolean | DataType::Bool => json!({"type": "boolean"}),
        DataType::Date => json!({"type": "string", "format": "date"}),
        DataType::Timestamp(..) => json!({"type": "string", "format": "date-time"}),
        // JSON of any kind, and types that only Postgres knows.
        _ => json!({}),
    }
}

/// The names given so far. Those of a folder and its query may meet another folder's once they are joined.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn unique(&mut self, mut name: String) -> String {
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }
}

/// `customer_summary` as `CustomerSummary`, `top_10` as `Top_10`: `top10` is another one.
fn pascal(name: &str) -> String {
    let words = name.split(['_', '-']).map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        let parted = if first.starts_with(|c: char| c.is_ascii_alphabetic()) { "" } else { "_" };
        format!("{parted}{}{rest}", first.to_ascii_uppercase())
    });
    words.collect()
}
