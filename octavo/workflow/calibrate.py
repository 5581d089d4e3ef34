"""One pass over the calibration data, and the ranges that every plan takes from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from octavo.arrays import Array, Batch
from octavo.backends.base import Ranges
from octavo.data.base import Dataset
from octavo.errors import DataError, NonFiniteError
from octavo.graph import Graph
from octavo.measure import SAMPLED, Statistics, tied_ranges
from octavo.plan import Plan, Scheme
from octavo.workflow.batches import sized
from octavo.workflow.finite import explain_non_finite
from octavo.workflow.reporter import Advance, Reporter
from octavo.workflow.setting import Setting


def calibrate(
    setting: Setting,
    dataset: Dataset,
    schemes: Mapping[str, Scheme],
    batch_size: int,
    reporter: Reporter,
) -> Statistics:
    """Run the float model over all calibration samples once.

    Extremes are of all values, histograms of `octavo.measure.SAMPLED` of each sample.

    Args:
        setting: the model.
        dataset: the calibration data.
        schemes: the tensors whose ranges are needed.
        batch_size: samples of one forward.
        reporter: is told the progress.

    Raises:
        DataError: a tensor held NaN or infinity; the operator that made it is named.
    """
    axes = {name: s.axis for name, s in schemes.items() if s.axis is not None}
    statistics = Statistics(schemes, channel_axes=axes, limit=SAMPLED)
    with reporter.track("calibrating", dataset.size) as advance:
        whole = _WithoutFilling(statistics, setting.fixed)
        batches = _inputs(whole, dataset, batch_size, advance)
        try:
            setting.backend.observe(setting.model, batches, whole, setting.work)
        except NonFiniteError as error:
            raise DataError(explain_non_finite(error, setting, dataset, batch_size)) from None
    return statistics


@dataclass
class _WithoutFilling:
    """An observer that leaves out the samples which fill up a batch of a fixed size."""

    statistics: Statistics
    fixed: int | None
    samples: int = 0

    @property
    def tensors(self) -> Collection[str]:
        return self.statistics.tensors

    def update(self, tensor: str, values: Array) -> None:
        whole = self.fixed is None or values.ndim == 0 or len(values) != self.fixed
        self.statistics.update(tensor, values if whole else values[: self.samples])


def _inputs(
    observer: _WithoutFilling, dataset: Dataset, batch_size: int, advance: Advance
) -> Iterator[Batch]:
    for batch in dataset.batches(observer.fixed or batch_size):
        observer.samples = batch.samples
        yield sized(batch.inputs, observer.fixed or batch.samples)
        advance(batch.samples)


def plan_ranges(
    statistics: Statistics, graph: Graph, plan: Plan, schemes: Mapping[str, Scheme]
) -> Ranges:
    """Return the range of every tensor in `schemes`, those united that `plan` ties."""
    return tied_ranges(statistics, graph.planned(plan), plan.recipe, schemes)
