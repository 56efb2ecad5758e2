# Needs python3 (3.11 or newer), make and a C compiler; everything else comes into .venv.
PY := .venv/bin/python
export UV_NO_PROGRESS := 1
# a company's own authorities are in the system's store
export UV_SYSTEM_CERTS := 1

.PHONY: setup run test check lint types layers fmt bench docs golden lock clients agents dist sbom soak rolling deploy-check

setup: .venv/.synced

.venv/.synced: requirements/dev.txt pyproject.toml
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip sync --quiet --require-hashes --only-binary :all: --python $(PY) requirements/dev.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	$(PY) examples/01-quickstart/run.py

test: setup
	$(PY) -m pytest -q -n auto

check: lint types layers test

lint: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

types: setup
	.venv/bin/pyright --warnings

layers: setup
	.venv/bin/lint-imports

fmt: setup
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

clients: setup
	$(PY) tests/clients/install.py

agents: clients
	$(PY) tests/clients/install.py agents
	$(PY) -m pytest -q tests/clients/agents/agents.py tests/clients/mcp/agents.py tests/agents/real/clients.py

bench: setup
	$(PY) benchmarks/relay.py

rolling: setup
	$(PY) tests/deploy/rolling.py

deploy-check: setup
	$(PY) tests/deploy/check.py

soak: setup
	$(PY) -m benchmarks.soak

dist: setup
	$(PY) -m release.dist

sbom: setup
	$(PY) -m release.licences
	$(PY) -m release.sbom

golden: setup
	$(PY) tests/golden/write.py

docs: setup
	$(PY) -m nexus.config.reference > docs/reference/configuration.md
	$(PY) tests/fidelity.py > docs/fidelity.md
	$(PY) tests/signals.py > docs/reference/metrics.md
	$(PY) tests/reference.py
	test -x build/docs/bin/python || .venv/bin/uv venv --quiet --python $(PY) build/docs
	.venv/bin/uv pip sync --quiet --require-hashes --only-binary :all: --python build/docs requirements/docs.txt
	build/docs/bin/zensical build --clean --strict --config-file mkdocs.yml

lock: setup
	.venv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --python-version 3.11 --all-extras --group dev pyproject.toml -o requirements/dev.txt
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --all-extras -c requirements/dev.txt pyproject.toml -o requirements/run.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --python-version 3.11 --group pyproject.toml:docs -o requirements/docs.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --python-version 3.11 release/sbom.in -o release/sbom.txt
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 -c requirements/dev.txt deploy/docker/build.in -o deploy/docker/build.txt
	.venv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --python-version 3.11 deploy/check.in -o deploy/check.txt
