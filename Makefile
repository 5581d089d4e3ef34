# Everything a fresh machine needs (Debian, Python 3.11, gcc): `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := $(patsubst benchmarks/peers/%.txt,.venv-peers/%/.installed,$(wildcard benchmarks/peers/*.txt))

EXPORTS := tests/backends/onnxruntime/exports

.PHONY: demo test test-slow lint format bench peers train train-recovery exports clean help

help:
	@echo "make demo       create the environment, quantize a real model, show the result"
	@echo "make test       create the environment, run the tests (make test-slow: the full-size ones)"
	@echo "make lint       ruff and mypy"
	@echo "make bench      speed and memory, beside other quantizers and calibrators"
	@echo "make peers      install those quantizers, each in an environment of its own (2 GB)"
	@echo "make train      train the demo's network again (PyTorch, about 20 minutes on 2 cores)"
	@echo "make train-recovery  train the networks that INT8 harms again (PyTorch, 40 minutes)"
	@echo "make exports    export the networks of the tests again by torch, tf2onnx and MXNet"

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[onnx,openvino,pytorch,dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/octavo doctor
	$(BIN)/octavo quantize examples/digits/scenes.onnx --output demo-int8 \
		--calibration digits:300 --evaluation digits:2000 --metric top1 --threads 1
	$(BIN)/octavo benchmark demo-int8 --baseline examples/digits/scenes.onnx --threads 1 --seconds 10

test: $(VENV)/.installed
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow --override-ini timeout=3600

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.run

# Peers live in environments of their own; models cross as files.
peers: $(PEERS)

.venv-peers/%/.installed: benchmarks/peers/%.txt
	$(PYTHON) -m venv .venv-peers/$*
	.venv-peers/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.venv-train/.installed: examples/digits/requirements.txt
	$(PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install --quiet --disable-pip-version-check \
		-r examples/digits/requirements.txt --editable .
	touch $@

train: .venv-train/.installed
	.venv-train/bin/python examples/digits/train.py

train-recovery: .venv-train/.installed
	for network in depthwise transformer se_hardswish lstm segmentation not_faster; do \
		.venv-train/bin/python -m benchmarks.models.train $$network || exit 1; done

# Each exporter has an environment of its own: they need different versions of numpy and onnx.
.venv-exports/%/.installed: $(EXPORTS)/%.txt
	$(PYTHON) -m venv .venv-exports/$*
	.venv-exports/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	if test $* = mxnet; then .venv-exports/mxnet/bin/python -m pip install --quiet \
		--disable-pip-version-check --no-deps mxnet==1.9.1; fi
	touch $@

exports: $(patsubst %,.venv-exports/%/.installed,torch tf2onnx mxnet)
	for exporter in torch tf2onnx mxnet; do \
		.venv-exports/$$exporter/bin/python $(EXPORTS)/make_$$exporter.py || exit 1; done

clean:
	rm -rf $(VENV) .venv-peers .venv-train .venv-exports demo-int8 build *.egg-info
