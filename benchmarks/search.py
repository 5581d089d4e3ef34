"""How many evaluations a search takes and what it finds: Octavo's strategies and NNCF's.

    python -m benchmarks.search [NETWORK ...] [--tools TOOL ...] [--runtime RUNTIME] [--work DIR]

The tools are strategies of `octavo.quantize` (`solve`, the default; `fallback`, operator by
operator as others do; `tpe`) and `nncf`, its `quantize_with_accuracy_control` in OpenVINO. All
calibrate on the same 300 scenes and are judged on the same 2,000, with a tolerance of 1 % of FP32's
score. Evaluations are labelled INT8 forwards over the size of the evaluation data, the last full
one included and those of FP32 not. Every search begins without prices of earlier ones.

What was found is measured at batch 1 on one thread in turns with the float model in ONNX Runtime,
and with what `solve` found for the same network if that is among the results of this run. NNCF's
models run in OpenVINO, where `--runtime openvino` runs Octavo's too. The networks are in
`benchmarks/models`.

`--work DIR` keeps models: NNCF's are taken from there in the next run, and those of the
strategies that `--keep` names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import octavo
from benchmarks.machine import describe_machine
from benchmarks.peer_models import ENVIRONMENTS, Made, Peer, quantize, reference
from benchmarks.search_subjects import NETWORKS, Subject, naive_losses, outputs, prepare
from benchmarks.speed_results import entry
from octavo.backends.registry import get_backend
from octavo.bench import ModelRef, measure_pair
from octavo.data.base import Role
from octavo.errors import OctavoError
from octavo.metrics import registry as octavo_metrics
from octavo.target import Target

RESULTS = Path(__file__).parent / "results" / "search.json"
SAMPLES: dict[Role, int] = {"calibration": 300, "evaluation": 2000}
TOLERANCE = 0.01
STRATEGIES = ("solve", "fallback", "tpe")
PEER = "nncf"
TOOLS = (*STRATEGIES, PEER)


@dataclass(frozen=True)
class Options:
    """How to search and measure.

    Attributes:
        runtime: what Octavo's models run in.
        seconds: for measuring each pair of models.
        environments: where NNCF is installed.
        limits: further options of Octavo's strategies beside `solve`, which may not end by
            themselves: `max_evaluations`, `timeout`.
        keep: strategies whose results of an earlier run are measured again and not searched for.
    """

    runtime: str
    seconds: float
    environments: Path
    limits: Mapping[str, Any]
    keep: Sequence[str] = ()


@dataclass(frozen=True)
class Found:
    """What a tool made of a network.

    Attributes:
        row: the numbers, JSON-ready.
        model: what can be measured; None where the float model was kept or nothing was made.
    """

    row: dict[str, Any]
    model: ModelRef | None


def search_octavo(subject: Subject, strategy: str, options: Options) -> Found:
    """Search by a strategy of Octavo."""
    folder = subject.folder / options.runtime / strategy
    kept_row = folder.with_suffix(".json")
    if strategy in options.keep and kept_row.is_file():
        return _found(json.loads(kept_row.read_text()), folder)
    shutil.rmtree(folder, ignore_errors=True)  # with the study of an earlier run
    asked = {} if strategy == "solve" else {"strategy": strategy, **options.limits}
    with no_prices():
        result = octavo.quantize(
            subject.inputs.model,
            calibration=subject.inputs.calibration,
            evaluation=subject.inputs.evaluation,
            metric=octavo_metric(subject.network.metric),
            tolerance=TOLERANCE,
            runtime=options.runtime,
            seconds=options.seconds,
            output=folder,
            **asked,
        )
    found = result.to_json()
    kept = result.saved == "int8"
    row = {
        "tool": strategy,
        "runtime": options.runtime,
        "evaluations": round(found["evaluations"], 3),
        "seconds": round(found["seconds"], 1),
        "score": found["accuracy"]["int8"] if kept else None,
        "change_percent": percent(found["accuracy"]["change_relative"]) if kept else 0.0,
        "verdict": found["accuracy"]["verdict"],
        "saved": result.saved,
        "exit_code": int(result.exit_code),
        "reason": result.reason,
        "groups": found["groups"],
        "trials": [plain_trial(trial) for trial in found["trials"]],
    }
    kept_row.write_text(json.dumps(row))
    return _found(row, folder)


def _found(row: dict[str, Any], folder: Path) -> Found:
    saved = row["saved"] == "int8"
    return Found(row, ModelRef(row["runtime"], folder / "model", row["tool"]) if saved else None)


def octavo_metric(name: str) -> str:
    """Return what Octavo calls a metric of `benchmarks.metrics`."""
    return name if name in octavo_metrics.METRICS else f"benchmarks.metrics:{name}"


def plain_trial(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a trial that are worth keeping."""
    throughput = trial["throughput"] or {}
    return {
        "plan": trial["plan"],
        "groups_int8": trial["groups_int8"],
        "samples": trial["accuracy"]["samples"],
        "change_percent": percent(trial["accuracy"]["change_relative"]),
        "ratio": throughput.get("ratio"),
    }


