//! The HTTP handler one writes by hand: JSON in, one prepared INSERT from a pool, JSON out. And the same with no database.

use deadpool_postgres::Pool;
use poem::{
    EndpointExt, IntoResponse, Response, Route, Server, handler,
    http::StatusCode,
    listener::TcpListener,
    post,
    web::{Data, Json},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use uuid::Uuid;

use crate::{insert, store::pool};

#[derive(clap::Args)]
pub struct Options {
    /// The address to listen on.
    #[arg(long)]
    listen: String,
    /// The database; without it the handler only parses and answers.
    #[arg(long)]
    url: Option<String>,
    /// Connections of the pool.
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

/// What it takes, parsed as a typed handler does.
#[derive(Deserialize, Serialize)]
struct Order {
    customer_id: String,
    items: Vec<Item>,
    total: f64,
}

#[derive(Deserialize, Serialize)]
struct Item {
    sku: String,
    quantity: u32,
    unit_price: f64,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let server = Server::new(TcpListener::bind(&options.listen));
    match options.url {
        None => server.run(Route::new().at("/api/orders", post(bare))).await?,
        Some(url) => {
            let pool = pool(&url, "", options.connections)?;
            pool.get().await?.batch_execute(insert::TABLE).await?;
            server.run(Route::new().at("/api/orders", post(with_insert)).data(pool)).await?;
        }
    }
    Ok(())
}

#[handler]
async fn with_insert(Json(order): Json<Order>, Data(pool): Data<&Pool>) -> Response {
    let stored = async {
        let data = RawValue::from_string(serde_json::to_string(&order)?)?;
        insert::one(pool, &data).await
    };
    match stored.await {
        Ok(()) => (StatusCode::CREATED, answer()).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into(),
    }
}

#[handler]
async fn bare(Json(order): Json<Order>) -> Response {
    if order.items.is_empty() {
        return StatusCode::UNPROCESSABLE_ENTITY.into();
    }
    (StatusCode::CREATED, answer()).into_response()
}

fn answer() -> Json<Value> {
    Json(json!({ "id": Uuid::now_v7(), "status": "created" }))
}
