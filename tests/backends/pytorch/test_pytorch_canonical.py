"""Captured programs in canonical form: names, constants, folded BatchNorm, products."""

import numpy as np
import pytest
import torch
from torch import nn
from torch_case import BACKEND, Case, Function, ResNet, images, rows, seeded


def natives(case):
    return [op.native for op in case.graph.ops]


@pytest.fixture(scope="module")
def resnet():
    return Case(seeded(ResNet(blocks=1)), (images(2),))


def test_operators_have_the_names_of_their_modules(resnet):
    assert [op.name for op in resnet.graph.ops] == [
        "stem_0", "stem_1", "stem_2", "blocks_0_conv1", "blocks_0_relu", "blocks_0_conv2",
        "blocks_0_add", "blocks_0_relu_1", "pool", "flatten", "fc",
    ]  # fmt: skip


def test_weights_have_the_names_of_the_state_dict(resnet):
    assert set(resnet.model.native.program.constants) == {
        "stem.0.weight", "stem.0.bias", "fc.weight", "fc.bias",
        "blocks.0.conv1.weight", "blocks.0.conv1.bias",
        "blocks.0.conv2.weight", "blocks.0.conv2.bias",
    }  # fmt: skip


def test_a_convolution_used_twice_gets_constants_for_each_norm():
    shared = Function(
        lambda self, x: self.b(self.conv(self.a(self.conv(x)))),
        conv=nn.Conv2d(3, 3, 3, padding=1), a=nn.BatchNorm2d(3), b=nn.BatchNorm2d(3),
    )  # fmt: skip
    case = Case(seeded(shared), (images(2),))

    assert natives(case) == ["conv2d", "conv2d"]
    assert len({op.weights for op in case.graph.ops}) == 2
    assert np.allclose(case.output(case.model), case.expected, atol=1e-5)


def test_convolutions_that_share_a_bias_get_one_each():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
            self.b.bias = self.a.bias
            self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x):
            return self.norm(self.a(x)) + self.other(self.b(x))

    case = Case(seeded(Shared()), (images(2),))
    assert len({op.weights[1] for op in case.graph.ops if op.kind == "conv"}) == 2
    assert np.allclose(case.output(case.model), case.expected, atol=1e-5)


def test_a_convolution_that_is_the_model():
    case = Case(
        seeded(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))), (images(2),)
    )
    assert case.graph.ops[0].weights == ("0.weight", "0.bias")
    assert np.allclose(case.output(case.model), case.expected, atol=1e-5)


def test_a_norm_whose_convolution_has_another_reader_stays():
    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y

    module = Function(forward, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4))
    case = Case(seeded(module), (images(2),))

    assert "batch_norm" in " ".join(natives(case))
    assert np.allclose(case.output(case.model), case.expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "forward"),
    [
        ("matmul", lambda self, x: x @ self.w),
        ("transposed", lambda self, x: x @ self.v.t()),
        ("mm", lambda self, x: torch.mm(x[:, 0], self.w)),
        ("addmm", lambda self, x: torch.addmm(self.b, x[:, 0], self.w)),
    ],
)
def test_products_with_constant_matrices_are_linear(name, forward):
    torch.manual_seed(0)
    module = Function(forward)
    for label, shape in (("w", (16, 8)), ("v", (8, 16)), ("b", (8,))):
        module.register_parameter(label, nn.Parameter(torch.randn(shape)))
    case = Case(module, (rows(2),))

    (op,) = [op for op in case.graph.ops if op.macs]
    assert (op.native, case.graph.group_by_id[op.name].role) == ("linear", "compute")
    (weight, *_) = BACKEND.weights(case.model, op.weights).values()
    assert weight.shape == (8, 16)
    assert np.allclose(case.output(case.model), case.expected, atol=1e-5)


def test_a_matrix_that_is_also_read_as_it_is_keeps_its_form():
    def forward(self, x):
        return x @ self.w + self.w.sum()

    module = Function(forward)
    module.register_parameter("w", nn.Parameter(torch.randn(16, 16)))
    case = Case(module, (rows(2),))
    assert np.allclose(case.output(case.model), case.expected, atol=1e-4)


def test_dropout_is_gone_and_constants_are_computed_once():
    def forward(self, x):
        return self.drop(x) * (self.scale * 2 + 1)

    module = Function(forward, drop=nn.Dropout())
    module.register_buffer("scale", torch.ones(16))
    case = Case(module.eval(), (rows(2),))

    assert natives(case) == ["mul"]
    assert np.allclose(case.output(case.model), case.expected)
