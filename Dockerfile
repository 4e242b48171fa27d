# syntax=docker/dockerfile:1
ARG RUST_VERSION=1.95

# The full image of Rust has what librdkafka's build needs: a C compiler, make, and OpenSSL's and zlib's headers.
FROM rust:${RUST_VERSION}-bookworm AS build
WORKDIR /src
COPY . .
# Downloads and dependencies stay in caches of the builder; the program is copied out because the cache is not part of
# the layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin annals \
 && install target/release/annals /usr/local/bin/annals

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /usr/local/bin/annals /usr/local/bin/annals
WORKDIR /srv/annals
COPY projections projections
# A number, so that a platform which refuses root can see that it is not root.
USER 10001:10001
# Health and metrics on a port of their own, so that a container without the API is watched in the same way.
ENV ANNALS_LISTEN=0.0.0.0:8080 ANNALS_METRICS_LISTEN=0.0.0.0:9464
EXPOSE 8080 9464
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /health/live HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["annals"]
CMD ["serve"]
