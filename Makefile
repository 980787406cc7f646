# Needs git, make and Go. What else a target takes it finds, installs with apt and Maven where it runs as root, or names with the
# command to type.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
STATICCHECK   = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT       = mvdan.cc/gofumpt@v0.12.0

# Built by all cores; run one package after the other, as two cores carry the servers of no more.
TEST = go build -race ./... && go test -race -ldflags=-w -p 1 -timeout 30m $(TESTFLAGS)

.DEFAULT_GOAL := help
.PHONY: help build test test-nightly servers check demo bench lint fmt schema clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the program, static, as ./haystream
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o haystream .

test: check servers ## every test, on real servers that it fetches and starts
	$(TEST) ./...

test-nightly: export HAYSTREAM_TEST_VERSIONS = all
test-nightly: check servers ## the same, on every server version that is supported
	$(TEST) ./...

servers: ## fetch the servers that the tests start
	go run ./internal/servers/fetch

check:
	go vet ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted, type: make fmt"; echo "$$unformatted"; exit 1; }

demo: ## a live demo on real servers, DB=postgres, mysql or mariadb; CHECK=1: for some seconds, compare and exit
	go run ./internal/demo $(if $(DB),-db $(DB)) $(if $(CHECK),-check)

bench: ## one table of throughput ratios, all taken in one run; BENCHFLAGS="-db mysql stream": those only
	go run ./internal/bench $(BENCHFLAGS)

lint: ## golangci-lint, staticcheck and gofumpt, at pinned versions
	go run $(GOLANGCI_LINT) run ./...
	go run $(STATICCHECK) ./...
	@unformatted=$$(go run $(GOFUMPT) -l .) && test -z "$$unformatted" || { echo "not formatted, type: make fmt"; echo "$$unformatted"; exit 1; }

fmt: ## format the source
	go run $(GOFUMPT) -w .

schema: ## write docs/haystream.schema.json from the config's Go types
	go build -o dist/schema ./internal/schema
	dist/schema >docs/haystream.schema.json

clean: ## remove what was built
	rm -rf haystream dist
