import numpy as np
import pytest
from networks import convnet

from octavo.backends.onnxruntime import OnnxRuntimeBackend
from octavo.measure import Statistics, tied_ranges
from octavo.plan import Plan
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.target import Target

BACKEND = OnnxRuntimeBackend()


@pytest.mark.parametrize("share", ["none", "half", "all"])
def test_the_kernels_of_a_plan_belong_to_its_groups(share):
    model = BACKEND.load(convnet(size=32, width=32))
    (spec,) = model.inputs
    shape = (1, *spec.shape[1:])
    target = Target(shapes={spec.name: shape})
    batch = {spec.name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    graph = BACKEND.graph(model, target)
    formats = list(initial_plan(graph).plan.formats.items())
    plan = Plan(dict({"none": [], "half": formats[::2], "all": formats}[share]))
    schemes = wanted_tensors(graph, [plan])
    statistics = Statistics(schemes)
    built = model
    if schemes:
        BACKEND.observe(model, [batch], statistics, target)
        ranges = tied_ranges(statistics, graph.planned(plan), plan.recipe, schemes)
        built = BACKEND.build(model, plan, ranges, target)
    kernels = BACKEND.profile(model, built, batch, target)
    computing = [one for one in kernels if "Conv" in one.kernel or "MatMul" in one.kernel
                 or "Gemm" in one.kernel]  # fmt: skip
    assert computing
    assert all(one.groups for one in computing)  # convolutions in blocks of channels too
    owners = {group for one in computing for group in one.groups}
    products = {g.id for g in graph.groups if g.role == "compute"}
    assert owners <= {group.id for group in graph.groups}
    assert products <= owners
    assert all(one.seconds >= 0 for one in kernels)
