"""The contract fails on backends that are wrong in one way each, by the test made for that way."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from octavo.arrays import Array, Batch
from octavo.backends.base import Audit, Bias, Change, Edit, Multiply, Observer
from octavo.backends.reference import ReferenceBackend, rewrite
from octavo.backends.reference.load import native
from octavo.graph import Graph, Op, Scaling
from octavo.model import Model
from octavo.plan import Plan, Range
from octavo.testing import NETWORKS, BackendContract, Network


class Contract(BackendContract):
    def __init__(self, backend: ReferenceBackend) -> None:
        self.tested = backend

    def backend(self) -> ReferenceBackend:
        return self.tested

    def source(self, network: Network, folder: Path) -> object:
        return network


def run_contract(
    backend: ReferenceBackend, networks: Iterable[str], folder: Path
) -> tuple[int, dict[str, BaseException]]:
    """Return how many tests ran to their end, and what each failing one raised."""
    contract, passed, failed = Contract(backend), 0, {}
    for name in networks:
        own = folder / name
        own.mkdir()
        case = contract.case_of(NETWORKS[name](), own)
        for test in (test for test in dir(contract) if test.startswith("test_")):
            try:
                getattr(contract, test)(case)
                passed += 1
            except pytest.skip.Exception:
                continue
            except (Exception, pytest.fail.Exception) as error:
                failed[test] = error
    return passed, failed


def scaled(ranges: Mapping[str, Range], factor: float) -> dict[str, Range]:
    return {name: Range(r.low * factor, r.high * factor) for name, r in ranges.items()}


class PlanIgnored(ReferenceBackend):
    """Quantizes everything as soon as the plan quantizes anything."""

    def build(self, model, plan, ranges, target):
        groups = self.graph(model, target).groups
        every = Plan({group.id: group.formats[0] for group in groups if group.formats})
        return super().build(model, every if plan.formats else plan, ranges, target)


class WrongScale(ReferenceBackend):
    """Takes every range a quarter too wide, in the oracle too."""

    def build(self, model, plan, ranges, target):
        return super().build(model, plan, scaled(ranges, 1.25), target)

    def reference(self, model, plan, ranges, target):
        return super().reference(model, plan, scaled(ranges, 1.25), target)


class WrongReference(ReferenceBackend):
    """Builds rightly and has an oracle of another scale."""

    def reference(self, model, plan, ranges, target):
        return super().reference(model, plan, scaled(ranges, 1.25), target)


class Forwarder:
    """An observer that changes what it hands on."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.tensors = observer.tensors

    def update(self, tensor: str, values: Array) -> None:
        self.observer.update(tensor, self.change(values))

    def change(self, values: Array) -> Array:
        raise NotImplementedError


class Centring(Forwarder):
    def change(self, values: Array) -> Array:
        return values - values.mean(axis=0) * np.float32(1e-2)


class Dropping(Forwarder):
    def change(self, values: Array) -> Array:
        return values[:4]


class BatchDependentStatistics(ReferenceBackend):
    """Shows values from which a little of the batch's mean was taken."""

    def observe(self, model, batches, observer, target):
        super().observe(model, batches, Centring(observer), target)


class SamplesLeftOut(ReferenceBackend):
    """Shows the first samples of large batches only."""

    def observe(self, model, batches, observer, target):
        super().observe(model, batches, Dropping(observer), target)


class LyingAudit(ReferenceBackend):
    """Reports what was asked for as what was executed."""

    def audit(self, model, plan, built, batch, target):
        groups = self.graph(model, target).groups
        chosen = [(group.id, plan.format(group.id)) for group in groups]
        return [
            Audit(name, form, form.compute, (f"{form.compute}_{name}",)) for name, form in chosen
        ]


class CacheWithoutRanges(ReferenceBackend):
    """Answers a build from a cache whose key has no ranges."""

    def __init__(self) -> None:
        self.cache: dict[str, Model] = {}

    def build(self, model, plan, ranges, target):
        key = self.graph(model, target).fingerprint + str(plan)
        if key not in self.cache:
            self.cache[key] = super().build(model, plan, ranges, target)
        return self.cache[key]


