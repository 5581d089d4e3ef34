"""One pass over the calibration data, and the ranges that every plan takes from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octavo.arrays import Batch
from octavo.backends.base import Ranges
from octavo.data.base import Dataset
from octavo.errors import DataError, NonFiniteError
from octavo.graph import Graph
from octavo.measure import Statistics, tied_ranges
from octavo.plan import Recipe, Scheme
from octavo.workflow.batches import full_batches
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
    statistics = Statistics(schemes, channel_axes=axes)
    with reporter.track("calibrating", dataset.size) as advance:
        batches = _inputs(setting, dataset, batch_size, advance)
        try:
            setting.backend.observe(setting.model, batches, statistics, setting.work)
        except NonFiniteError as error:
            raise DataError(explain_non_finite(error, setting, dataset, batch_size)) from None
    return statistics


def _inputs(
    setting: Setting, dataset: Dataset, batch_size: int, advance: Advance
) -> Iterator[Batch]:
    for batch in full_batches(dataset, batch_size, setting.fixed):
        yield batch.inputs
        advance(batch.samples)


def plan_ranges(
    statistics: Statistics, graph: Graph, recipe: Recipe, schemes: Mapping[str, Scheme]
) -> Ranges:
    """Return the range of every tensor in `schemes`, ties united."""
    return tied_ranges(statistics, graph, recipe, schemes)
