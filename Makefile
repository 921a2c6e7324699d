# make            build bin/archy
# make test       all checks and all tests, those on a real node included (as root)
# make demo       watch a node come up, get broken and repair itself (as root)
# make help       the rest

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

VERSION ?= 0.1.0-dev
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)

# podman's bindings without the engine, without C libraries.
TAGS := remote,containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper
ifeq (,$(findstring -tags=,$(GOFLAGS)))
GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false -tags=$(TAGS))
endif
export GOFLAGS
export CGO_ENABLED ?= 0

LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.7.0

# Packages whose tests boot nodes. Those of PATIENT mostly wait, one node at a time: two of them run side by side.
PATIENT := doctor|heal|images|iso|update|verbs|watch|chaos|vm
NODE_PKGS = $$(go list ./... | grep '/test/' | grep -v -E '/test/node/($(PATIENT))$$')
PATIENT_PKGS = $$(go list ./... | grep -E '/test/node/($(PATIENT))$$')
UNIT_PKGS = $$(go list ./... | grep -v '/test/')
# With a C compiler the race detector runs RACE_PKGS, and make test does not run them twice.
QUICK_PKGS = $$(go list ./... | grep -v '/test/' | { if command -v gcc >/dev/null; then grep -vxF "$$(go list $(RACE_PKGS))"; else cat; fi; })
# Packages with goroutines of their own.
RACE_PKGS := ./internal/state ./internal/podman/... ./internal/systemd/... ./internal/reconcile ./internal/secrets ./internal/manifest ./internal/images ./internal/wallet ./internal/applog ./internal/update ./internal/watch

LOG := bin/log

.PHONY: build
build: ## build bin/archy
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/archy ./cmd/archy

.PHONY: test
test: UNIT_PKGS = $(QUICK_PKGS)
test: tools lint unit race node-test ## all checks and all tests
	@echo "== all passed"

# What the tests run beside Go, and the Debian package it comes in. The node's base brings its own.
TOOLS := gcc:gcc nginx:nginx-light debootstrap:debootstrap nsenter:util-linux bsdtar:libarchive-tools python3:python3 lintian:lintian promtool:prometheus \
	qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils

.PHONY: tools
tools: ## install what the tests need beside Go (as root, from Debian's packages)
	@missing=; for t in $(TOOLS); do \
		PATH="$$PATH:/usr/sbin" command -v "$${t%%:*}" >/dev/null || missing="$$missing $${t#*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "!! not installed:$$missing; what needs them will be skipped" >&2; exit 0; fi; \
	echo "== installing$$missing"; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null

.PHONY: lint
lint: fmt tidy vet staticcheck apps-lint ## gofmt, go mod tidy, go vet, staticcheck, the shipped manifests

.PHONY: fmt
fmt:
	@echo "== gofmt"
	@bad="$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)"; \
	if [ -n "$$bad" ]; then echo "not gofmt: $$bad" >&2; exit 1; fi

.PHONY: tidy
tidy:
	@echo "== go mod tidy"
	@go mod tidy -diff

.PHONY: vet
vet:
	@echo "== go vet"
	@go vet ./...
	@go vet -tags=$(TAGS),failpoints ./internal/failpoint ./test/node/...

.PHONY: staticcheck
staticcheck:
	@echo "== staticcheck"
	@go run $(STATICCHECK) ./...
	@go run $(STATICCHECK) -tags=$(TAGS),failpoints ./internal/failpoint ./test/node/points ./test/node/update

.PHONY: apps-lint
apps-lint: build
	@echo "== archy apps lint --strict apps"
	@bin/archy apps lint --strict apps

# A run's output goes to a log; what a person has to know is printed: packages, failures, skips.
define gotest
	@mkdir -p $(LOG)
	@if ! go test -v -timeout 40m $(2) > $(LOG)/$(1).log 2>&1; then \
		grep -E -B30 '^ *--- FAIL' $(LOG)/$(1).log | grep -v -E '^ *--- PASS|^=== ' | tail -200 || true; \
		echo; echo "== what failed"; \
		grep -E -A12 '^panic: ' $(LOG)/$(1).log | grep -v -E '^$$|^goroutine' | head -40 || true; \
		awk -f test/what-failed.awk $(LOG)/$(1).log | cut -c1-600 | head -80 || true; \
		echo "FAILED, the whole output is in $(LOG)/$(1).log" >&2; exit 1; \
	fi
	@grep -E '^ok ' $(LOG)/$(1).log || true
	@skipped="$$(grep -E '^ *--- SKIP' $(LOG)/$(1).log || true)"; \
	if [ -n "$$skipped" ]; then \
		echo "!! SKIPPED, so not checked:" >&2; echo "$$skipped" >&2; \
		grep -E -A1 '_test.go:[0-9]+: .*(skip|needs|root)' $(LOG)/$(1).log | sort -u | head -5 >&2 || true; \
		if [ "$${CI:-}" = true ]; then exit 1; fi; \
	fi