class CacheWithoutPlan(CacheWithoutRanges):
    """Answers a build from a cache whose key has ranges and no plan."""

    def build(self, model, plan, ranges, target):
        key = self.graph(model, target).fingerprint + str(sorted(ranges.items(), key=str))
        if key not in self.cache:
            self.cache[key] = ReferenceBackend.build(self, model, plan, ranges, target)
        return self.cache[key]


class FloatFallback(ReferenceBackend):
    """Returns the float model as its INT8 form."""

    def build(self, model, plan, ranges, target):
        super().build(model, plan, ranges, target)
        return model


class SimulatedFallback(ReferenceBackend):
    """Returns the float simulation as its INT8 form: right numbers, no INT8 kernel."""

    def build(self, model, plan, ranges, target):
        return super().reference(model, plan, ranges, target)


class SimulatedAndLying(LyingAudit):
    """The same, and the audit covers it up."""

    def build(self, model, plan, ranges, target):
        return super().reference(model, plan, ranges, target)


def untied(graph: Graph) -> Graph:
    tensors = {name: replace(tensor, tie=None) for name, tensor in graph.tensors.items()}
    return replace(graph, tensors=tensors)


class LostTie(ReferenceBackend):
    """Does not tell that tensors are tied."""

    def graph(self, model, target):
        return untied(super().graph(model, target))


class BrokenTie(ReferenceBackend):
    """Tells of ties, and gives one tensor of each a range of its own."""

    def build(self, model, plan, ranges, target):
        graph = self.graph(model, target)
        own = dict(ranges)
        for names in graph.ties.values():
            own |= scaled({names[0]: ranges[names[0]]}, 0.7) if names[0] in ranges else {}
        program = rewrite.build(native(model).network, untied(graph), plan, own)
        return replace(model, native=program)


class EditsInPlace(ReferenceBackend):
    """Writes edited weights into the model it was given."""

    def edit(self, model, edits: Iterable[Edit]):
        edits = list(edits)
        edited = super().edit(model, edits)
        for edit in (edit for edit in edits if isinstance(edit, Edit)):
            native(model).network.weights[edit.weight][...] = edit.value
        return edited


class ForgivingSession:
    def __init__(self, session) -> None:
        self.session = session
        self.specs = session.program.network.inputs

    def run(self, batch: Batch) -> dict[str, Array]:
        pairs = zip(self.specs, batch.values(), strict=False)
        return self.session.run({spec.name: np.asarray(a, spec.dtype) for spec, a in pairs})


class ForgivingBackend(ReferenceBackend):
    """Takes inputs by position and of any dtype."""

    def open(self, model, target):
        return ForgivingSession(super().open(model, target))


class ForgetfulFingerprint(ReferenceBackend):
    """Leaves the weights out of the fingerprint."""

    def graph(self, model, target):
        graph = super().graph(model, target)
        return replace(graph, fingerprint=str(len(graph.ops)))


class SavesHalf(ReferenceBackend):
    """Saves weights with few digits."""

    def save(self, model, folder):
        program = native(model)
        rounded = {
            name: array.astype(np.float16).astype(array.dtype)
            for name, array in program.network.weights.items()
        }
        network = replace(program.network, weights=rounded)
        super().save(replace(model, native=replace(program, network=network)), folder)


class ProfileWithoutGroups(ReferenceBackend):
    """Times kernels and does not tell whose they are."""

    def profile(self, model, built, batch, target):
        times = super().profile(model, built, batch, target)
        return [replace(kernel, groups=()) for kernel in times]


class SilentAudit(ReferenceBackend):
    """Gives no reasons."""

    def audit(self, model, plan, built, batch, target):
        audits = super().audit(model, plan, built, batch, target)
        return [replace(audit, reason=None) for audit in audits]


