//! What the program says about itself: its log on stderr, and its spans by OTLP where somebody takes them.

use std::io::IsTerminal;

use annals::config::LogOutput;
use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Name of this crate's spans' targets, and of the service they are of.
const SERVICE: &str = "annals";

/// Sends what is left when it is dropped.
pub(crate) struct Telemetry {
    spans: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Begins; called before there is a runtime, since the sender of spans blocks a thread of its own.
    pub(crate) fn start(output: &LogOutput) -> anyhow::Result<Self> {
        let spans = output.otlp_endpoint.as_deref().map(provider).transpose()?;
        if let Some(provider) = &spans {
            opentelemetry::global::set_tracer_provider(provider.clone());
        }
        let layer = spans.as_ref().map(|provider| {
            let own = Targets::new().with_target(SERVICE, LevelFilter::INFO);
            tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE)).with_filter(own)
        });
        tracing_subscriber::registry().with(log(output)).with(layer).init();
        Ok(Self { spans })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.spans.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// stdout is for results.
fn log(output: &LogOutput) -> Box<dyn Layer<Registry> + Send + Sync> {
    // The configuration has checked it.
    let filter = EnvFilter::new(&output.filter);
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if output.json {
        log.json().with_filter(filter).boxed()
    } else {
        log.with_target(false).with_filter(filter).boxed()
    }
}

/// Gathers spans and sends them in batches; what a collector does not take in time is dropped, and a warning tells.
fn provider(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let traces = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder().with_http().with_endpoint(traces).build();
    let exporter = exporter.context("spans cannot be sent to `otlp_endpoint`")?;
    let resource = Resource::builder().with_service_name(SERVICE).build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}
