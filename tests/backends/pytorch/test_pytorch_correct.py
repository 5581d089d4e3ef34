"""Corrections work on captured modules: what unequal channels lose is recovered."""

import pytest
import torch
from torch import nn
from torch_case import BACKEND, TARGET, Case, images, seeded

from octavo.correct import Task, correct
from octavo.measure import Statistics, tied_ranges
from octavo.plan import CORRECTIONS
from octavo.search.initial import initial_plan, wanted_tensors
from octavo.testing.simulation import sqnr


class Depthwise(nn.Module):
    """A depthwise convolution that reads channels of sizes from 0.03 to 30."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.last = nn.Conv2d(16, 8, 1)
        sizes = torch.logspace(-1.5, 1.5, 16)
        with torch.no_grad():
            self.first.weight *= sizes.reshape(-1, 1, 1, 1)
            self.first.bias *= sizes
            self.depthwise.weight /= sizes.reshape(-1, 1, 1, 1)

    def forward(self, x):
        return self.last(torch.relu(self.depthwise(torch.relu(self.first(x)))))


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    return Case(seeded(Depthwise()), (images(16),))


def corrected(case, *methods):
    """Return the SQNR of the INT8 form of a corrected model, in dB."""
    batches = [{name: a[i : i + 4] for name, a in case.batch.items()} for i in range(0, 16, 4)]
    plan = initial_plan(case.graph).plan

    def ranges(model, graph):
        schemes = wanted_tensors(graph, [plan])
        statistics = Statistics(schemes)
        BACKEND.observe(model, batches, statistics, TARGET)
        return tied_ranges(statistics, graph, plan.recipe, schemes)

    task = Task(BACKEND, case.model, case.graph, plan, TARGET, lambda: batches)
    found = correct(task, methods, calibrate=ranges)
    built = BACKEND.build(found.model, plan, found.ranges, TARGET)
    return sqnr(case.output(built), case.output(case.model)), found.record


def test_unequal_channels_are_recovered(case):
    plain, _ = corrected(case)
    best, record = corrected(case, *CORRECTIONS)
    assert best > plain + 10
    assert record
