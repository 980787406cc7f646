# Needs git, make and Go. What else a target takes it finds, installs with apt and Maven where it runs as root, or names with the
# command to type.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
STATICCHECK   = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT       = mvdan.cc/gofumpt@v0.12.0
GITLEAKS      = github.com/zricethezav/gitleaks/v8@v8.30.1

# Built by all cores; one package is run after the other, as two cores carry the servers of no more.
TEST = go build -race ./... && go test -race -ldflags=-w -p 1 -timeout $(TEST_TIMEOUT) $(TESTFLAGS)
TEST_TIMEOUT = 60m

.DEFAULT_GOAL := help
.PHONY: help build test test-nightly torture servers check demo screenshot bench lint audit fmt schema clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the program, static, as ./haystream
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o haystream .

test: check servers ## every test, on real servers that it fetches and starts
	$(TEST) ./...

test-nightly: export HAYSTREAM_TEST_VERSIONS = all
test-nightly: export HAYSTREAM_SEED = random
test-nightly: export HAYSTREAM_EVENTS = 1000000
test-nightly: export HAYSTREAM_VERIFY_ROWS = 1000000
test-nightly: export HAYSTREAM_OUTAGE = 10m
test-nightly: TEST_TIMEOUT = 6h
test-nightly: check servers ## the same, from seeds drawn anew, on every server version that is supported, with a million events, a million rows verified, and a sink away for ten minutes
	$(TEST) ./...

torture: servers ## random writes, faults and changes of schemas for SECONDS=600, on DB=postgres, mysql or mariadb; SEED=… makes the same choices again
	HAYSTREAM_TORTURE=$(or $(SECONDS),600) HAYSTREAM_TORTURE_DB=$(DB) HAYSTREAM_SEED=$(or $(SEED),random) go test -ldflags=-w -count=1 -v -timeout 24h -run 'TestTorture$$' ./internal/endtoend

servers: ## fetch the servers that the tests start
	go run ./internal/servers/fetch

check:
	go vet ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted, type: make fmt"; echo "$$unformatted"; exit 1; }

demo: ## a live demo on real servers, DB=postgres, mysql or mariadb; CHECK=1: for some seconds, compare and exit
	go run ./internal/demo $(if $(DB),-db $(DB)) $(if $(CHECK),-check)

screenshot: ## the picture of the page in docs/, of a daemon on real servers
	HAYSTREAM_SCREENSHOT=$(CURDIR)/docs/page.png go test -ldflags=-w -count=1 -run TestPageOfARunningDaemon ./internal/endtoend

bench: ## one table of throughput ratios, all taken in one run; BENCHFLAGS="-db mysql stream": those only
	go run ./internal/bench $(BENCHFLAGS)

lint: audit ## audit, then golangci-lint, staticcheck and gofumpt, at pinned versions
	go run $(GOLANGCI_LINT) run ./...
	go run $(STATICCHECK) ./...
	@unformatted=$$(go run $(GOFUMPT) -l .) && test -z "$$unformatted" || { echo "not formatted, type: make fmt"; echo "$$unformatted"; exit 1; }

# A minute on two cores: CI runs it. golangci-lint and staticcheck take several to be built alone.
audit: ## that modules are as published, that none has a known vulnerability which is reached, and that there is no secret in the files and their history
	go mod verify
	go run ./internal/vulns
	go run $(GITLEAKS) git --no-banner --redact .

fmt: ## format the source
	go run $(GOFUMPT) -w .

schema: ## write docs/haystream.schema.json from the config's Go types
	go build -o dist/schema ./internal/schema
	dist/schema >docs/haystream.schema.json

clean: ## remove what was built
	rm -rf haystream dist
