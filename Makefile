# Glow-SVC: everything a newcomer needs, each command doing its own set-up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATASET ?=
SONG ?=
KEY ?=
SPEAKER ?=
QUICK ?=
VOICE ?=
REFERENCE ?=
SEED ?= 0
KINDS ?=
TORCH_INDEX ?=

.DEFAULT_GOAL := help
.PHONY: help install convert-only demo doctor cover test fuzz test-slow test-light test-browser lint format bench rehearse test-fairseq quality quality-seeds evaluate starter clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'
	@echo
	@echo "  make demo DATASET=<folder> SONG=<file> [KEY=<semitones>] [SPEAKER=<name>]   the same with your own recordings"

$(VENV)/.installed: requirements.txt requirements-onnx.txt tools/install.py
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] < (3, 14) else "Glow-SVC needs Python 3.10-3.13; name one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing PyTorch and the other packages (a few minutes, once) ..."
	$(BIN)/python tools/install.py $(if $(TORCH_INDEX),--torch_index "$(TORCH_INDEX)")
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@

install: $(VENV)/.installed  ## install what training and converting need

ONNX_VENV := .venv-onnx

$(ONNX_VENV)/.installed: requirements-onnx.txt
	$(PYTHON) -m venv $(ONNX_VENV)
	$(ONNX_VENV)/bin/python -m pip install --quiet -r requirements-onnx.txt
	@touch $@

convert-only: $(ONNX_VENV)/.installed  ## install only what converting with an exported voice needs: no PyTorch, 0.3 GB
	@echo "$(ONNX_VENV)/bin/python inference_main.py --onnx <folder that onnx_export.py wrote> -n <song> -s <speaker>"

demo: $(VENV)/.installed  ## from recordings to a converted song in at most 10 minutes
	@$(BIN)/python demo.py $(if $(DATASET),--dataset "$(DATASET)") $(if $(SONG),--song "$(SONG)") $(if $(KEY),--key "$(KEY)") $(if $(SPEAKER),--speaker "$(SPEAKER)")

$(VENV)/.installed-cover: requirements-cover.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -r requirements-cover.txt
	@touch $@

cover: $(VENV)/.installed-cover  ## a whole song in another voice: SONG=<file> and VOICE=<model> or REFERENCE=<recording> [SPEAKER=<name>] [KEY=<semitones>]
	@$(BIN)/python cover.py "$(SONG)" $(if $(VOICE),-m "$(VOICE)") $(if $(REFERENCE),--reference "$(REFERENCE)") $(if $(SPEAKER),-s "$(SPEAKER)") $(if $(KEY),-t "$(KEY)") $(ARGS)

doctor: $(VENV)/.installed  ## what is installed and whether it works, as text for a report
	@$(BIN)/python doctor.py $(if $(QUICK),--quick)

test: $(VENV)/.installed-dev  ## lint, type check and the fast test suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/pytest -n auto --durations=10 -m "not slow and not browser"

fuzz: $(VENV)/.installed-dev  ## read 500 broken files of each kind; SEED=<first> KINDS="sound index"
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.support.fuzz_readers --first $(SEED) $(if $(KINDS),--kinds $(KINDS))

test-slow: $(VENV)/.installed-dev  ## what the fast suite leaves out: ten minutes of song, large exports
	$(BIN)/pytest -n auto -m "slow and not browser"

$(VENV)/.installed-browser: requirements-browser.txt $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet -r requirements-browser.txt
	@touch $@

test-browser: $(VENV)/.installed-browser  ## the page in Chromium (apt-get install chromium)
	$(BIN)/pytest -m browser tests/browser

test-light: $(VENV)/.installed-dev $(ONNX_VENV)/.installed  ## conversion from the environment of convert-only
	ONNX_PYTHON="$(abspath $(ONNX_VENV))/bin/python" $(BIN)/pytest tests/convert_only

lint: $(VENV)/.installed-dev  ## ruff and the type checker only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

format: $(VENV)/.installed-dev  ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed  ## measure speed and memory, and renew the tables of docs/benchmarks.md
	$(BIN)/python -m benchmarks --page docs/benchmarks.md

FAIRSEQ := .venv-fairseq
PYTHON311 ?= python3.11

$(FAIRSEQ)/.installed: requirements-fairseq.txt
	$(PYTHON311) -m venv $(FAIRSEQ)
	@echo "building fairseq (some minutes, once; needs a C++ compiler) ..."
	$(FAIRSEQ)/bin/python -m pip install --quiet -r requirements-fairseq.txt
	@touch $@

