.DEFAULT_GOAL := help
.PHONY: help dev test ci bench fmt generated services down reset compose clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

dev: ## everything on this machine, in the foreground: http://127.0.0.1:8080
	@scripts/dev

test: ## all tests, with servers of their own; ARGS="--test http" for some
	@scripts/prerequisites
	@scripts/test $(ARGS)

ci: ## all that guards main
	@scripts/ci

bench: ## beside its peers, on servers of its own; QUICK=1 for a look in minutes, ONLY=append,relay for some
	@scripts/bench

fmt: ## formats the code
	cargo fmt

generated: ## writes the files that are generated from the code
	cargo run --locked --quiet -- openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml
	@[ ! -f asyncapi.yaml ] || { cargo run --locked --quiet -- asyncapi > asyncapi.yaml.new && mv asyncapi.yaml.new asyncapi.yaml; }

services: ## starts Postgres and Kafka alone; their addresses are in .dev/env
	@scripts/services up

down: ## stops them
	@scripts/services down

reset: ## stops them and deletes their data
	@scripts/services destroy

compose: .env ## all parts in containers, with API keys
	docker compose up -d --build --wait

.env:
	@umask 077 && printf 'POSTGRES_PASSWORD=%s\n' "$$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')" > $@

clean: ## deletes what was built
	cargo clean
