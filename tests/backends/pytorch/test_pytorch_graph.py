"""Groups, refusals and formats of captured programs."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_case import BACKEND, NO_VNNI, Case, Function, images, rows, seeded

from octavo.backends.pytorch import Source


def groups(function, *inputs, **modules):
    case = Case(seeded(Function(function, **modules)), inputs)
    return [group.ops for group in case.graph.groups], case


def conv(**options):
    return nn.Conv2d(3, 3, 3, padding=1, **options)


def test_a_sum_joins_the_convolution_that_it_alone_reads():
    found, _ = groups(lambda self, x: torch.relu(x + self.conv(x)), images(), conv=conv())
    assert found == [("conv", "add", "relu")]


def test_a_sum_of_two_convolutions_joins_the_later_one():
    found, _ = groups(lambda self, x: self.a(x) + self.b(x), images(), a=conv(), b=conv())
    assert found == [("a",), ("b", "add")]


def test_groups_read_what_earlier_groups_make():
    def forward(self, x):
        y = self.a(x)
        return y + functional.max_pool2d(x, 3, 1, 1)

    found, case = groups(forward, images(), a=conv())
    assert found == [("a",), ("max_pool2d",), ("add",)]
    known = set(case.graph.inputs)
    for group in case.graph.groups:
        assert set(group.inputs) <= known
        known |= set(group.outputs)


def test_a_sum_that_is_broadcast_stands_alone():
    def forward(self, x):
        return self.conv(x) + x.mean((2, 3), keepdim=True)

    found, _ = groups(forward, images(), conv=conv())
    assert ("conv",) in found and ("add",) in found


def test_nothing_joins_a_value_that_others_read_or_that_leaves_the_model():
    def forward(self, x):
        y = self.conv(x)
        return torch.relu(y), y

    found, _ = groups(forward, images(), conv=conv())
    assert found == [("conv",), ("relu",)]


@pytest.mark.parametrize("activation", [
    nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.SiLU(), nn.Hardtanh(-1, 2),
])  # fmt: skip
def test_activations_join_convolutions(activation):
    found, _ = groups(lambda self, x: self.act(self.conv(x)), images(), conv=conv(), act=activation)
    assert found == [("conv", "act")]


def test_a_bound_above_zero_does_not():
    found, _ = groups(
        lambda self, x: functional.hardtanh(self.conv(x), 1, 2), images(), conv=conv()
    )
    assert found == [("conv",), ("hardtanh",)]


def test_parts_of_a_split_read_the_whole():
    def forward(self, x):
        first, second = x.split(3, 1)
        return torch.cat([second, first], 1)

    _, case = groups(forward, rows())
    assert [op.inputs for op in case.graph.ops][:2] == [("x",), ("x",)]
    assert [op.kind for op in case.graph.ops] == ["move", "move", "concat"]
    assert len(case.graph.ties) == 1


@pytest.mark.parametrize(
    ("function", "inputs", "modules", "reason"),
    [
        (lambda self, x: functional.scaled_dot_product_attention(x, x, x), rows(), {},
         "no INT8 attention"),
        (lambda self, x: x @ x.transpose(1, 2), rows(), {}, "two activations"),
        (lambda self, x: self.m(x), rows(), {"m": nn.LayerNorm(16)}, "loses accuracy"),
        (lambda self, x: self.m(x.unsqueeze(1)), images(),
         {"m": nn.Conv3d(1, 2, (1, 3, 3))}, "one or two dimensions"),
        (lambda self, x: self.m(x), images(), {"m": nn.Conv2d(3, 3, 4, padding="same")},
         "padding is given by a word"),
        (lambda self, x: functional.conv2d(x, x[:3]), images(size=4), {}, "not constant"),
    ],
)  # fmt: skip
def test_what_has_no_integer_form_says_why(function, inputs, modules, reason):
    _, case = groups(function, inputs, **modules)
    (group,) = [group for group in case.graph.groups if group.macs or group.kind == "normalize"]
    assert group.role == "float"
    assert reason in str(group.refusal)


def test_multiply_adds_of_attention_and_convolutions():
    _, case = groups(
        lambda self, x: functional.scaled_dot_product_attention(x, x, x), rows(1, 5, 8)
    )
    assert case.graph.macs == 2 * 5 * 5 * 8
    _, case = groups(lambda self, x: self.c(x), rows(1, 4, 9), c=nn.Conv1d(4, 6, 3, groups=2))
    assert case.graph.macs == 6 * 7 * 2 * 3


def test_weights_have_seven_bits_where_eight_saturate():
    case = Case(seeded(nn.Linear(16, 4)), (rows(),), target=NO_VNNI)
    (group,) = case.graph.groups
    assert {chosen.weight.bits for chosen in group.formats} == {7}


def test_shapes_are_those_of_the_target():
    model = BACKEND.load(Source(seeded(nn.Linear(16, 4)), (rows(2, 6),)))
    (spec,) = model.inputs
    target = NO_VNNI.__class__(cpu=NO_VNNI.cpu, shapes={spec.name: (5, 6, 16)})
    graph = BACKEND.graph(model, target)
    assert graph.tensors[spec.name].shape == (5, 6, 16)
    assert graph.macs == 5 * 6 * 16 * 4
