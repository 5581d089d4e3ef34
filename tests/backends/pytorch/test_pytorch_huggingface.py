"""Hugging Face models, from tiny configurations: captured, quantized, saved and read back."""

import numpy as np
import pytest
import torch
import vision_operators  # noqa: F401  # transformers imports torchvision
from torch_case import BACKEND, TARGET, Case

from octavo.testing.simulation import sqnr

transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "vocab_size": 100,
}  # fmt: skip
CONFIGS = {
    "Bert": SMALL,
    "Roberta": SMALL | {"pad_token_id": 1},
    "DistilBert": {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "vocab_size": 100},
    "GPT2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100},
}
NAMES = ("input_ids", "attention_mask")


def case_of(name, approach):
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**CONFIGS[name])
    model = getattr(transformers, f"{name}Model")(config).eval()
    tokens = torch.randint(3, 90, (4, 16), generator=torch.Generator().manual_seed(1))
    return Case(model, (tokens, torch.ones_like(tokens)), approach, names=NAMES)


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def case(request):
    return case_of(request.param, "static")


def test_the_first_output_is_that_of_the_model(case):
    given = dict(zip(NAMES, case.inputs, strict=True))
    with torch.no_grad():
        expected = case.module(**given)[0].numpy()
    assert [spec.name for spec in case.model.inputs] == list(NAMES)
    assert np.allclose(case.output(case.model), expected.ravel(), atol=1e-5)


def test_any_number_of_samples_runs(case):
    whole = case.output(case.built)
    part = BACKEND.open(case.built, TARGET).run({n: a[:1] for n, a in case.batch.items()})
    (values,) = part.values()
    assert sqnr(values.ravel(), whole[: values.size]) > 40


@pytest.mark.parametrize("approach", ["static", "dynamic"])
def test_linear_layers_run_in_int8_and_come_back(case, approach, tmp_path):
    other = Case(case.module, case.inputs, approach, names=NAMES)
    audits = BACKEND.audit(other.model, other.plan, other.built, other.batch, TARGET)
    executed = {audit.group: audit.executed for audit in audits}
    ops = {op.name: op for op in other.graph.ops}
    linear = [group for group in other.graph.groups if ops[group.id].linear]
    integer = sum(group.macs for group in linear if executed[group.id] != "fp32")
    assert integer / sum(group.macs for group in linear) >= 0.8

    BACKEND.save(other.built, tmp_path)
    assert np.array_equal(other.output(BACKEND.restore(tmp_path)), other.output(other.built))
    assert sqnr(other.output(other.built), other.output(other.model)) > 20
