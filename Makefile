# llmos for developers; users need `make demo` only.   make help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# CPU=1 takes torch's CPU build from PyTorch's own index: 200 MB instead of gigabytes of CUDA.
TORCH := torch==2.13.0 $(if $(CPU),--index-url https://download.pytorch.org/whl/cpu)
IMAGE := build/llmos.binpb

.PHONY: help install dev demo test acceptance systemd harness lint protos baseline bench wheel deb clean
help: ## this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/server.ok ## the daemon and the client, in .venv
dev: $(VENV)/dev.ok ## and what tests need

$(VENV)/server.ok: pyproject.toml
	@echo "[install] $(VENV): a few minutes the first time"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llmos needs Python 3.11 or newer; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[server]'
	@touch $@

$(VENV)/dev.ok: $(VENV)/server.ok
	@echo "[install] test tools"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[server,dev]'
	@touch $@

demo: install ## a model, a daemon, an answer, in one go; later runs need no network
	@$(BIN)/python scripts/demo.py

test: dev lint ## everything that must hold: about twenty minutes, no accelerator
	@$(BIN)/python -m pytest -n 2 --dist loadfile

acceptance: dev ## the long runs: 1,000 hostile messages of each kind, 1,000 idle connections, 100,000 calls, 200 schemas, 50 calls, 1,000 mixed requests, 50 promotions under 32 streams, SmolLM2 exported, 200 ratings learned, 1,000 streams of an LSTM, a VAE of captions, SeqGAN at its paper's size, 1 GB of rows, classifiers of 15,000 rated texts, translations and summaries, published tables of BLEU and ROUGE, BLiMP by lm-evaluation-harness
	@LLMOS_FUZZ=1000 $(BIN)/python -m pytest tests/e2e/test_wire.py
	@LLMOS_STRUCTURED=200 $(BIN)/python -m pytest tests/e2e/test_structured.py
	@LLMOS_DATASET_GB=1 $(BIN)/python -m pytest -rP tests/server/jobs/data/test_ingest.py -k memory
	@LLMOS_CONNECTIONS=1000 LLMOS_CALLS=100000 $(BIN)/python -m pytest -rP tests/e2e/test_footprint.py
	@LLMOS_STREAMS=1000 $(BIN)/python -m pytest -rP tests/e2e/test_recurrent.py
	@LLMOS_SENTIMENT=1 $(BIN)/python -m pytest -rP tests/e2e/test_sentiment.py
	@LLMOS_VAE_STEPS=1000 $(BIN)/python -m pytest -rP tests/server/objectives/test_vae.py -k annealing
	@LLMOS_DEBIAN=1 $(BIN)/python -m pytest -rP tests/e2e/test_debian.py
	@LLMOS_TABLES=1 $(BIN)/python -m pytest -rP tests/e2e/test_published_tables.py
	@LLMOS_PROMOTIONS=50 $(BIN)/python -m pytest -rP tests/e2e/test_promote.py -k streams
	@LLMOS_EXPORT=1 $(BIN)/python -m pytest -rP tests/e2e/test_export.py -k smollm2
	@LLMOS_LEARN=1 $(BIN)/python -m pytest -rP tests/e2e/test_learning.py
	@LLMOS_SEQGAN=1 $(BIN)/python -m pytest -rP tests/server/jobs/training/test_adversarial.py -k papers
	@LLMOS_MIXED=1000 $(BIN)/python -m pytest -rP tests/e2e/test_mixed.py
	@$(MAKE) -s harness systemd

systemd: ## the Debian package under a real systemd, where root, systemd-container and a sandbox are there
	@if command -v systemd-nspawn dpkg-deb >/dev/null && [ "$$(id -u)" = 0 ]; then $(MAKE) -s deb && \
	  LLMOS_DEB=$$(ls -t dist/*.deb | head -1) $(BIN)/python -m pytest -rP tests/systemd/test_real.py; \
	else echo "systemd: skipped, for want of root, dpkg-deb or systemd-container"; fi

harness: dev ## lm-evaluation-harness, through a daemon and by its own hf backend: the same figures; XQuAD before and after a training
	@test -d build/lm-eval || $(BIN)/python -m venv build/lm-eval
	@# Its 300 MB stay out of .venv, whose packages it sees.
	@$(BIN)/python -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' > build/dev.pth
	@cp build/dev.pth build/lm-eval/lib/python3*/site-packages/
	@build/lm-eval/bin/python -m pip install -q --disable-pip-version-check 'lm_eval>=0.4.13,<0.5'
	@LLMOS_BLIMP=$${LLMOS_BLIMP:-200} LLMOS_XQUAD=$${LLMOS_XQUAD:-120} build/lm-eval/bin/python -m pytest -rP tests/e2e/test_lm_eval.py

lint: dev ## ruff, mypy, buf
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check .
	@$(BIN)/mypy
	@mkdir -p build && $(BIN)/python protos/generate.py $(IMAGE)
	@$(BIN)/buf lint $(IMAGE) --config protos/buf.yaml
	@$(BIN)/buf breaking $(IMAGE) --against protos/llmos-v1.binpb.gz --config protos/buf.yaml
	@echo "lint ok"

protos: dev ## write the stubs anew
	@$(BIN)/python protos/generate.py

baseline: dev ## on a release: what later contracts may not break
	@mkdir -p build && $(BIN)/python protos/generate.py $(IMAGE)
	@gzip -9nc $(IMAGE) > protos/llmos-v1.binpb.gz

bench: dev ## against peers, side by side
	@LLMOS_TORCH_INDEX=$(if $(CPU),https://download.pytorch.org/whl/cpu) $(BIN)/python -m benchmarks

wheel: dev ## dist/*.whl
	@$(BIN)/python -m pip wheel -q --no-deps -w dist .

deb: wheel ## dist/*.deb, for Debian: the daemon with its environment, its units, its manual
	@$(BIN)/python packaging/deb.py $$(ls -t dist/*.whl | head -1) $(TORCH)

clean: ## all but the sources
	rm -rf $(VENV) build dist
