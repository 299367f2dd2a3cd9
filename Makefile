# make setup   a virtual environment in .venv with sgtool and what its tests need
# make demo    train on 1,797 handwritten digits and draw new ones (minutes)
# make test    the whole test suite; warnings are errors
# make check   what has to hold before a change goes in: format, lint, tests (docs included)
# make bench   how fast things are on this machine
# make gpu-check   what needs a GPU: tests, compute-sanitizer, benchmarks; installs nothing (PYTHON has to have what is needed)
# make clean   remove demo/, builds and caches; .venv stays
#
# Needs python3 (3.10 or newer) and make. PYTHON names another interpreter: make setup PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# The demo: everything that decides how it comes out. What is narrow here (latents, G's learning rate beside D's) keeps the digits of a
# class different from one another; see docs/recipes/small-data.md.
DEMO_RESOLUTION := 8
DEMO_OPTIONS := --cfg tiny --cond 1 --kimg 100 --aug noaug --gamma 1 --glr 0.0012 --dlr 0.003 --z-dim 16 --w-dim 16 \
    --mbstd-group 32 --pl-weight 0 --style-mixing-prob 0
DEMO_SEEDS := 0-9
DEMO_WALK := 0@0,1@1,2@2,3@3,4@4,5@5,6@6,7@7,8@8,9@9

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench gpu-check clean

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(INSTALLED)

# torch-fidelity's Inception, which the tests compare ours with. Its package asks for torchvision, which the module does not need, and has a
# folder called tests, which would hide ours: so it lies apart, without either.
ORACLE := $(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv/outside torch-fidelity==0.4.0 \
    && rm -rf .venv/outside/tests \
    && $(BIN)/python -c "import pathlib, sysconfig; \
        pathlib.Path(sysconfig.get_path('purelib'), 'outside.pth').write_text(str(pathlib.Path('.venv/outside').resolve()) + chr(10))"

# torch goes first and alone, by its exact version: a build that is at hand (a local CPU wheel) is then taken as it is.
$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "sgtool needs Python 3.10 or newer; name one: make setup PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv; the first time this takes a few minutes."
	$(BIN)/python -m pip install -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test,tensorboard]"
	@$(ORACLE)
	@touch $@

demo/digits.zip: Makefile | $(INSTALLED)
	@mkdir -p demo
	$(BIN)/sgtool prepare demo:digits $@ --resolution $(DEMO_RESOLUTION) --force

# --resume auto goes on with the run if it was stopped, says so if it is complete, and starts a new one if the options changed.
demo: demo/digits.zip
	$(BIN)/sgtool train --outdir demo/runs --data demo/digits.zip $(DEMO_OPTIONS) --resume auto
	@set -e; run=$$(ls -d demo/runs/[0-9]*/ | tail -n 1); \
	$(BIN)/sgtool generate --network "$$run" --class 0-9 --seeds $(DEMO_SEEDS) --outdir demo/pictures --enlarge 8 --gap 16; \
	$(BIN)/sgtool video --network "$$run" --seeds $(DEMO_WALK) --seconds 10 --fps 20 --enlarge 16 --output demo/pictures/walk.webp; \
	echo; \
	echo "The generated digits, a row for each class:  $(CURDIR)/demo/pictures/grid.png"; \
	echo "A walk from digit to digit, for a browser:   $(CURDIR)/demo/pictures/walk.webp"; \
	echo "Real digits to compare with:                 $(CURDIR)/$${run}reals.png"

# On all cores, each file of tests in one process: what it makes for its tests is made once.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile

test: $(INSTALLED)
	$(PYTEST)

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(PYTEST)

bench: $(INSTALLED)
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/ops.py
	$(BIN)/python benchmarks/generate.py
	$(BIN)/python benchmarks/train_step.py --profile
	$(BIN)/python benchmarks/train_step.py --aug 0.5 --cycles 2 --compared 1

# Under nine minutes, from a copy of the checkout alone; the summary goes to $OUT, or to benchmarks/results/gpu.
gpu-check:
	PYTHONPATH=. $(PYTHON) benchmarks/gpu_check.py

clean:
	rm -rf demo build dist .pytest_cache .ruff_cache .hypothesis
	find sgtool tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