@contextmanager
def no_prices() -> Iterator[None]:
    """Let Octavo find an empty cache of prices."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as empty:
        os.environ["XDG_CACHE_HOME"] = empty
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before


def search_nncf(subject: Subject, options: Options) -> Found:
    """Let NNCF search in its own environment."""
    approach = f"{subject.network.kind}-{subject.network.metric}"
    peer = Peer("control_nncf", "NNCF's accuracy control", "openvino", "openvino", (approach,))
    folder = subject.folder / PEER
    made, *more = quantize(peer, approach, subject.inputs, folder, options.environments)
    row: dict[str, Any] = {"tool": PEER, "runtime": "openvino", "seconds": made.seconds}
    if error := next((one.error for one in (made, *more) if one.error), None):
        return Found({**row, "error": error}, None)
    row |= counted(json.loads((made.folder / "counts.json").read_text()), len(subject.labels))
    return Found(row | judged(subject, made), reference("openvino", made, options.environments))


def counted(counts: Mapping[str, Any], samples: int) -> dict[str, Any]:
    """Return evaluations from the samples that ran."""
    ran = counts["samples"]
    return {
        "evaluations": round(ran["int8"] / samples, 3),
        "fp32_evaluations": round(ran["float"] / samples, 3),
        "calls": counts["calls"],
    }


def judged(subject: Subject, made: Made) -> dict[str, Any]:
    """Return the score of a peer's model, from the outputs that it wrote."""
    fp32 = float_score(subject)
    with np.load(made.folder / "outputs.npz") as file:
        score = float(subject.scores({name: file[name] for name in file.files}).mean())
    return {
        "score": round(score, 5),
        "change_percent": percent((score - fp32) / fp32),
        "verdict": "within" if score >= (1 - TOLERANCE) * fp32 else "exceeded",
        "saved": "int8",
    }


def float_score(subject: Subject) -> float:
    """Return the mean score of the float model in ONNX Runtime."""
    backend = get_backend("onnxruntime")
    model = backend.load(subject.inputs.model)
    return float(subject.scores(outputs(backend, model, subject.images, Target())).mean())


def percent(share: float | None) -> float | None:
    """Return a share as a percentage with two digits."""
    return None if share is None else round(100 * share, 2)


def search(subject: Subject, tool: str, options: Options) -> Found:
    """Search by one of `TOOLS`; a failure is a result."""
    try:
        if tool == PEER:
            return search_nncf(subject, options)
        return search_octavo(subject, tool, options)
    except OctavoError as error:
        return Found({"tool": tool, "runtime": options.runtime, "error": str(error)}, None)


def measure(subject: Subject, found: Sequence[Found], options: Options) -> None:
    """Put into each row how fast its model is over FP32, and how fast that of `solve` over it."""
    float_model = ModelRef("onnxruntime", subject.inputs.model.parent, "fp32")
    solved = next((one for one in found if one.row["tool"] == "solve"), None)
    ours = (solved.model or float_model) if solved else None
    for one in found:
        if "error" in one.row:
            continue
        if one.model is not None:
            one.row["over_fp32"] = timed(subject, float_model, one.model, options)
        theirs = one.model or float_model
        if ours is not None and one is not solved and ours is not theirs:
            one.row["solve_over_it"] = timed(subject, theirs, ours, options)


def timed(
    subject: Subject, baseline: ModelRef, candidate: ModelRef, options: Options
) -> dict[str, Any]:
    """Measure two models in turns; JSON-ready."""
    seconds, target = options.seconds, Target(threads=1)
    try:
        return entry(measure_pair(baseline, candidate, subject.batch, target, seconds=seconds))
    except OctavoError as error:
        return {"failed": str(error)}


def run(name: str, tools: Sequence[str], folder: Path, options: Options) -> list[dict[str, Any]]:
    """Search a network by all tools, and measure what they found."""
    subject = prepare(name, folder, SAMPLES)
    head = {
        "network": name,
        "metric": subject.network.metric,
        "fp32_score": round(float_score(subject), 5),
        "naive_loss_percent": naive_losses(subject),
    }
    print(json.dumps(head), flush=True)
    found = []
    for tool in tools:
        found.append(search(subject, tool, options))
        print(json.dumps({"network": name, **found[-1].row}), flush=True)
    measure(subject, found, options)
    return [{**head, **one.row} for one in found]


def store(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows in place of those of the same network, tool and runtime; others stay."""
    content = json.loads(path.read_text()) if path.is_file() else {"rows": []}
    machine = describe_machine()
    if content["rows"] and content["machine"] != machine:
        print(f"{path}: dropped rows of another machine or versions")
        content["rows"] = []
    new = {_key(row) for row in rows}
    kept = [row for row in content["rows"] if _key(row) not in new]
    content = {
        "machine": machine,
        "samples": SAMPLES,
        "tolerance": TOLERANCE,
        "rows": sorted([*kept, *rows], key=_position),
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(path)


def _key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["network"], row["tool"], row["runtime"]


def _position(row: Mapping[str, Any]) -> tuple[int, str, int]:
    return list(NETWORKS).index(row["network"]), row["runtime"], TOOLS.index(row["tool"])


def main() -> None:
    """Search network by network; what is done is on disk."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--runtime", choices=("onnxruntime", "openvino"), default="onnxruntime")
    parser.add_argument("--seconds", type=float, default=10.0, help="for measuring a pair")
    parser.add_argument("--max-evaluations", type=int, help="of strategies other than solve")
    parser.add_argument(
        "--keep", nargs="*", choices=STRATEGIES, default=[],
        help="measure what an earlier run in --work found, and do not search",
    )  # fmt: skip
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--work", type=Path, help="keeps models, and NNCF's for the next run")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    if unknown := sorted(set(given.networks) - set(NETWORKS)):
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    limits = {"max_evaluations": given.max_evaluations} if given.max_evaluations else {}
    options = Options(given.runtime, given.seconds, given.environments, limits, given.keep)
    with tempfile.TemporaryDirectory() as temporary:
        for name in given.networks or NETWORKS:
            store(run(name, given.tools, given.work or Path(temporary), options), given.output)


if __name__ == "__main__":
    main()
