import pytest
from rich.console import Console

from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.report.terminal import _percent, compare_table, quantize_table
from octavo.workflow.compare import Comparison, Difference
from octavo.workflow.measure import Throughput

REASON = "other processes used 40% of the time of our cores"
SPEED = Measurement("net.onnx", 100.0, Latency(1, 1, 1), 1, 1.0, (0,))


def noise(noisy):
    return Noise(0.0, 0.4, 0.0, None, (REASON,) if noisy else ())


def pair(noisy):
    return PairResult(SPEED, SPEED, 1.25, (0.7, 1.63), 4, 1.0, 1, 1, noise(noisy))


def shown(table):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return [line.strip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("noisy", [True, False])
def test_the_table_of_quantize_says_what_disturbed_the_measurement(noisy):
    result = {
        "accuracy": {
            "fp32": 1.0, "int8": 1.0, "change_relative": 0.0, "metric": "top1",
            "samples": 10, "verdict": "within",
        },
        "throughput": Throughput({"default": pair(noisy)}).to_json(),
        "evaluated_on": "evaluation",
        "tolerance": "1%",
        "groups": {"int8": 1, "total": 2},
        "evaluations": 1.0,
        "seconds": 1.0,
        "peak_memory_mb": 1.0,
        "artifact": None,
    }  # fmt: skip
    lines = shown(quantize_table(result))
    assert any("(noisy)" in line for line in lines) is noisy
    assert any(line.startswith("warning") and REASON in line for line in lines) is noisy


@pytest.mark.parametrize(
    ("change", "expected"), [(-1e-6, "0.00%"), (1e-6, "0.00%"), (0, "0.00%"), (-2e-4, "-0.02%")]
)
def test_a_change_that_rounds_to_nothing_has_no_sign(change, expected):
    assert _percent(change) == expected


@pytest.mark.parametrize("verdict", ["undecided", "exceeded"])
def test_a_model_without_a_score_is_not_judged_in_the_table(verdict):
    accuracy = {
        "fp32": 1.0, "int8": None, "change_relative": None, "metric": "agreement",
        "samples": 10, "verdict": verdict,
    }  # fmt: skip
    result = {
        "accuracy": accuracy, "throughput": None, "evaluated_on": "random", "tolerance": "1%",
        "groups": {"int8": 1, "total": 2}, "evaluations": 1.0, "seconds": 1.0,
        "peak_memory_mb": 1.0, "artifact": None,
    }  # fmt: skip
    assert shown(quantize_table(result))[1].endswith("-  no score on 10 random samples")


@pytest.mark.parametrize(("ids", "shown_there"), [(0.6, True), (0.9, False)])
def test_the_output_that_agrees_least_is_in_the_table(ids, shown_there):
    outputs = {"boxes": 0.9, "ids": ids}
    accuracy = {
        "fp32": 1.0, "int8": sum(outputs.values()) / 2, "change_relative": -0.1,
        "metric": "agreement", "samples": 10, "verdict": "exceeded", "outputs": outputs,
    }  # fmt: skip
    result = {
        "accuracy": accuracy, "throughput": None, "evaluated_on": "evaluation", "tolerance": "1%",
        "groups": {"int8": 1, "total": 2}, "evaluations": 1.0, "seconds": 1.0,
        "peak_memory_mb": 1.0, "artifact": None,
    }  # fmt: skip
    told = shown(quantize_table(result))[2] == "0.6000  output 'ids' agrees least"
    assert told is shown_there


def test_tensors_that_cannot_be_compared_say_why():
    sizes = "the sizes differ ([43, 4] and [41, 4])"
    rows = [
        Difference("boxes", "nms", "fp32", None, True, sizes),
        Difference("scores", "head", "int8", None, True),
    ]
    lines = shown(compare_table(Comparison(rows, 1, "d").to_json()))
    assert lines[1].split(maxsplit=3) == ["boxes", "nms", "fp32", f"output; {sizes}"]
    assert lines[2].split() == ["scores", "equal", "head", "int8", "output"]


def test_the_table_of_compare_names_what_it_compares_with_and_what_it_left_out():
    row = Difference("scores", "add", "int8", 23.45, False, left_out=12)
    lines = shown(compare_table(Comparison([row], 1, "d", "the given model").to_json()))
    assert lines[0].split("  ")[1].strip() == "SQNR dB to the given model"
    assert lines[1].endswith("12 masked values left out")


def accuracy_lines(**accuracy):
    given = {"metric": "top1", "change_relative": 0.0, "samples": 2000, "verdict": "within"}
    result = {
        "accuracy": given | accuracy, "throughput": None, "evaluated_on": "evaluation",
        "tolerance": "1%", "groups": {"int8": 1, "total": 2}, "evaluations": 1.0, "seconds": 1.0,
        "peak_memory_mb": 1.0, "artifact": None,
    }  # fmt: skip
    return shown(quantize_table(result))


@pytest.mark.parametrize(
    ("fp32", "int8", "expected"),
    [
        (0.98, 0.97, ("0.9800", "0.9700")),
        (0.98, 0.98, ("0.9800", "0.9800")),
        (0.98, 0.98001, ("0.98000", "0.98001")),
        (1.0, 0.9999996, ("1.0000000", "0.9999996")),
        (1.0, 1.0 - 1e-12, ("1.000000000", "1.000000000")),
        (12341.0, 12341.6, ("12341", "12342")),
        (0.98, None, ("0.9800", "-")),
    ],
)
def test_values_that_differ_do_not_look_equal(fp32, int8, expected):
    assert tuple(accuracy_lines(fp32=fp32, int8=int8)[1].split()[1:3]) == expected


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("top1", "of 2000 samples 3 became wrong and 5 right"),
        ("agreement", "of 2000 samples 3 disagree with FP32"),
    ],
)
def test_the_table_says_how_many_samples_changed(metric, said):
    assert accuracy_lines(metric=metric, fp32=1.0, int8=1.0, lost=3, gained=5)[2] == said
    assert said not in accuracy_lines(metric=metric, fp32=1.0, int8=1.0)
