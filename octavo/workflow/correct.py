"""Correcting the float model for one plan, on the calibration data of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from octavo.arrays import Batch
from octavo.backends.base import Ranges
from octavo.correct import Corrected, Task, correct
from octavo.data.base import Dataset
from octavo.graph import Graph
from octavo.model import Model
from octavo.plan import Plan
from octavo.search.initial import wanted_tensors
from octavo.workflow.batches import full_batches
from octavo.workflow.calibrate import calibrate, plan_ranges
from octavo.workflow.reporter import Reporter
from octavo.workflow.setting import Setting


def correct_model(
    setting: Setting, plan: Plan, dataset: Dataset, batch_size: int, reporter: Reporter
) -> Corrected:
    """Return the model that a plan with corrections is built from, with its ranges.

    Args:
        setting: the float model.
        plan: its recipe names the corrections.
        dataset: the calibration data.
        batch_size: samples of one forward.
        reporter: is told what is done.
    """

    def batches() -> Iterator[Batch]:
        for batch in full_batches(dataset, batch_size, setting.fixed):
            yield batch.inputs

    def ranges(model: Model, graph: Graph) -> Ranges:
        schemes = wanted_tensors(graph, [plan])
        if not schemes:
            return {}
        changed = replace(setting, model=model, graph=graph)
        statistics = calibrate(changed, dataset, schemes, batch_size, reporter)
        return plan_ranges(statistics, graph, plan, schemes)

    task = Task(setting.backend, setting.model, setting.graph, plan, setting.work, batches)
    with reporter.track(f"correcting: {', '.join(plan.recipe.corrections)}", None):
        return correct(task, plan.recipe.corrections, calibrate=ranges)
