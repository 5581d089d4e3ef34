"""Building: `build` obeys the plan, group by group."""

from __future__ import annotations

import numpy as np
import pytest

from octavo.backends.base import Audit
from octavo.errors import ModelError
from octavo.graph import Graph, Group
from octavo.model import Model
from octavo.plan import FP32, Format, Plan, Range, Scheme
from octavo.testing.case import Case, Single, close
from octavo.testing.simulation import sqnr


class BuildContract:
    """What the plan quantizes is quantized, and nothing else."""

    def test_float_plan_changes_nothing(self, case: Case) -> None:
        """Groups that the plan does not name, or names as FP32, stay float."""
        every = Plan({group.id: FP32 for group in case.graph.groups})
        for plan in (Plan(), every):
            assert close(case.output(case.build(plan)), case.float_output)

    def test_quantized_group_changes_the_output(self, case: Case) -> None:
        """Quantizing one group disturbs the output, and only a little."""
        for single in case.singles:
            output = case.output(single.model)
            assert not close(output, case.float_output), f"{single}: the output is the float one"
            assert sqnr(output, case.float_output) > 10, f"{single}: the output is wrong"

    def test_quantized_output_takes_few_values(self, case: Case) -> None:
        """A quantized tensor has no more values than its scheme has integers."""
        for single in case.singles:
            for name, scheme in zip(single.group.outputs, single.format.outputs, strict=True):
                if scheme is not None:
                    values = np.unique(case.watch(single.model, [name])[name])
                    assert len(values) <= 2**scheme.bits, f"{single}: {len(values)} values"

    def test_other_groups_stay_float(self, case: Case) -> None:
        """What does not depend on the one quantized group keeps its values."""
        for single in case.singles:
            names = _independent(case.graph, single.group)
            for name, values in case.watch(single.model, names).items():
                assert close(values, case.floats[name]), f"{single}: {name!r} changed too"

    def test_audit_confirms_the_group_that_was_quantized(self, case: Case) -> None:
        """The one quantized group really runs in INT8, and no other that computes."""
        for single in case.singles:
            for found in _audits(case, single):
                if case.graph.group_by_id[found.group].role != "compute":
                    continue  # a runtime may move a quantizer across what only moves values
                wanted = "int8" if found.group == single.group.id else "fp32"
                assert found.executed == wanted, (
                    f"{single}: {found.group!r} ran in {found.executed}: {found.reason}"
                )

    def test_whole_plan_differs_from_float(self, case: Case) -> None:
        """The built model does not fall back to float in silence."""
        quality = sqnr(case.output(case.built), case.float_output)
        assert quality < 80, f"the built model computes in float ({quality:.0f} dB)"
        assert quality > 15, f"the built model is wrong ({quality:.0f} dB)"

    def test_other_ranges_give_another_model(self, case: Case) -> None:
        """No build is answered from a cache of other ranges, and equal ones give equal models."""
        before = case.output(case.built)
        narrow = {name: Range(r.low / 2, r.high / 2) for name, r in case.ranges.items()}
        assert not close(case.output(case.build(case.plan, narrow)), before)
        assert np.array_equal(case.output(case.build(case.plan)), before)

    def test_other_plan_gives_another_model(self, case: Case) -> None:
        """No build is answered from a cache of another plan."""
        outputs = [case.output(single.model) for single in case.singles[:1]]
        outputs += [case.output(case.built), case.output(case.build(Plan()))]
        assert len({output.tobytes() for output in outputs}) == len(outputs)

    def test_dynamic_groups_need_no_ranges(self, case: Case) -> None:
        """A dynamic group finds its ranges at run time, and the audit says so."""
        formats = _dynamic(case)
        if not formats:
            pytest.skip("no group of this network has a dynamic format")
        for group, chosen in formats:
            plan = Plan({group: chosen})
            built = case.build(plan, {})
            quality = sqnr(case.output(built), case.float_output)
            assert 20 < quality < 80, f"group {group!r}: {quality:.0f} dB to float"
            assert _executed(case, plan, built)[group] == "int8_dynamic"

    def test_missing_range_is_named(self, case: Case) -> None:
        """A range that the plan needs and nobody gave is an error that names the tensor."""
        name = next(n for n in _quantized(case) if case.graph.tensors[n].tie is None)
        ranges = {other: range for other, range in case.ranges.items() if other != name}
        with pytest.raises(ModelError, match=name):
            case.build(case.plan, ranges)

    def test_unknown_group_is_refused_with_the_nearest_name(self, case: Case) -> None:
        """A plan for a group that does not exist is an error that helps."""
        group, chosen = next(iter(case.plan.formats.items()))
        with pytest.raises(ModelError, match=f"did you mean '{group}'"):
            case.build(Plan({f"{group}_": chosen}))

    def test_format_that_a_group_lacks_is_refused(self, case: Case) -> None:
        """A format that is not in `Group.formats` is an error, for groups without any too."""
        for group in case.graph.groups:
            odd = Scheme(bits=3)
            entering, leaving = (odd,) * len(group.inputs), (odd,) * len(group.outputs)
            plan = Plan({group.id: Format("int8", odd, entering, leaving)})
            with pytest.raises(ModelError, match=group.id):
                case.build(plan)

    def test_every_format_of_a_group_can_be_built(self, case: Case) -> None:
        """What `Group.formats` lists can be built and runs."""
        for group in case.groups:
            for chosen in group.formats:
                built = case.build(Plan({group.id: chosen}))
                assert sqnr(case.output(built), case.float_output) > 10, f"{group.id!r}: {chosen}"


def _independent(graph: Graph, group: Group) -> list[str]:
    """Return the outputs of the groups that do not depend on `group`."""
    tainted = set(group.outputs)
    for other in graph.groups:
        if tainted & set(other.inputs):
            tainted |= set(other.outputs)
    return [name for other in graph.groups for name in other.outputs if name not in tainted]


def _audits(case: Case, single: Single) -> list[Audit]:
    found = case.backend.audit(case.model, single.plan, single.model, case.batch, case.target)
    return list(found)


def _executed(case: Case, plan: Plan, built: Model) -> dict[str, str]:
    found = case.backend.audit(case.model, plan, built, case.batch, case.target)
    return {audit.group: audit.executed for audit in found}


def _dynamic(case: Case) -> list[tuple[str, Format]]:
    return [
        (group.id, chosen)
        for group in case.groups
        for chosen in group.formats
        if chosen.compute == "int8_dynamic"
    ]


def _quantized(case: Case) -> list[str]:
    """Return the tensors that the whole plan quantizes."""
    chosen = [(case.graph.group_by_id[name], form) for name, form in case.plan.formats.items()]
    return [
        tensor
        for group, form in chosen
        for tensors, schemes in ((group.inputs, form.inputs), (group.outputs, form.outputs))
        for tensor, scheme in zip(tensors, schemes, strict=True)
        if scheme is not None
    ]
