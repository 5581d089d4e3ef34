import json
import subprocess
import sys

import pytest

import octavo as package
from octavo.commands.app import app
from octavo.errors import ExitCode
from octavo.job import Preprocessing, QuantizeJob, option_names


def test_help_imports_no_framework_and_no_numpy():
    script = (
        "import sys; from octavo.cli import main; main(['--help']);"
        "print(sorted({'numpy', 'pydantic', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]")


def test_the_version_is_printed(octavo):
    assert octavo("--version") == (0, f"octavo {package.__version__}\n", "")


def test_the_package_runs_as_a_module_with_the_exit_codes_of_the_command():
    command = [sys.executable, "-m", "octavo"]
    asked = subprocess.run([*command, "--version"], capture_output=True, text=True)
    wrong = subprocess.run([*command, "explain", "none.onnx"], capture_output=True, text=True)
    assert (asked.returncode, asked.stdout) == (0, f"octavo {package.__version__}\n")
    assert wrong.returncode == ExitCode.BAD_INPUT
    assert wrong.stderr.startswith("error: no model at 'none.onnx'")


def test_every_option_of_a_job_has_a_flag():
    command = next(one for one in app.registered_commands if one.name == "quantize")
    parameters = set(command.callback.__annotations__)
    renamed = {"output": "output_folder", "float": "float_", "shapes": "shape"}
    names = [name for name in option_names(QuantizeJob) if name != "preprocessing"]
    names += option_names(Preprocessing)
    assert [name for name in names if renamed.get(name, name) not in parameters] == []


@pytest.fixture
def jobs(monkeypatch):
    """The jobs that the command line would run."""
    seen = []

    def record(job, reporter):
        seen.append(job)
        raise package.OctavoError("recorded")

    monkeypatch.setattr("octavo.api.run_job", record)
    return seen


def test_flags_yaml_and_keywords_make_the_same_job(octavo, jobs, tmp_path):
    config = tmp_path / "job.yaml"
    config.write_text("source: a.onnx\noutput: out\nthreads: 2\nfloat: [head/*]\nmetric: top5\n")
    octavo("quantize", "--config", config, "--metric", "top1", "--mean", "0.5,0.4,0.3")
    octavo(
        "quantize", "a.onnx", "-o", "out", "--threads", 2, "--float", "head/*", "--metric", "top1",
        "--mean", "0.5,0.4,0.3",
    )  # fmt: skip
    expected = QuantizeJob(
        source="a.onnx",
        output="out",
        threads=2,
        float=["head/*"],
        metric="top1",
        preprocessing={"mean": (0.5, 0.4, 0.3)},
    )
    assert jobs == [expected, expected]


def test_the_schema_is_json(octavo):
    code, out, _ = octavo("schema")
    assert code == 0
    assert "tolerance" in json.loads(out)["properties"]


def test_doctor_knows_the_backend(octavo):
    code, out, _ = octavo("doctor", "--json")
    installed = {one["name"]: one["installed"] for one in json.loads(out)["backends"]}
    assert code == 0
    assert installed["onnxruntime"] is True
    assert "onnxruntime" in octavo("doctor")[1]


def test_explain_shows_what_the_artifact_executed(octavo, artifact):
    code, out, _ = octavo("explain", artifact[0], "--json")
    report = json.loads(out)
    rows = {row["id"]: row for row in report["rows"]}
    assert code == 0
    assert report["basis"] == "audit"
    assert rows["body/conv"]["executed"] == "int8"
    assert rows["body/conv"]["kernels"] == ["QLinearConv"]
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    assert "QLinearConv" in octavo("explain", artifact[0])[1]


def test_explain_shows_what_would_be_planned(octavo, place):
    report = json.loads(octavo("explain", place / "soft.onnx", "--json")[1])
    rows = {row["id"]: row for row in report["rows"]}
    assert report["basis"] == "plan"
    assert rows["softmax"]["requested"] == "fp32"
    assert rows["softmax"]["reason"]
    assert "planned" in octavo("explain", place / "net.onnx")[1]


def test_compare_shows_where_the_outputs_part(octavo, artifact, place):
    code, out, _ = octavo(
        "compare", place / "net.onnx", artifact[0], "--data", place / "labels.npz", "--json"
    )
    rows = json.loads(out)["rows"]
    sqnr = [row["sqnr_db"] for row in rows]
    assert code == 0
    assert sqnr == sorted(sqnr)
    assert 20 < sqnr[0] < sqnr[-1] < 80
    assert [row["tensor"] for row in rows if row["is_output"]] == ["logits"]


def test_compare_takes_the_data_that_the_artifact_was_made_with(
    octavo, artifact, place, monkeypatch
):
    monkeypatch.chdir(place)
    code, out, err = octavo("compare", "net.onnx", artifact[0], "--json")
    assert code == 0
    assert "labels.npz" in json.loads(out)["data"]
    assert "random numbers" not in err


def test_compare_runs_no_function_that_a_manifest_names(monkeypatch, tmp_path):
    from octavo.workflow.compare import _is_plain

    monkeypatch.chdir(tmp_path)
    assert _is_plain("digits:300")
    assert not _is_plain("os:getcwd")
    assert not _is_plain("digits_evil:run")


def test_compare_refuses_an_artifact_of_another_model(octavo, artifact, place):
    code, _, err = octavo("compare", place / "soft.onnx", artifact[0])
    assert code == ExitCode.BAD_INPUT
    assert "was not made from" in err
    assert len(err.splitlines()) == 1  # data that fit the other model are not even looked at


def test_benchmark_measures_an_artifact_against_its_source(octavo, artifact, place):
    code, out, _ = octavo(
        "benchmark", artifact[0], "--baseline", place / "net.onnx", "--seconds", "2", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert report["ratio"] > 1
    assert report["baseline"]["label"].endswith("net.onnx")
    assert report["cores_per_instance"] == 1


def test_benchmark_measures_one_model(octavo, place):
    code, out, _ = octavo(
        "benchmark", place / "net.onnx", "--seconds", "0.5", "--batch-size", "4", "--json"
    )
    report = json.loads(out)
    assert code == 0
    assert report["throughput"] > 0
    assert report["batch_size"] == 4


def test_benchmark_refuses_models_with_other_inputs(octavo, tmp_path, place):
    import onnx

    model = onnx.load(place / "net.onnx")
    model.graph.input[0].name = "picture"
    model.graph.node[0].input[0] = "picture"
    onnx.save(model, tmp_path / "other.onnx")
    code, _, err = octavo("benchmark", tmp_path / "other.onnx", "--baseline", place / "net.onnx")
    assert code == ExitCode.BAD_INPUT
    assert "different inputs" in err
