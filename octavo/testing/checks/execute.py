"""Running: `open`, `profile`, `audit`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from octavo.arrays import Array, Batch
from octavo.backends.base import Audit
from octavo.errors import DataError
from octavo.model import Model
from octavo.plan import Plan
from octavo.testing.case import Case, close, flat
from octavo.testing.simulation import sqnr


class ExecuteContract:
    """Sessions check what they are given; profile and audit tell what the runtime really did."""

    def test_any_number_of_threads_gives_the_same_outputs(self, case: Case) -> None:
        """One thread and two compute the same."""
        for model in (case.model, case.built):
            one, two = (_on(case, model, threads) for threads in (1, 2))
            assert _same(case, model, two, one)

    def test_outputs_do_not_depend_on_batches(self, case: Case) -> None:
        """A sample's output does not depend on the samples beside it, in float and in INT8."""
        for model in (case.model, case.built):
            session = case.backend.open(model, case.target)
            parts = [session.run(batch) for batch in case.batches(3)]
            joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            assert _same(case, model, flat(joined), case.output(model))

    def test_session_runs_again_with_the_same_result(self, case: Case) -> None:
        """A session keeps nothing of a batch."""
        session = case.backend.open(case.built, case.target)
        first = flat(session.run(case.batch))
        session.run(case.batches(3)[0])
        assert np.array_equal(flat(session.run(case.batch)), first)

    def test_session_refuses_what_does_not_fit(self, case: Case) -> None:
        """Missing and unknown inputs, wrong dtypes and wrong shapes are errors, never guesses."""
        for model in (case.model, case.built):
            session = case.backend.open(model, case.target)
            for what, batch in _unfit(case.batch).items():
                with pytest.raises(DataError):
                    session.run(batch)
                    pytest.fail(f"{what} was accepted")

    def test_profile_times_every_group_that_computes(self, case: Case) -> None:
        """Every group that computes has a time, in seconds, and every kernel known groups."""
        times = case.backend.profile(case.model, case.built, case.batch, case.target)
        seconds = dict.fromkeys(case.graph.group_by_id, 0.0)
        for kernel in times:
            assert kernel.kernel and kernel.seconds >= 0
            for name in kernel.groups:
                seconds[name] += kernel.seconds
        for group in case.groups:
            assert group.role != "compute" or seconds[group.id] > 0, f"{group.id!r} has no time"
        assert sum(kernel.seconds for kernel in times) < 10

    def test_audit_tells_of_every_group_once(self, case: Case) -> None:
        """The audit lists the groups in the graph's order, with what was requested of each."""
        audits = _audit(case, case.plan, case.built)
        assert [audit.group for audit in audits] == [group.id for group in case.graph.groups]
        for audit in audits:
            assert audit.requested == case.plan.format(audit.group)

    def test_audit_gives_a_reason_where_it_differs(self, case: Case) -> None:
        """There is a reason if and only if something else was executed than requested."""
        for model in (case.built, case.build(Plan())):
            for audit in _audit(case, case.plan, model):
                differs = audit.executed != audit.requested.compute
                assert (audit.reason is not None) == differs, f"{audit}"

    def test_audit_finds_the_whole_plan_in_int8(self, case: Case) -> None:
        """Every group that computes runs in INT8 when the plan says so, and names its kernels."""
        for audit in _audit(case, case.plan, case.built):
            if case.graph.group_by_id[audit.group].role == "compute":
                assert audit.executed == "int8", f"{audit.group!r}: {audit.reason}"
                assert audit.kernels, f"{audit.group!r} ran as no kernel"

    def test_audit_reads_the_model_and_not_the_plan(self, case: Case) -> None:
        """A float model audited with a quantized plan is float, and the other way round."""
        for audit in _audit(case, case.plan, case.build(Plan())):
            assert audit.executed == "fp32", f"{audit.group!r} did not run in {audit.executed}"
        found = {audit.group: audit for audit in _audit(case, Plan(), case.built)}
        for group in case.groups:
            if group.role == "compute":
                assert found[group.id].executed == "int8", f"{group.id!r} did run in INT8"


def _same(case: Case, model: Model, values: Array, expected: Array) -> bool:
    """Return whether outputs are equal; in a built one, float rounding may tip a value or two."""
    return close(values, expected) or (model is case.built and sqnr(values, expected) > 50)


def _on(case: Case, model: Model, threads: int) -> Array:
    target = replace(case.target, threads=threads)
    return flat(case.backend.open(model, target).run(case.batch))


def _audit(case: Case, plan: Plan, built: Model) -> list[Audit]:
    return list(case.backend.audit(case.model, plan, built, case.batch, case.target))


def _unfit(batch: Batch) -> dict[str, Batch]:
    """Return batches that no session may accept, by what is wrong with them."""
    name, array = next(iter(batch.items()))
    return {
        "an input less": {other: value for other, value in batch.items() if other != name},
        "an unknown input": {**batch, "no-such-input": array},
        "another name": {f"{key}_": value for key, value in batch.items()},
        "another dtype": {**batch, name: array.astype(np.float64)},
        "an axis less": {**batch, name: array[..., 0]},
        "another size": {**batch, name: array[..., :-1]},
    }
