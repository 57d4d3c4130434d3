# make demo | test | crash | soak | fuzz | official | bench | bench-store | pictures | lint: each does its own set-up on a machine with Python, gcc and make.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := pyproject.toml setup.py simvue/_batch.pyx simvue/_batch.pxd simvue/_columns.pyx benches/_floor.pyx

.PHONY: demo test crash soak fuzz official bench bench-store pictures lint build clean

build: .venv/built

.venv/built: $(SOURCES)
	@$(PYTHON) -m venv --help >/dev/null || tests/system.sh python3-venv
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[server,dataframe]'
	touch $@

.venv/tested: .venv/built
	$(BIN)/python -m pip install --quiet --group test
	touch $@

.venv/engines: .venv/built
	$(BIN)/python -m pip install --quiet --group engines
	touch $@

demo: build $(if $(findstring --store,$(ARGS))$(findstring --blobs,$(ARGS)),.venv/engines)
	$(BIN)/simvue demo $(ARGS)

# Those that kill at full speed, start many ranks or compare speeds want the machine for themselves.
ALONE := tests/crash tests/mpi tests/functional/test_benches_small.py

test: build .venv/tested
	@tests/system.sh chromium node-typescript openmpi-bin mpich
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --benchmark-disable $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest $(ALONE)
endif

crash: build .venv/tested
	SIMVUE_TEST_KILLS=200 $(BIN)/python -m pytest -s --timeout 3600 tests/crash $(ARGS)

# Engines and nodes killed by the hundred, then at random under load: ARGS="--minutes 60"; and a
# series of 10^9 points, which takes 15 GB for a while.
soak: build .venv/tested
	SIMVUE_TEST_KILLS=100 $(BIN)/python -m pytest -s --timeout 3600 tests/crash/test_fold.py tests/crash/test_engine_faults.py
	$(BIN)/python tests/soak/soak.py $(ARGS)
	@if [ $$(df --output=avail "$${TMPDIR:-/tmp}" | tail -n 1) -ge 15000000 ]; then set -x; $(BIN)/python -m benches.bench_store 10; \
	else echo "less than 15 GB are free in $${TMPDIR:-/tmp}: 10^9 points are left out"; fi

# Ten minutes on each decoder and on all operations of the server.
fuzz: build .venv/tested
	SIMVUE_TEST_FUZZ_S=600 $(BIN)/python -m pytest tests/fuzz $(ARGS)

official: build .venv/tested
	$(BIN)/python tests/official/suite.py $(ARGS)

bench: build .venv/tested
	@tests/system.sh chromium
	$(BIN)/python -m benches $(ARGS)

pictures: build .venv/tested
	@tests/system.sh chromium
	$(BIN)/python tests/browser/pictures.py $(ARGS)

# Both engines, real ones, through HTTP: about half an hour, and 10 GB of disk.
bench-store: build .venv/tested
	$(BIN)/python -m benches --store $(ARGS)

lint: build .venv/tested
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-official build simvue/*.so simvue/*.c benches/*.so benches/*.c simvue.egg-info
