# Everything from a fresh Debian machine on: `make train`, `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
# The release that is tested; the package takes others too (setup.cfg).
TORCH ?= torch==2.13.0
ARGS ?=
INPUTS ?= 1000000
BENCH ?= env_throughput replay gradient training_loop

RUN_PACKAGES := fceux lua-socket lua-dkjson
TEST_PACKAGES := lua5.1 lua-busted lua-check xvfb xauth openbox xdotool
BIN := $(VENV)/bin

.PHONY: help install install-dev rom real-rom train doctor test test-slow soak lint format docs bench \
	conformance fuzz clean

help:
	@echo "make train [ARGS=...]  install what is missing, then train.py --algo dueling_dqn ARGS"
	@echo "make doctor            install what is missing, then check that a run can start"
	@echo "make test  [ARGS=...]  install what is missing, then the tests (pytest ARGS, busted)"
	@echo "make test-slow         the tests that take minutes"
	@echo "make soak  [ARGS=...]  1,000,000 frames with faults, nothing wrong and flat memory"
	@echo "make lint              ruff, mypy, luacheck"
	@echo "make format            ruff's formatter"
	@echo "make docs              the API pages, from the docstrings: build/api/index.html"
	@echo "make bench [BENCH=...] the benchmarks, an hour for all: $(BENCH)"
	@echo "make rom               build Foxtrot, the free game; needs cc65"
	@echo "make conformance       Autobahn|Testsuite against the Lua server; needs a Python 2.7;"
	@echo "          [WRITE=1]    with WRITE=1 its table goes to tests/conformance/results.md"
	@echo "make fuzz              $(INPUTS) generated inputs for each parser, Lua's and Python's"
	@echo "make real-rom          the real game, from the package gym-super-mario-bros"
	@echo "make install           FCEUX, a virtual environment in $(VENV), this package"
	@echo "make clean             remove what make and the tests wrote, but $(VENV) and logs/"

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

train: install
	$(BIN)/python train.py --algo dueling_dqn $(ARGS)

doctor: install
	$(BIN)/python -m sb3_mario.doctor $(ARGS)

test: install-dev
	$(BIN)/python -m pytest $(ARGS)
	busted

test-slow: install-dev real-rom
	$(BIN)/python -m pytest -m slow $(ARGS)

soak: install-dev real-rom
	$(BIN)/python -m tests.faults.soak $(ARGS)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	luacheck --quiet lua_bridge tests

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install-dev
	$(BIN)/python tools/api_pages.py build/api

bench: install real-rom $(VENV)-peer/.installed
	for name in $(BENCH); do $(BIN)/python -m benchmarks.$$name $(ARGS) || exit 1; done

rom:
	$(MAKE) -C homebrew

conformance: install-dev $(VENV)-autobahn/.installed
	$(BIN)/python -m tests.conformance.run --python2 "$$(./tools/find-python2)" \
		--suite $(VENV)-autobahn $(if $(WRITE),--write tests/conformance/results.md) $(ARGS)

fuzz: install-dev $(VENV)/.installed-fuzz
	lua5.1 lua_bridge/spec/fuzz/run.lua $(INPUTS)
	$(BIN)/python -m tests.fuzz.run --inputs $(INPUTS)

real-rom: $(VENV)/.real-rom

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf homebrew/build soak.csv fuzz-*
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

# What stands behind the names above. Each stamp is written when its step is done.

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/pip
	./tools/apt-install $(RUN_PACKAGES)
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	./tools/apt-install $(TEST_PACKAGES)
	@./tools/apt-install cc65 || echo "cc65 could not be installed: the tests run all the same," \
	  "the one that rebuilds Foxtrot skips itself, and 'make rom' cannot run" >&2
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

$(VENV)/.installed-fuzz: $(VENV)/.installed
	$(BIN)/pip install --quiet atheris
	touch $@

$(VENV)/.real-rom: | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --no-deps gym-super-mario-bros==7.4.0
	touch $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || ./tools/apt-install python3-venv
	$(PYTHON) -m venv $(VENV)

# The peer of the benchmarks needs an older NumPy than this package.
$(VENV)-peer/.installed:
	$(PYTHON) -m venv $(VENV)-peer
	$(VENV)-peer/bin/pip install --quiet "$(TORCH)"
	$(VENV)-peer/bin/pip install --quiet "numpy<2" "opencv-python<4.12" "gym<0.27" \
		gym-super-mario-bros==7.4.0 "stable-baselines3>=2.7,<3"
	touch $@

# Every version it needs is pinned by itself, or was the last one for Python 2.7.
$(VENV)-autobahn/.installed:
	rm -rf $(VENV)-autobahn
	python2=$$(./tools/find-python2) && $$python2 -W ignore -m pip install --quiet \
		--disable-pip-version-check --target $(VENV)-autobahn autobahntestsuite==25.10.1
	touch $@
