# Rollcall. `make help` lists what there is to make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
BIN := bin
ROLLCALL := $(BIN)/rollcall
GO ?= go
GOLANGCI_VERSION := v2.15.0
TOOLS := $(shell cache=$${ROLLCALL_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/rollcall}; echo $$cache/tools)
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.revision=$(VERSION)
PARTS := $(GO) run ./scripts/parts
EXIT ?=
NAME ?=
SIZE ?= full

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: go ## Watch a fleet call home: EXIT=1 stops after the verdict, else it stays up.
	@$(PARTS) -check demo
	@$(PARTS) clickhouse geoip
	@$(MAKE) --no-print-directory build
	@$(ROLLCALL) demo $(if $(EXIT),--exit)

.PHONY: go
go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or newer, https://go.dev/dl" >&2; exit 1; }

.PHONY: test
test: parts ## Unit, property, golden, fuzz-seed and integration tests, with the race detector, against real Kafka and ClickHouse.
	@start=$$SECONDS; $(GO) vet -tags embedded ./... ; \
	  $(GO) test -race -tags embedded -timeout 4h ./... ; \
	  (cd scripts/image && $(GO) vet . && $(GO) test -race .) ; \
	  (cd scripts/chart && $(GO) vet . && $(GO) test .) ; \
	  echo "tests took $$((SECONDS - start)) s"

.PHONY: parts
parts: go ## Fetch the real parts that tests and proofs run (Kafka, ClickHouse, GeoIP, Avro peers) into the per-user cache.
	@start=$$SECONDS; $(PARTS) -check test; $(PARTS) clickhouse kafka geoip fastavro avro-java page-check chromium spdx-tools zookeeper helm kubeconform helm-docs; \
	  echo "parts took $$((SECONDS - start)) s"

.PHONY: plots
plots: ## Bundle the library that draws the report's plots again, from npm (needs Node).
	./scripts/plot/build.sh

.PHONY: build
build: ## Build bin/rollcall with the loader of the embedded ClickHouse.
	@mkdir -p $(BIN)
	$(GO) build -tags embedded -ldflags '$(LDFLAGS)' -o $(ROLLCALL) ./services/rollcall

.PHONY: build-static
build-static: ## Build bin/rollcall-static, for servers: no embedded engine, no dynamic linking.
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/rollcall-static ./services/rollcall

.PHONY: image
image: go ## Build the container image without an engine: OCI layout, archive and SPDX documents in bin/image.
	@GOFLAGS= GOTOOLCHAIN=go$$(awk '$$1 == "go" {print $$2}' scripts/image/go.mod) $(GO) run -C scripts/image . build -root ../.. -to ../../bin/image

.PHONY: race
race: build ## Build bin/rollcall-race with the race detector.
	$(GO) build -race -tags embedded -o $(BIN)/rollcall-race ./services/rollcall

.PHONY: lint
lint: $(GOLANGCI) ## Run golangci-lint, import direction included.
	$(GOLANGCI) run

$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION) into the per-user cache (some minutes, once)" >&2
	@mkdir -p $(TOOLS) && tmp=$$(mktemp -d $(TOOLS)/build.XXXXXX) && GOFLAGS= GOBIN=$$tmp $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION) && mv $$tmp/golangci-lint $@ && rmdir $$tmp

.PHONY: fmt
fmt: $(GOLANGCI) ## Format all Go files.
	$(GOLANGCI) fmt

.PHONY: generate
generate: ## Write the generated files again.
	$(GO) run ./scripts/dictionary
	$(GO) test ./schemas/... ./pkg/access ./pkg/staticpage ./services/rollcall -run 'Generated|Golden' -update
	$(GO) test -tags embedded ./scripts/datamap -run Generated -update
	$(GO) run ./scripts/scaling
	cd scripts/dashboards && npm ci --silent --ignore-scripts && node dashboards.mjs ../../deploy/telemetry/dashboards

.PHONY: check-generate
check-generate: ## Fail where a generated file is stale.
	$(GO) test ./schemas/... ./pkg/access ./pkg/staticpage ./services/rollcall -run 'Generated|Golden' -count 1
	$(GO) test -tags embedded ./scripts/datamap -run Generated -count 1
	$(GO) run ./scripts/scaling -check
	cd scripts/dashboards && npm ci --silent --ignore-scripts && node dashboards.mjs --check ../../deploy/telemetry/dashboards

.PHONY: helm
helm: helm-docs ## Lint the chart with every file of values in helm/rollcall/ci, and pack it into bin.
	@helm=$$($(PARTS) -print helm); mkdir -p $(BIN); \
	  for f in helm/rollcall/ci/*-values.yaml; do $$helm lint --strict --quiet helm/rollcall -f helm/rollcall/ci/minimal-values.yaml -f $$f; done; \
	  $$helm package helm/rollcall --destination $(BIN)

.PHONY: helm-docs
helm-docs: go ## Write the chart's README, and its copies of rules and dashboards, again.
	@rm -rf helm/rollcall/files/telemetry; mkdir -p helm/rollcall/files/telemetry/dashboards; \
	  cp deploy/telemetry/rules.yaml helm/rollcall/files/telemetry/; \
	  cp deploy/telemetry/dashboards/*.json helm/rollcall/files/telemetry/dashboards/
	@$$($(PARTS) -print helm-docs) --chart-search-root helm/rollcall --sort-values-order file --log-level error

.PHONY: prove
prove: ## Run one proof: NAME=kafka-exact, SIZE=full or small; without NAME, list them.
	@$(GO) run -tags embedded ./scripts/prove $(if $(NAME),-name $(NAME) -size $(SIZE),-list)

.PHONY: bench
bench: ## Run the Go benchmarks; for stages as processes see `make prove`.
	$(GO) test -tags embedded -run '^$$' -bench . -benchmem ./pkg/... ./services/... ./scripts/canary

.PHONY: fuzz
fuzz: ## Fuzz each decoder for FUZZTIME (30s) beyond its seeds.
	@./scripts/fuzz.sh $${FUZZTIME:-30s}
