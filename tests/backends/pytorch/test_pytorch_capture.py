"""Modules become programs that compute the same, for any number of samples where they can."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_case import BACKEND, TARGET, Case, Function, ResNet, images, rows, seeded

from octavo.backends.pytorch import Source
from octavo.errors import DataError, ModelError


def run(model, *arrays):
    names = [spec.name for spec in model.inputs]
    values = BACKEND.open(model, TARGET).run(dict(zip(names, arrays, strict=True)))
    return list(values.values())


@pytest.fixture(scope="module")
def resnet():
    return Case(seeded(ResNet()), (images(1),))


def test_a_module_computes_what_it_did(resnet):
    assert np.allclose(resnet.output(resnet.model), resnet.expected, atol=1e-5)


def test_an_example_of_one_sample_leaves_their_number_free(resnet):
    (spec,) = resnet.model.inputs
    assert (spec.name, spec.shape) == ("image", ("batch", 3, 16, 16))
    batch = images(5)
    with torch.no_grad():
        expected = resnet.module(batch).numpy()
    assert np.allclose(run(resnet.model, batch.numpy())[0], expected, atol=1e-5)


def test_a_number_of_samples_that_the_module_fixes_stays_fixed():
    fixed = Function(lambda self, x: x.reshape(1, 3 * 16 * 16) * 2)
    model = BACKEND.load(Source(fixed, (images(1),)))

    assert model.inputs[0].shape == (1, 3, 16, 16)
    with pytest.raises(DataError, match=r"expected x: float32\[1, 3, 16, 16\]"):
        run(model, images(2).numpy())


def test_a_module_is_captured_in_evaluation_and_left_in_training():
    module = seeded(ResNet()).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = BACKEND.load(Source(module, (images(2),)))

    assert module.training and module.blocks[0].bn1.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    with torch.no_grad():
        expected = module.eval()(images(2)).numpy()
    assert np.allclose(run(model, images(2).numpy())[0], expected, atol=1e-5)


def test_inputs_by_name_and_in_containers():
    class Named(nn.Module):
        def forward(self, pair, *, scale):
            return pair[0] * scale + pair[1]["b"]

    x, y, scale = images(2), images(2) + 1, torch.full((2, 1, 1, 1), 3.0)
    model = BACKEND.load(Source(Named(), ((x, {"b": y}),), {"scale": scale}))

    assert len(model.inputs) == 3
    found = run(model, x.numpy(), y.numpy(), scale.numpy())[0]
    assert np.allclose(found, (x * 3 + y).numpy())


def test_free_dimensions_can_be_given():
    shapes = ({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO},)
    layer = seeded(nn.Linear(16, 4))
    model = BACKEND.load(Source(layer, (rows(2, 3),), dynamic_shapes=shapes))

    assert model.inputs[0].shape == ("batch", "size1", 16)
    with torch.no_grad():
        expected = layer(rows(4, 7)).numpy()
    assert np.allclose(run(model, rows(4, 7).numpy())[0], expected, atol=1e-6)


def test_what_is_written_in_place_is_computed_right():
    def forward(self, x):
        doubled = x * 2
        part = doubled[:, 1:]
        part.add_(1)
        positive = torch.relu(doubled)
        positive.mul_(3)
        return positive + doubled

    case = Case(Function(forward), (images(2),))
    baseline = BACKEND.baselines(case.model, TARGET)["default"]
    for model in (case.model, baseline):
        assert np.allclose(case.output(model), case.expected, atol=1e-6)


def test_an_activation_in_place_does_not_reach_earlier_readers():
    def forward(self, x):
        y = x + 1
        before = y * 10
        return before + torch.relu_(y)

    case = Case(Function(forward), (images(2),))
    assert np.allclose(case.output(case.model), case.expected, atol=1e-5)


def test_what_dropout_returns_is_written_in_place():
    def forward(self, x):
        y = x + 1
        z = torch.relu_(self.drop(y))
        return y * 10 + z

    case = Case(Function(forward, drop=nn.Dropout()).eval(), (images(2),))
    assert np.allclose(case.output(case.model), case.expected, atol=1e-5)


def test_code_that_depends_on_values_is_refused_with_the_reason():
    class Branching(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(ModelError, match=r"torch\.export cannot capture Branching: "):
        BACKEND.load(Source(Branching(), (images(2),)))


def test_a_model_that_keeps_state_is_refused():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count += 1
            return x + self.count

    with pytest.raises(ModelError, match="changes its own buffers"):
        BACKEND.load(Source(Counting(), (images(2),)))


def test_a_module_alone_does_not_tell_what_it_reads():
    with pytest.raises(ModelError, match=r"expected octavo.backends.pytorch.Source\(module"):
        BACKEND.load(nn.Linear(2, 2))


def test_an_exported_program_is_loaded_and_not_changed():
    exported = torch.export.export(seeded(ResNet()), (images(2),))
    before = str(exported.graph)
    model = BACKEND.load(exported)

    assert str(exported.graph) == before
    assert model.inputs[0].shape == (2, 3, 16, 16)


def test_the_baseline_is_the_module_as_it_was_captured(resnet):
    baseline = BACKEND.baselines(resnet.model, TARGET)["default"]
    names = " ".join(str(node.target) for node in baseline.native.program.graph.nodes)
    assert "batch_norm" in names and "relu_" in names and "add_" in names
    assert np.allclose(resnet.output(baseline), resnet.expected, atol=1e-6)
