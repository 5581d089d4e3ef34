"""Building: the numbers of `build` and `reference` are those of the plan and the ranges."""

from __future__ import annotations

import numpy as np

from octavo.arrays import Array
from octavo.measure.quantization import quantization_of
from octavo.plan import Range
from octavo.testing.case import Case, Single
from octavo.testing.simulation import sqnr


class ArithmeticContract:
    """Scales, zero points, saturation and ties are what plan and ranges say."""

    def test_each_group_computes_with_the_scales_of_its_ranges(self, case: Case) -> None:
        """Each group alone makes the integers that its ranges and weights ask for, step by step."""
        for single in case.singles:
            expected = case.simulate(single.plan)
            for index, name in enumerate(single.group.outputs):
                values = case.watch(single.model, [name])[name]
                self._check_tensor(case, single, index, values, expected[name])

    def _check_tensor(
        self, case: Case, single: Single, index: int, values: Array, expected: Array
    ) -> None:
        name, scheme = single.group.outputs[index], single.format.outputs[index]
        if scheme is None:
            gained = sqnr(values, expected) - sqnr(case.floats[name], expected)
            assert gained > case.tolerances.margin, f"{single}: {name!r} is not as simulated"
            return
        scale = float(quantization_of(case.ranges[name], scheme).scale)
        steps = np.abs(values - expected) / scale
        worst, exact = float(steps.max()), float((steps < 0.1).mean())
        assert worst < case.tolerances.steps + 0.1, f"{single}: {name!r} is {worst:.1f} steps off"
        assert exact >= case.tolerances.exact, f"{single}: {1 - exact:.0%} of {name!r} differ"

    def test_whole_plan_computes_as_simulated(self, case: Case) -> None:
        """All groups together compute what quantize-dequantize computes."""
        _is_nearer(case, case.output(case.built), case.simulated_output(case.plan))

    def test_values_beyond_narrow_ranges_saturate(self, case: Case) -> None:
        """A value beyond its range becomes the end of the range; it never wraps around."""
        narrow = {name: Range(r.low / 2, r.high / 2) for name, r in case.ranges.items()}
        built = case.build(case.plan, narrow)
        _is_nearer(case, case.output(built), case.simulated_output(case.plan, narrow))

    def test_built_model_agrees_with_its_reference(self, case: Case) -> None:
        """The integers and the backend's own float oracle are two ways to one result."""
        oracle = case.output(case.reference(case.plan))
        _is_nearer(case, case.output(case.built), oracle)

    def test_reference_computes_as_simulated(self, case: Case) -> None:
        """The float oracle uses the scales of the ranges too."""
        oracle = case.output(case.reference(case.plan))
        _is_nearer(case, oracle, case.simulated_output(case.plan))

    def test_tied_tensors_share_one_scale(self, case: Case) -> None:
        """Every value of a tied tensor is a multiple of the scale of the tie's range."""
        for names in case.graph.ties.values():
            for name in names:
                group = case.graph.producer.get(name)
                chosen = case.plan.formats.get(group.id) if group else None
                scheme = chosen.outputs[group.outputs.index(name)] if group and chosen else None
                if scheme is not None:
                    scale = float(quantization_of(case.ranges[name], scheme).scale)
                    steps = case.watch(case.built, [name])[name] / scale
                    off = float(np.abs(steps - np.rint(steps)).max())
                    assert off < 0.01, f"{name!r} does not have the scale of its tie"


def _is_nearer(case: Case, values: Array, oracle: Array) -> None:
    """Check that values are much nearer to an oracle than the float model is."""
    found, float_model = sqnr(values, oracle), sqnr(case.float_output, oracle)
    assert found > float_model + case.tolerances.margin, (
        f"{found:.1f} dB to its oracle, while the float model has {float_model:.1f} dB"
    )