class BatchNormalizing(ReferenceBackend):
    """Computes outputs that depend on the samples beside them."""

    def open(self, model, target):
        return NormalizingSession(super().open(model, target))


class NormalizingSession:
    def __init__(self, session) -> None:
        self.session = session

    def run(self, batch: Batch) -> dict[str, Array]:
        return {name: a - 0.1 * a.mean(0) for name, a in self.session.run(batch).items()}


class ChangedOps(ReferenceBackend):
    """Describes operators otherwise than they are."""

    def graph(self, model, target):
        graph = super().graph(model, target)
        return replace(graph, ops=tuple(self.change(op) for op in graph.ops))

    def change(self, op: Op) -> Op:
        raise NotImplementedError


class UnknownProducts(ChangedOps):
    """Does not tell of the weight of a classifier."""

    def change(self, op):
        return replace(op, linear=None) if op.name in ("classifier", "project") else op


class TransposedWeights(ChangedOps):
    """Takes the two axes of a square weight for each other."""

    def change(self, op):
        linear = op.linear
        if linear is None:
            return op
        axes = {"input_axis": linear.output_axis, "output_axis": linear.input_axis}
        return replace(op, linear=replace(linear, **axes))


class ForgottenBias(ChangedOps):
    """Does not tell that a product has a bias."""

    def change(self, op):
        return replace(op, linear=replace(op.linear, bias=None)) if op.linear else op


class NothingScales(ChangedOps):
    """Does not tell what passes factors on."""

    def change(self, op):
        return replace(op, scaling=None)


class OneSummandScales(ChangedOps):
    """Says that an addition passes factors on that its first summand alone carries."""

    def change(self, op):
        return replace(op, scaling=Scaling(op.inputs[:1])) if op.kind == "add" else op


class SoftmaxScales(ChangedOps):
    """Says that a softmax passes factors on."""

    def change(self, op):
        return replace(op, scaling=Scaling(op.inputs)) if op.kind == "softmax" else op


class DroppedChanges(ReferenceBackend):
    """Takes new constants and leaves out the other changes."""

    def edit(self, model, edits: Iterable[Change]):
        return super().edit(model, [edit for edit in edits if isinstance(edit, Edit)])


class BiasAdded(ReferenceBackend):
    """Adds a new bias to the old one."""

    def edit(self, model, edits: Iterable[Change]):
        return super().edit(model, [self.added(model, edit) for edit in edits])

    def added(self, model: Model, edit: Change) -> Change:
        layers = {layer.name: layer for layer in native(model).network.layers}
        if not isinstance(edit, Bias) or edit.op not in layers:
            return edit
        own = (native(model).network.weights[name] for name in layers[edit.op].weights[1:])
        return replace(edit, value=sum(own, edit.value))


class ProductForEveryReader(ReferenceBackend):
    """Puts a product in front of all that read a tensor."""

    def edit(self, model, edits: Iterable[Change]):
        return super().edit(model, [self.spread(model, edit) for edit in edits])

    def spread(self, model: Model, edit: Change) -> Change:
        if not isinstance(edit, Multiply):
            return edit
        layers = native(model).network.layers
        return replace(edit, readers=tuple(one.name for one in layers if edit.tensor in one.inputs))


class AnyLength(ReferenceBackend):
    """Repeats values where a bias has too few."""

    def edit(self, model, edits: Iterable[Change]):
        return super().edit(model, [self.filled(model, edit) for edit in edits])

    def filled(self, model: Model, edit: Change) -> Change:
        layers = {layer.name: layer for layer in native(model).network.layers}
        if not isinstance(edit, Bias) or edit.op not in layers:
            return edit
        bias = native(model).network.weights[layers[edit.op].weights[1]]
        return replace(edit, value=np.resize(edit.value, bias.shape))


