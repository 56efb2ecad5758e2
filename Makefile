# Needs python3 (3.11 or newer), make and a C compiler; everything else comes into .venv.
PY := .venv/bin/python
export UV_NO_PROGRESS := 1
# a company's own authorities are in the system's store
export UV_SYSTEM_CERTS := 1

.PHONY: setup run test check lint types layers fmt bench docs golden lock clients agents

setup: .venv/.synced

.venv/.synced: requirements/dev.txt pyproject.toml
	test -x $(PY) || python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip sync --quiet --require-hashes --python $(PY) requirements/dev.txt
	.venv/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	touch $@

run: setup
	$(PY) examples/quickstart/run.py

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
	$(PY) -m pytest -q tests/clients/agents/agents.py tests/agents/real/clients.py

bench: setup
	$(PY) benchmarks/relay.py

golden: setup
	$(PY) tests/golden/write.py

docs: setup
	$(PY) -m nexus.config.reference > docs/reference/configuration.md
	$(PY) tests/fidelity.py > docs/fidelity.md

lock: setup
	.venv/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --python-version 3.11 --all-extras --group dev pyproject.toml -o requirements/dev.txt
	.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 --all-extras -c requirements/dev.txt pyproject.toml -o requirements/run.txt
