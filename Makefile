# The short names of what is done here often. CI is .ci/run; nothing decides here.

# How long `soak` fuzzes each function, and how often it tries each property.
FUZZTIME ?= 30s
CHECKS ?= 2000

.PHONY: build test ci lint generate soak bench growth help

help: ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/: .*##/\t/'

build: ## bin/consent
	go build -trimpath -o bin/consent ./cmd/consent

test: ## the tests of the README
	go test ./...

ci: ## everything that decides whether work lands
	bash .ci/run

lint: ## format, vet, staticcheck, generated code, buf, tidy modules
	bash .ci/run lint

generate: ## proto/gen anew, with the pinned generators
	bash .ci/run generate

soak: ## the race detector and all of the damage table, each property CHECKS times, each fuzz function for FUZZTIME
	CONSENT_SOAK=1 go test -race -timeout 90m ./...
	RAPID_CHECKS=$(CHECKS) go test -timeout 60m ./...
	@set -e; for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "== $$p $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p; \
		done; \
	done

bench: ## Go benchmarks, then the program's own: trust ratios within one run only
	go test -run '^$$' -bench . -benchtime 1s ./...
	go build -trimpath -o bin/consent ./cmd/consent
	bin/consent bench append --against jetstream
	bin/consent bench append --callers 1 --known 1000 --against jetstream
	bin/consent bench import
	bin/consent bench check
	bin/consent bench scrub --against redis,postgres,sort
	bin/consent bench rebuild
	bin/consent bench tree
	bin/consent bench registry

growth: ## checks and scrubs as the national list grows, drawn: test/bench/growth.svg
	go build -trimpath -o bin/consent ./cmd/consent
	bin/consent bench growth --data test/bench/growth.csv --plot test/bench/growth.svg
