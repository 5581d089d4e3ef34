"""Built programs: each group in the kernel that computes it, equal to the float oracle."""

import pytest
import torch
from torch import nn
from torch_case import BACKEND, TARGET, Case, Function, ResNet, images, rows, seeded

from octavo.errors import ModelError
from octavo.plan import Plan
from octavo.testing.simulation import sqnr

EXACT = 55  # dB; float rounding may tip a value by one step here and there


def case_of(function, *inputs, approach="static", **modules):
    return Case(seeded(Function(function, **modules)), inputs, approach)


@pytest.mark.parametrize("activation", [
    nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.SiLU(), nn.Hardtanh(-0.5, 2),
], ids=lambda one: type(one).__name__)  # fmt: skip
def test_one_kernel_computes_a_convolution_and_its_activation(activation):
    case = case_of(
        lambda self, x: self.b(self.act(self.a(x))), images(),
        a=nn.Conv2d(3, 8, 3, padding=1), act=activation, b=nn.Conv2d(8, 4, 1),
    )  # fmt: skip
    assert case.kernels("a") == ("onednn::qconv_pointwise",)
    assert case.exactness > EXACT


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.GELU(), nn.GELU("tanh")], ids=str)
def test_one_kernel_computes_a_product_and_its_activation(activation):
    case = case_of(
        lambda self, x: self.b(self.act(self.a(x))), rows(),
        a=nn.Linear(16, 32), act=activation, b=nn.Linear(32, 8),
    )  # fmt: skip
    assert case.kernels("a") == ("onednn::qlinear_pointwise",)
    assert case.exactness > EXACT


@pytest.mark.parametrize("options", [
    {"stride": 2}, {"padding": (0, 2), "dilation": 2}, {"groups": 4}, {"groups": 8, "padding": 1},
    {"bias": False}, {"padding": "same", "dilation": 2}, {"padding": "valid"},
], ids=str)  # fmt: skip
def test_convolutions_of_all_geometries(options):
    case = Case(seeded(nn.Conv2d(8, 8, 3, **options)), (images(channels=8),))
    assert case.kernels(case.graph.groups[0].id) == ("onednn::qconv_pointwise",)
    assert case.exactness > EXACT


def test_convolutions_of_one_dimension():
    case = Case(seeded(nn.Conv1d(6, 8, 3, stride=2, padding=1)), (rows(),))
    assert case.kernels(case.graph.groups[0].id) == ("onednn::qconv_pointwise",)
    assert case.exactness > EXACT


def test_a_product_of_rows_finds_its_range_while_it_runs():
    case = Case(seeded(nn.Linear(16, 8)), (rows(),), "dynamic")
    assert case.exactness > EXACT
    (audit,) = BACKEND.audit(case.model, case.plan, case.built, case.batch, TARGET)
    assert (audit.executed, audit.reason) == ("int8_dynamic", None)


@pytest.mark.parametrize("options", [
    {"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 2, "ceil_mode": True},
    {"kernel_size": (3, 2), "stride": (1, 2), "dilation": (2, 1)},
], ids=str)  # fmt: skip
def test_maxima_are_taken_of_integers(options):
    case = case_of(
        lambda self, x: self.b(self.pool(self.a(x))), images(size=15),
        a=nn.Conv2d(3, 8, 3), pool=nn.MaxPool2d(**options), b=nn.Conv2d(8, 4, 1),
    )  # fmt: skip
    assert case.kernels("pool") == ("quantized::max_pool2d",)
    assert case.exactness > EXACT


def test_parts_of_integers_and_views_of_them():
    def forward(self, x):
        first, second = self.a(x).chunk(2, 1)
        return self.b(torch.cat([second, first], 1).view(4, 8, -1).permute(0, 2, 1))

    case = case_of(forward, images(), a=nn.Conv2d(3, 8, 3), b=nn.Linear(8, 4))
    moved = [group.id for group in case.graph.groups if group.kind in ("move", "concat")]
    audits = BACKEND.audit(case.model, case.plan, case.built, case.batch, TARGET)
    assert {audit.executed for audit in audits if audit.group in moved} == {"int8"}
    assert case.exactness > EXACT


@pytest.fixture(scope="module")
def resnet():
    return Case(seeded(ResNet(blocks=3)), (images(),))


def test_residual_sums_are_computed_by_convolutions(resnet):
    assert "onednn::qconv2d_pointwise" in resnet.kernels("blocks_0_conv2")
    assert resnet.exactness > EXACT
    assert sqnr(resnet.output(resnet.built), resnet.output(resnet.model)) > 25


def test_a_summand_that_nothing_reads_later_is_not_copied(resnet):
    copied = [g for g in ("blocks_0_conv2", "blocks_1_conv2", "blocks_2_conv2")
              if "aten::clone" in resnet.kernels(g)]  # fmt: skip
    assert copied == ["blocks_0_conv2"]  # its summand is made by a pool


def test_a_summand_that_is_read_later_keeps_its_values():
    def forward(self, x):
        y = self.a(x)
        z = self.b(y) + y
        return self.c(z) + self.d(y)

    layers = {name: nn.Conv2d(8, 8, 3, padding=1) for name in "bcd"}
    case = case_of(forward, images(), a=nn.Conv2d(3, 8, 1), **layers)
    assert case.exactness > EXACT


def test_a_summand_is_the_input_of_its_convolution():
    layers = {name: nn.Conv2d(8, 8, 3, padding=1) for name in "bc"}
    case = case_of(
        lambda self, x: self.c((y := self.a(x)) + self.b(y)), images(),
        a=nn.Conv2d(3, 8, 1), **layers,
    )  # fmt: skip
    assert case.exactness > EXACT


def test_a_session_keeps_nothing_of_a_summand(resnet):
    session = BACKEND.open(resnet.built, TARGET)
    first = session.run(resnet.batch)["fc"]
    assert (session.run(resnet.batch)["fc"] == first).all()


def test_no_float_weight_is_carried_along(resnet):
    constants = resnet.built.native.program.constants
    floats = {name for name, value in constants.items() if value.dtype == torch.float32}
    assert all(name.endswith(("bias", "scale")) for name in floats)
    assert any(value.dtype == torch.int8 for value in constants.values())


def test_a_mixed_plan_is_near_its_oracle(resnet):
    formats = dict(resnet.plan.formats)
    for name in ("blocks_0_conv2", "blocks_2_conv1", "stem_2"):
        formats.pop(name)
    plan = Plan(formats)
    built = BACKEND.build(resnet.model, plan, resnet.ranges, TARGET)
    oracle = BACKEND.reference(resnet.model, plan, resnet.ranges, TARGET)
    assert sqnr(resnet.output(built), resnet.output(oracle)) > EXACT
    audits = BACKEND.audit(resnet.model, plan, built, resnet.batch, TARGET)
    executed = {audit.group: audit.executed for audit in audits}
    assert (executed["blocks_0_conv2"], executed["blocks_0_conv1"]) == ("fp32", "int8")


def test_a_built_model_is_no_float_model(resnet):
    for made in (resnet.built, resnet.reference):
        with pytest.raises(ModelError, match="quantized already"):
            BACKEND.graph(made, TARGET)
