"""What it costs in samples to prove a plan, and what can be said in the end.

    python -m benchmarks.proving [--runs RUNS]

Top-1 of FP32 and INT8 is drawn at random: a tolerance of 1 % of FP32's value, models that disagree
on a share of the samples, and a true drop of 0, half, one and three tolerances. (A drop of three
tolerances needs more disagreement than the smallest shares here: then no sample is gained.) In each
run one plan is judged on the search part, looked at after every sample, and proven on the other
part if it was accepted; then the winner is evaluated on all that is left, as a search ends. `first`
is the share proven where the evidence of the search part counts for the first plan.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_machine
from octavo.arrays import FloatArray
from octavo.search.prove import Margin, Trial, Walk
from octavo.tolerance import Tolerance

RESULTS = Path(__file__).parent / "results" / "proving.json"
MARGIN = Margin(Tolerance(0.01, relative=True), bounds=(0.0, 1.0))
SAMPLES = (2_000, 10_000, 50_000)
FP32 = (0.76, 0.90)
DISAGREEMENT = (0.01, 0.02, 0.04)
DROPS = (0.0, 0.5, 1.0, 3.0)
RUNS = 400
BATCHES = 20
"""Into how many batches a part is cut; no result depends on it."""
VERDICTS = ("proven", "within", "undecided", "exceeded", "rejected")
"""What the end can be; `rejected`: on the search part."""


@dataclass(frozen=True)
class Case:
    """What is drawn.

    Attributes:
        samples: of the evaluation data.
        fp32: the share that FP32 has right.
        disagreement: the share on which one model alone is right.
        drop: what INT8 loses in expectation, in tolerances.
    """

    samples: int
    fp32: float
    disagreement: float
    drop: float

    def draw(self, random: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return the scores of both models, float64 `[samples]`."""
        net = self.drop * MARGIN.tolerance.value * self.fp32
        lost = max(net, (self.disagreement + net) / 2)
        gained = max(0.0, (self.disagreement - net) / 2)
        u = random.random(self.samples)
        fp32 = u < self.fp32
        int8 = (fp32 & (u >= lost)) | (~fp32 & (u < self.fp32 + gained))
        return fp32.astype(np.float64), int8.astype(np.float64)


@dataclass(frozen=True)
class Walked:
    """What one run needed; `proof` is None where the plan was rejected before."""

    search: int
    proof: int | None
    end: str
    proven_counting_first: bool


def walk(case: Case, seed: int) -> Walked:
    """Walk once with one plan."""
    random = np.random.default_rng([seed, case.samples, round(1e4 * case.disagreement)])
    fp32, int8 = case.draw(random)
    steps = Walk(case.samples, MARGIN, seed=seed)
    trial = steps.trial()
    search = decide(trial, fp32, int8)
    if trial.decision == "reject":
        return Walked(search, None, "rejected", False)
    other = Walk(case.samples, MARGIN, seed=seed, first_counts=True)
    twin = other.trial()
    twin.add(fp32[trial.seen], int8[trial.seen])
    needed, end = prove(steps, trial, fp32, int8)
    return Walked(search, needed, end, prove(other, twin, fp32, int8)[1] == "proven")


def prove(steps: Walk, winner: Trial, fp32: FloatArray, int8: FloatArray) -> tuple[int, str]:
    """Prove a plan and evaluate it on all samples; return what the proof took, and the verdict."""
    proof = steps.prove(winner)
    needed = decide(proof, fp32, int8)
    for part in (winner, proof):
        rest = part.next(part.left)
        part.add(fp32[rest], int8[rest])
    return needed, steps.conclusion().verdict


def decide(trial: Trial, fp32: FloatArray, int8: FloatArray) -> int:
    """Judge a plan on one part; return how many samples it took."""
    batch = max(1, trial.left // BATCHES)
    while trial.decision == "continue":
        indices = trial.next(batch)
        trial.add(fp32[indices], int8[indices])
    return trial.shown_at or trial.samples_seen


def measure(case: Case, runs: int) -> dict[str, Any]:
    """Return one row: medians and 90 % quantiles of samples, and how often each end came."""
    walked = [walk(case, seed) for seed in range(runs)]
    ends = Counter(one.end for one in walked)
    proofs = [one.proof for one in walked if one.proof is not None]
    return {
        "samples": case.samples,
        "fp32": case.fp32,
        "disagreement": case.disagreement,
        "drop": case.drop,
        "search": quantiles([one.search for one in walked]),
        "proof": quantiles(proofs),
        "ends": {name: round(ends[name] / runs, 4) for name in VERDICTS},
        "proven_counting_first": round(sum(one.proven_counting_first for one in walked) / runs, 4),
    }


def quantiles(samples: Sequence[int]) -> dict[str, int] | None:
    """Return median and 90 % quantile, None of nothing."""
    if not samples:
        return None
    return {"median": int(np.median(samples)), "q90": int(np.quantile(samples, 0.9))}


def cases() -> Iterator[Case]:
    """Yield what is measured."""
    for values in product(SAMPLES, FP32, DISAGREEMENT, DROPS):
        yield Case(*values)


def line(row: dict[str, Any]) -> str:
    """Return a row as one of a Markdown table."""

    def shown(found: dict[str, int] | None) -> str:
        return f"{found['median']:,} ({found['q90']:,})" if found else "-"

    ends = " | ".join(f"{100 * row['ends'][name]:.0f}" for name in VERDICTS)
    return (
        f"| {row['samples']:,} | {row['fp32']:.0%} | {row['disagreement']:.0%} | {row['drop']:g} "
        f"| {shown(row['search'])} | {shown(row['proof'])} "
        f"| {100 * row['proven_counting_first']:.0f} | {ends} |"
    )


def main() -> None:
    """Measure all cases, print and store them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    runs = parser.parse_args().runs
    heads = ("samples", "FP32", "disagree", "drop", "search", "proof", "first", *VERDICTS)
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    rows = []
    for case in cases():
        rows.append(measure(case, runs))
        print(line(rows[-1]), flush=True)
    content = {
        "machine": describe_machine(),
        "tolerance": str(MARGIN.tolerance),
        "alpha": 0.05,
        "runs": runs,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