SABOTAGED = [
    (PlanIgnored, "test_other_groups_stay_float", "residual"),
    (PlanIgnored, "test_audit_confirms_the_group_that_was_quantized", "mlp"),
    (PlanIgnored, "test_float_plan_changes_nothing", "mlp"),
    (WrongScale, "test_each_group_computes_with_the_scales_of_its_ranges", "convnet"),
    (WrongScale, "test_whole_plan_computes_as_simulated", "mlp"),
    (WrongReference, "test_built_model_agrees_with_its_reference", "residual"),
    (BatchDependentStatistics, "test_statistics_do_not_depend_on_batches", "attention"),
    (SamplesLeftOut, "test_statistics_do_not_depend_on_batches", "mlp"),
    (LyingAudit, "test_audit_reads_the_model_and_not_the_plan", "mlp"),
    (CacheWithoutRanges, "test_other_ranges_give_another_model", "mlp"),
    (CacheWithoutPlan, "test_other_plan_gives_another_model", "mlp"),
    (FloatFallback, "test_whole_plan_differs_from_float", "mlp"),
    (FloatFallback, "test_quantized_group_changes_the_output", "mlp"),
    (SimulatedFallback, "test_audit_finds_the_whole_plan_in_int8", "residual"),
    (SimulatedAndLying, "test_audit_reads_the_model_and_not_the_plan", "residual"),
    (LostTie, "test_moved_values_are_tied", "concat"),
    (LostTie, "test_moved_values_are_tied", "convnet"),
    (BrokenTie, "test_tied_tensors_share_one_scale", "concat"),
    (BrokenTie, "test_whole_plan_computes_as_simulated", "attention"),
    (EditsInPlace, "test_given_model_is_never_modified", "mlp"),
    (ForgetfulFingerprint, "test_other_weights_change_the_fingerprint", "mlp"),
    (SavesHalf, "test_saved_models_come_back", "mlp"),
    (ProfileWithoutGroups, "test_profile_times_every_group_that_computes", "mlp"),
    (SilentAudit, "test_audit_gives_a_reason_where_it_differs", "mlp"),
    (BatchNormalizing, "test_outputs_do_not_depend_on_batches", "mlp"),
    (BatchNormalizing, "test_float_model_computes_the_network", "mlp"),
    (UnknownProducts, "test_every_constant_product_is_described", "convnet"),
    (UnknownProducts, "test_every_constant_product_is_described", "attention"),
    (TransposedWeights, "test_products_with_weights_compute_as_described", "attention"),
    (ForgottenBias, "test_products_with_weights_compute_as_described", "convnet"),
    (NothingScales, "test_channels_can_be_scaled_where_the_network_allows", "convnet"),
    (OneSummandScales, "test_factors_pass_operators_as_described", "residual"),
    (SoftmaxScales, "test_factors_pass_operators_as_described", "attention"),
    (DroppedChanges, "test_bias_is_added_to_its_operator", "mlp"),
    (DroppedChanges, "test_product_reaches_the_readers_that_are_named", "mlp"),
    (BiasAdded, "test_bias_is_added_to_its_operator", "convnet"),
    (ProductForEveryReader, "test_product_reaches_the_readers_that_are_named", "attention"),
    (AnyLength, "test_changes_that_do_not_fit_are_refused", "mlp"),
    (ForgivingBackend, "test_session_refuses_what_does_not_fit", "mlp"),
]


def test_honest_backend_passes_the_whole_contract(tmp_path: Path) -> None:
    passed, failed = run_contract(ReferenceBackend(), NETWORKS, tmp_path)
    assert failed == {}
    assert passed > 50 * len(NETWORKS)


@pytest.mark.parametrize(("sabotaged", "test", "network"), SABOTAGED)
def test_contract_fails_on_a_sabotaged_backend(
    sabotaged: type[ReferenceBackend], test: str, network: str, tmp_path: Path
) -> None:
    _, failed = run_contract(sabotaged(), [network], tmp_path)
    assert isinstance(failed.get(test), AssertionError | pytest.fail.Exception), sorted(failed)