test-fairseq: $(VENV)/.installed-dev $(FAIRSEQ)/.installed  ## HuBERT against fairseq itself, in its own environment
	FAIRSEQ_PYTHON="$(abspath $(FAIRSEQ))/bin/python" $(BIN)/pytest tests/oracle

rehearse: $(VENV)/.installed  ## kill a training twenty times; train on two nodes
	$(BIN)/python -m benchmarks.drills.crash_resume
	$(BIN)/python -m benchmarks.drills.two_nodes

$(VENV)/.installed-quality: requirements-quality.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -r requirements-quality.txt
	@touch $@

quality: $(VENV)/.installed-quality  ## evaluate a result: RESULT=<file> TARGET=<folder> SOURCE=<file> [TEXT=<words>]
	@$(BIN)/python -m benchmarks.quality "$(RESULT)" --target "$(TARGET)" --source "$(SOURCE)" $(if $(TEXT),--text "$(TEXT)")

STARTER ?= starter
$(if $(word 2,$(STARTER)),$(error STARTER=$(STARTER): make needs the name of a folder without spaces))
INSTANT ?=
STYLES ?= $(STARTER)/package/voices
LJ ?=
VOICES ?=
MINUTES ?=

$(VENV)/.installed-starter: requirements-starter.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -r requirements-starter.txt
	@touch $@

# the voices of Kokoro, a folder of vectors
$(STYLES):
	mkdir -p "$(STARTER)"
	cd "$(STARTER)" && npm pack --silent kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz package/voices

# QUICK=1: a little of everything, to see that it runs; what it writes stays in $(STARTER)
starter: $(VENV)/.installed-starter $(STYLES)  ## train the starter kit again (docs/starter.md): TRANSCRIPTS=<file> LJ=<folder> SONG=<file>
	$(BIN)/python -m tools.starter.generate "$(STARTER)" $(if $(QUICK),--espeak_minutes 2 --flite_minutes 0.2)
	$(BIN)/python -m tools.starter.recordings "$(STARTER)" --transcripts "$(TRANSCRIPTS)" $(if $(QUICK),--most 20)
	$(BIN)/python -m tools.starter.kokoro "$(STARTER)" --styles "$(STYLES)" $(if $(VOICES),--voices $(VOICES)) $(if $(QUICK),--voices 8 --seconds 5)
	$(BIN)/python -m tools.starter.encoder.copies "$(STARTER)" $(if $(QUICK),--most 1)
	$(BIN)/python -m tools.starter.encoder.teacher "$(STARTER)" $(if $(QUICK),--most 1)
	$(BIN)/python -m tools.starter.encoder.train "$(STARTER)" $(if $(MINUTES),--minutes $(MINUTES)) $(if $(QUICK),--minutes 1)
	$(BIN)/python -m tools.starter.encoder.write "$(STARTER)" --output $(if $(QUICK),"$(STARTER)",pretrain/starter)/ppg-starter2.safetensors
	$(BIN)/python -m tools.starter.base "$(STARTER)" $(if $(MINUTES),--minutes $(MINUTES)) $(if $(QUICK),--minutes 1 --output "$(STARTER)/base.safetensors")
	$(if $(LJ),$(BIN)/python -m tools.starter.encoder.evaluate "$(STARTER)" --lj "$(LJ)" --song "$(SONG)")

# sentences in voices that no training hears, for the measurement of words
SAID := $(foreach language,en zh ja,$(STARTER)/said/$(language)/09.txt)

$(STARTER)/said/%/09.txt: | $(VENV)/.installed-starter $(STYLES)
	$(BIN)/python -m tools.starter.spoken "$(STARTER)/said/$*" --styles "$(STYLES)" --language $*

quality-seeds: $(VENV)/.installed-quality $(SAID)  ## three trainings and what they give (docs/quality.md): LJ=<folder> SONG=<file> [INSTANT=1]
	$(BIN)/python -m benchmarks.quality.seeds "$(STARTER)/seeds" --recordings "$(LJ)" --songs "$(SONG)" \
		--spoken $(foreach language,en zh ja,$(language)="$(STARTER)/said/$(language)") \
		$(if $(INSTANT),--instant) $(if $(QUICK),--steps 2 --seeds 2 --most 1)

evaluate: $(VENV)/.installed-quality  ## evaluate models, write a report: ARGS="-m <model> -n <song> -s <voice>"
	@$(BIN)/python evaluate.py $(ARGS)

clean:  ## remove what the demo and the tests left (not your data, not .venv)
	rm -rf demo .pytest_cache .mypy_cache .ruff_cache
