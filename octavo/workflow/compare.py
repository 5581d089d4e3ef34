"""Layer by layer: where the outputs of FP32 and INT8 part."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from octavo.arrays import Array, Batch
from octavo.artifact import Manifest
from octavo.backends.base import Backend
from octavo.data import Dataset, DataSource, Preprocess, Role, open_dataset
from octavo.errors import OctavoError, UsageError
from octavo.measure import Energy
from octavo.model import Model
from octavo.target import Target
from octavo.workflow.batches import fixed_batch, full_batches
from octavo.workflow.opened import (
    Opened,
    require_artifact,
    require_float,
    without_quantization,
)
from octavo.workflow.reaudit import drawn_again
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting, describe

ROLES: tuple[Role, ...] = ("evaluation", "calibration")
BATCH_SIZE = 4
"""Samples whose tensors are held at a time, of both models."""
LOWEST_DB = -200.0
"""What stands for less than itself, such as a tensor that is 0 everywhere in FP32 only; JSON has no
minus infinity."""
LARGE = 1e8
"""The size from which a number that both models hold alike is a mask, such as -1e9 or the least
float before a Softmax, and tells nothing about quantization."""
ENDLESS = 1e30
"""The size from which numbers of one sign are alike: adding to the least float gives infinity."""
ALIKE = 1e-6
"""The share by which smaller masks may differ."""


@dataclass(frozen=True)
class Difference:
    """One tensor of both models.

    Attributes:
        tensor: its name.
        group: the group that makes it.
        executed: the precision that group ran in.
        sqnr_db: energy of the FP32 values over that of the difference, dB, at least `LOWEST_DB`;
            None where they agree, or cannot be compared.
        is_output: whether the model returns it.
        sizes: why they cannot be compared: their sizes differ in a batch; else None.
        left_out: how many values were not compared, since both models mask them.
    """

    tensor: str
    group: str
    executed: str
    sqnr_db: float | None
    is_output: bool
    sizes: str | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Comparison:
    """Both models on the same samples.

    Attributes:
        differences: by SQNR, the smallest first.
        samples: how many samples were compared.
        data: what they are.
        baseline: what INT8 is compared with, as reports call it.
    """

    differences: Sequence[Difference]
    samples: int
    data: str
    baseline: str = "FP32"

    def to_json(self) -> dict[str, Any]:
        """Return what `octavo compare --json` prints."""
        rows = [vars(difference) for difference in self.differences]
        return {
            "samples": self.samples,
            "data": self.data,
            "baseline": self.baseline,
            "rows": rows,
        }


@dataclass
class _Energy(Energy):
    """Of one tensor, in those batches in which its sizes are equal.

    Attributes:
        sizes: how the sizes differ in the first batch where they do.
        left_out: how many values both models mask, which are not part of it.
    """

    sizes: str | None = None
    left_out: int = 0

    def add(self, expected: Array, actual: Array) -> None:
        if expected.shape == actual.shape:
            masked = _masked(expected, actual)
            if count := int(masked.sum()):
                self.left_out += count
                expected, actual = expected[~masked], actual[~masked]
            super().add(expected, actual)
        else:
            shapes = f"{list(expected.shape)} and {list(actual.shape)}"
            self.sizes = self.sizes or f"the sizes differ ({shapes})"

    @property
    def reported_db(self) -> float | None:
        """The SQNR as `Difference` has it."""
        if self.sizes or self.noise == 0:
            return None
        return max(LOWEST_DB, self.sqnr_db)


def _masked(expected: Array, actual: Array) -> Array:
    """Return where both hold the same number of a mask, or the same that is no finite number."""
    large = ~(np.abs(expected) < LARGE)  # NaN is not below it
    if large.any():
        first, second = (np.clip(values, -ENDLESS, ENDLESS) for values in (expected, actual))
        large &= np.isclose(second, first, rtol=ALIKE, atol=0, equal_nan=True)
    return large


class _Capture:
    """An observer that keeps the tensors of one batch."""

    def __init__(self, tensors: Collection[str]) -> None:
        self.tensors = tensors
        self._parts: dict[str, list[Array]] = {name: [] for name in tensors}

    def update(self, tensor: str, values: Array) -> None:
        self._parts[tensor].append(np.array(values))

    def __getitem__(self, tensor: str) -> Array:
        parts = self._parts[tensor]
        if len({part.shape[1:] for part in parts}) > 1:  # sizes that change from part to part
            return np.concatenate([part.ravel() for part in parts])
        return np.concatenate(parts) if parts[0].ndim else parts[0]


def run_compare(
    fp32: object,
    artifact: str,
    data: DataSource | None,
    samples: int,
    runtime: str | None,
    trust: bool,
    reporter: Reporter,
) -> Comparison:
    """Compare an FP32 model with an artifact made from it; see `octavo.compare`."""
    opened, made = require_artifact(artifact, trust=trust, runtime=runtime)
    original = require_float(fp32, trust=trust, runtime=opened.backend.name)
    if made.manifest.job.get("requantize"):
        float_form = without_quantization(original.backend, original.model)
        original = replace(original, model=float_form)
    _check_fingerprint(original, opened.label, made.manifest)
    dataset = _dataset(original, made.manifest, data, samples, reporter)
    setting = _describe(original, dataset)
    size = min(BATCH_SIZE, int(made.manifest.job.get("batch_size", BATCH_SIZE)))
    energies = _measure(setting, opened, made.manifest.scales, dataset, size, reporter)
    executed = _executed(setting, opened, made.manifest)
    rows = [_difference(setting, name, energy, executed) for name, energy in energies.items()]
    rows.sort(key=_closeness)
    plain = "the given model" if setting.graph.quantized else "FP32"
    baseline = original.model.label or plain
    return Comparison(rows, dataset.size or samples, dataset.name, baseline)


def _check_fingerprint(original: Opened, label: str, manifest: Manifest) -> None:
    """Check that it is the model of the artifact; data that fit another one would not be found."""
    recorded = {name: tuple(sizes) for name, sizes in (manifest.job.get("shapes") or {}).items()}
    graph = original.backend.graph(original.model, Target(shapes=recorded))
    if graph.fingerprint != manifest.fingerprint:
        raise UsageError(
            f"{label!r} was not made from {original.label!r} as it is now, but from a model named "
            f"{manifest.source['name']!r} of other content; give that model"
        )


def _closeness(row: Difference) -> float:
    if row.sizes:
        return -math.inf
    return math.inf if row.sqnr_db is None else row.sqnr_db


def _executed(setting: Setting, opened: Opened, manifest: Manifest) -> dict[str, str]:
    """Return the precision of every group, read back again where the runtime is another one."""
    if not opened.moved:
        return {str(row["id"]): str(row["executed"]) for row in manifest.groups}
    audits = opened.backend.audit(
        setting.model, manifest.plan, opened.model, setting.sample, setting.target
    )
    return {audit.group: audit.executed for audit in audits}


def _dataset(
    original: Opened, manifest: Manifest, data: DataSource | None, samples: int, reporter: Reporter
) -> Dataset:
    inputs, preprocess = original.model.inputs, Preprocess(**manifest.preprocessing)
    if data is not None:
        return open_dataset(data, inputs, role="evaluation", limit=samples, preprocess=preprocess)
    for role in ROLES:
        recorded = manifest.job.get(role)
        if not isinstance(recorded, str) or not _is_plain(recorded):
            continue
        try:
            return open_dataset(recorded, inputs, role=role, limit=samples, preprocess=preprocess)
        except OctavoError as error:
            reporter.say(f"the {role} data of the artifact cannot be opened: {error}")
    reporter.warn("no data: the models are compared on random numbers; give --data")
    return drawn_again(inputs, samples, manifest)


def _is_plain(source: str) -> bool:
    """Return whether a specification names data only: one from a manifest must not run code."""
    named = re.fullmatch(r"digits(:\d+|\[:\d+\])?|(images|npz):.+", source)
    return bool(named) or Path(source).exists()


def _describe(original: Opened, dataset: Dataset) -> Setting:
    size = fixed_batch(original.model.inputs) or 1
    sample = next(full_batches(dataset, size, size)).inputs
    return describe(original.backend, original.model, 1, sample)


def _measure(
    setting: Setting,
    opened: Opened,
    scales: Mapping[str, Mapping[str, Any]],
    dataset: Dataset,
    size: int,
    reporter: Reporter,
) -> dict[str, _Energy]:
    """Return the energies of every tensor; scaled channels are brought back to those of FP32."""
    backend = setting.backend
    tensors = [
        name
        for group in setting.graph.groups
        for name in group.outputs
        if setting.graph.tensors[name].dtype == "float32"
    ]
    energies = {name: _Energy() for name in tensors}
    models = (setting.model, opened.model)
    sessions = [backend.open(model, setting.work) for model in models]
    with reporter.track("comparing", dataset.size) as advance:
        for batch in full_batches(dataset, size, setting.fixed):
            inner = [_captured(backend, m, tensors, batch.inputs, setting.work) for m in models]
            # what a runtime returns is not always what it shows of its inside
            outputs = [session.run(batch.inputs) for session in sessions]
            for name, energy in energies.items():
                expected, actual = outputs if name in outputs[0] else inner
                energy.add(expected[name], _unscaled(actual[name], scales.get(name)))
            advance(batch.samples)
    return energies


def _unscaled(values: Array, scale: Mapping[str, Any] | None) -> Array:
    """Return values as the float model has them, without the factors of the artifact."""
    if scale is None:
        return values
    shape = [1] * values.ndim
    shape[scale["axis"]] = -1
    return np.asarray(values / np.asarray(scale["factor"]).reshape(shape))


def _captured(
    backend: Backend, model: Model, tensors: Sequence[str], batch: Batch, target: Target
) -> _Capture:
    capture = _Capture(tensors)
    backend.observe(model, [batch], capture, target)
    return capture


def _difference(
    setting: Setting, name: str, energy: _Energy, executed: Mapping[str, str]
) -> Difference:
    group = setting.graph.producer[name].id
    return Difference(
        tensor=name,
        group=group,
        executed=executed.get(group, "fp32"),
        sqnr_db=energy.reported_db,
        is_output=name in setting.graph.outputs,
        sizes=energy.sizes,
        left_out=energy.left_out,
    )