endef

# These run inside the node, where node-test takes them (TestEngine).
IN_NODE := -skip '^TestReal(KeepsContract|MappedFiles|StartInScope|Inspect|ExecLimit|Pull|Detail|AppsStage)$$'

.PHONY: unit
unit: ## tests that need nothing but this machine
	@echo "== tests"
	$(call gotest,unit,$(IN_NODE) $(UNIT_PKGS))

.PHONY: race
race: ## the packages with goroutines, under the race detector (needs a C compiler)
	@echo "== tests with the race detector"
	@if ! command -v gcc >/dev/null; then \
		echo "!! SKIPPED, so not checked: the race detector needs gcc" >&2; if [ "$${CI:-}" = true ]; then exit 1; fi; \
	else $(MAKE) --no-print-directory race-run; fi

.PHONY: race-run
race-run: export CGO_ENABLED = 1
race-run:
	$(call gotest,race,-race $(IN_NODE) $(RACE_PKGS))

.PHONY: node-test
node-test: ## tests on a real Debian 13 node: systemd, rootless podman, a registry (as root)
	@echo "== tests on a real node"
	$(call gotest,node,-p 1 $(NODE_PKGS))
	$(call gotest,node-patient,-p 2 -parallel 1 $(PATIENT_PKGS))
	$(call gotest,node-points,$(POINTS_TESTS))

# archy broken off at its external calls, a few at random; these packages' other tests have run.
POINTS_TESTS = -tags=$(TAGS),failpoints -p 2 -run '^TestPoints$$' ./test/node/points ./test/node/update

.PHONY: points
points: tools ## break archy off at every external call, in every way (as root, hours; ARCHY_POINT=7-20 some of them)
	ARCHY_POINTS=all go test -count=1 -v -timeout 24h $(POINTS_TESTS)

.PHONY: demo
demo: build ## watch a node come up, get broken and repair itself (as root)
	go run ./test/node/cmd/demo

.PHONY: vm
vm: tools ## the node as a virtual machine: limits, kills for memory, writes that a power cut loses (as root, slow; ROUNDS=20)
	ARCHY_ROUNDS=$(or $(ROUNDS),4) go test -count=1 -v -timeout 6h ./test/node/vm

.PHONY: chaos
chaos: ## strike nodes with all apps in eight ways and take them through their life, 20 rounds each (as root, hours; CHAOS='-scenario 2 -rounds 3 -group ten')
	go build -trimpath -tags=$(TAGS),failpoints -ldflags '$(LDFLAGS)' -o bin/archy-failpoints ./cmd/archy
	go run ./test/node/cmd/chaos -archy bin/archy-failpoints $(CHAOS)

.PHONY: bench
bench: build ## speed and size against podman, bash and podman-compose, one table (as root; RESULTS=1 keeps it)
	go run ./bench/cmd/bench $(if $(RESULTS),-results bench/RESULTS.md)

.PHONY: bench-release
bench-release: build ## building and checking a release against tar and sha256sum, one table (RESULTS=1 keeps it)
	go run ./bench/cmd/release $(if $(RESULTS),-results bench/RELEASE.md)

.PHONY: bench-first-boot
bench-first-boot: ## the apps of a first boot against systemd alone and a loop of podman run (as root; RESULTS=1 keeps the table)
	go run ./bench/cmd/firstboot $(if $(RESULTS),-results bench/FIRSTBOOT.md)

# Debian sorts 0.1.0~dev before 0.1.0.
DEB_VERSION = $(subst -,~,$(VERSION))

.PHONY: deb
deb: build ## the Debian package, in bin (on a Debian, with dpkg-deb)
	sh dist/deb/build.sh bin/archy $(DEB_VERSION) bin/archy_$(DEB_VERSION)_$$(dpkg --print-architecture).deb

.PHONY: lintian
lintian: deb ## what Debian's checker says of the package (needs lintian)
	lintian --allow-root --fail-on=error,warning bin/archy_$(DEB_VERSION)_$$(dpkg --print-architecture).deb

.PHONY: env
env: ## print what a plain go command needs: eval "$(make -s env)"
	@echo "export CGO_ENABLED=0 GOFLAGS='$(GOFLAGS)'"

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist/release

.PHONY: help
help: ## this list
	@grep -h -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
