"""Networks of torchvision at a small size: all convolutions in INT8, near their float oracle."""

import numpy as np
import pytest
import torch
import vision_operators  # noqa: F401  # it does not import without them
from torch_case import BACKEND, TARGET, Case, images, seeded

from octavo.testing.simulation import sqnr

models = pytest.importorskip("torchvision.models")

pytestmark = pytest.mark.slow
NETWORKS = ("resnet18", "mobilenet_v2", "resnext50_32x4d", "mobilenet_v3_small", "googlenet")


@pytest.fixture(scope="module", params=NETWORKS)
def case(request):
    torch.manual_seed(0)
    options = {"init_weights": True, "aux_logits": False} if request.param == "googlenet" else {}
    module = seeded(getattr(models, request.param)(weights=None, **options))
    return Case(module, (images(2, size=64),))


def test_it_computes_what_it_did(case):
    assert np.allclose(case.output(case.model), case.expected, rtol=1e-3, atol=1e-4)


def test_all_convolutions_run_in_int8(case):
    audits = BACKEND.audit(case.model, case.plan, case.built, case.batch, TARGET)
    kinds = {group.id: group.kind for group in case.graph.groups}
    executed = {a.group: a.executed for a in audits if kinds[a.group] == "conv"}
    assert set(executed.values()) == {"int8"}


def test_it_is_nearer_to_its_oracle_than_float_is(case):
    oracle = case.output(case.reference)
    gained = sqnr(case.output(case.built), oracle) - sqnr(case.output(case.model), oracle)
    assert gained > 6
