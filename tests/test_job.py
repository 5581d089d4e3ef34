import json

import pytest

from octavo.errors import UsageError
from octavo.job import QuantizeJob, job_schema, read_yaml
from octavo.tolerance import Tolerance


def test_yaml_and_keywords_make_the_same_job(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("source: a.onnx\ntolerance: 0.5%\nfloat: head/*\nthreads: 4\n")
    keywords = QuantizeJob(source="a.onnx", tolerance="0.5%", float=["head/*"], threads=4)
    assert QuantizeJob.from_yaml(file) == keywords


def test_a_job_survives_yaml(tmp_path):
    job = QuantizeJob(
        source="a.onnx",
        output="out",
        calibration="digits:300",
        tolerance=0.02,
        int8=("conv1", "fc*"),
        ranges="percentile",
        percentile=99.9,
        per_channel=False,
        evaluation_samples=71,
    )
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    assert QuantizeJob.from_yaml(file) == job


def test_yaml_holds_only_what_was_chosen():
    assert QuantizeJob(source="a.onnx", threads=1).to_yaml() == "source: a.onnx\n"


def test_a_job_survives_json():
    job = QuantizeJob(source="a.onnx", float=["a"], tolerance="0.1%")
    assert QuantizeJob(**json.loads(json.dumps(job.to_json()))) == job


def test_a_path_is_kept_as_text(tmp_path):
    assert QuantizeJob(source=tmp_path).source == str(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerence": "1%"}, "unknown option 'tolerence'; did you mean 'tolerance'?"),
        ({"float_patterns": ["a"]}, "unknown option 'float_patterns'; did you mean 'float'?"),
        ({"qqq": 1}, "unknown option 'qqq'; known are source, "),
        ({"threads": 0}, "option 'threads': input should be greater than or equal to 1, not 0"),
        ({"approach": "qat"}, "option 'approach': input should be 'auto', 'static' or 'dynamic'"),
    ],
)
def test_a_wrong_option_is_one_line_that_helps(options, message):
    with pytest.raises(UsageError) as caught:
        QuantizeJob(**options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_job_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        QuantizeJob().threads = 2


@pytest.mark.parametrize("content", ["- a\n", "a: [\n", "1: 2\n", "\0"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content):
    file = tmp_path / "job.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"job\.yaml' is not"):
        read_yaml(file)


def test_a_missing_job_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read the job file"):
        QuantizeJob.from_yaml(tmp_path / "none.yaml")


def test_an_empty_job_file_is_the_default_job(tmp_path):
    file = tmp_path / "job.yaml"
    file.touch()
    assert QuantizeJob.from_yaml(file) == QuantizeJob()


def test_a_job_file_is_named_by_text_too(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("threads: 3\n")
    assert QuantizeJob.from_yaml(str(file)) == QuantizeJob(threads=3)


@pytest.mark.parametrize("given", ["1x3x224x224", "1,3,224,224", [1, 3, 224, 224], "1X3x224 x224"])
def test_shapes_are_written_in_several_forms(given, tmp_path):
    job = QuantizeJob(shapes={"image": given})
    assert job.shapes == {"image": (1, 3, 224, 224)}
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    assert QuantizeJob.from_yaml(file) == job


@pytest.mark.parametrize(
    "given", ["image=1x3", {"image": "1x0"}, {"image": "1xa"}, {"image": [1, 2.5]}, {"image": []}]
)
def test_what_is_no_shape_is_refused_on_one_line(given):
    with pytest.raises(UsageError, match="such as") as caught:
        QuantizeJob(shapes=given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (64, (64, 64)),
        ("64", (64, 64)),
        ("64x48", (64, 48)),
        ("64,48", (64, 48)),
        ([64, 48], (64, 48)),
        (None, None),
    ],
)
def test_a_size_is_one_number_or_two(given, expected):
    assert QuantizeJob(preprocessing={"size": given}).preprocessing.size == expected


@pytest.mark.parametrize("given", ["64x", "0x3", "1x2x3", "wide", 0, -4, 2.5, True, []])
def test_what_is_no_size_is_refused_with_the_forms(given):
    with pytest.raises(UsageError, match=r"^size is one number of pixels, such as 224, or"):
        QuantizeJob(preprocessing={"size": given})


def test_a_layout_is_taken_in_any_case():
    assert QuantizeJob(preprocessing={"layout": "nHwc"}).preprocessing.layout == "NHWC"


@pytest.mark.parametrize("given", ["bias, equalize", ["bias", "equalize"], ("equalize", "bias")])
def test_corrections_are_written_in_several_forms(given, tmp_path):
    job = QuantizeJob(correct=given)
    assert job.correct == ("equalize", "bias")
    file = tmp_path / "job.yaml"
    file.write_text(job.to_yaml())
    assert QuantizeJob.from_yaml(file) == job
    assert QuantizeJob(**json.loads(json.dumps(job.to_json()))) == job


@pytest.mark.parametrize("given", ["auto", "none"])
def test_corrections_by_themselves_or_none_at_all(given):
    assert QuantizeJob(correct=given).correct == given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("equalise", "there is no correction 'equalise'; did you mean 'equalize'?"),
        ("zzz", "there is no correction 'zzz'; known are equalize, smooth, round, bias"),
        ("bias,auto", "there is no correction 'auto'; known are"),
        ([], "correct takes auto, none, or some of equalize, smooth, round, bias; not []"),
        (1, "correct takes auto, none, or some of equalize, smooth, round, bias; not 1"),
    ],
)
def test_an_unknown_correction_is_refused_with_those_there_are(given, message):
    with pytest.raises(UsageError) as caught:
        QuantizeJob(correct=given)
    assert str(caught.value).startswith(message)


def test_endless_measuring_is_refused():
    with pytest.raises(UsageError, match="'seconds'"):
        QuantizeJob(seconds=float("inf"))


def test_the_schema_shows_the_default_tolerance_as_it_is_written():
    assert json.loads(job_schema())["properties"]["tolerance"]["default"] == "1%"


def kinds(option):
    """Return the JSON types that the schema accepts for an option."""
    schema = json.loads(job_schema())
    found = schema["properties"] | schema["$defs"]["Preprocessing"]["properties"]
    return {one["type"] for one in found[option]["anyOf"]}


def test_the_schema_accepts_what_jobs_accept():
    assert kinds("float") == kinds("int8") == {"string", "array"}
    assert kinds("mean") == kinds("std") == {"number", "array"}
    assert kinds("size") == {"integer", "string", "array", "null"}


def test_the_schema_names_every_option_and_forbids_others():
    schema = json.loads(job_schema())
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(QuantizeJob().to_json())
    assert {"float", "int8", "tolerance"} <= set(schema["properties"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("1%", Tolerance(0.01, relative=True)),
        (" 0.5 % ", Tolerance(0.005, relative=True)),
        ("0.01", Tolerance(0.01, relative=True)),
        (0.01, Tolerance(0.01, relative=True)),
        (0, Tolerance(0.0, relative=True)),
        ("0.5 absolute", Tolerance(0.5, relative=False)),
        ("5abs", Tolerance(5.0, relative=False)),
    ],
)
def test_a_tolerance_is_a_share_unless_it_says_absolute(given, expected):
    assert Tolerance.parse(given) == expected


@pytest.mark.parametrize("given", ["", "one", "1%%", "-1%", "nan", -0.1, "inf%", None, 5, "1"])
def test_what_is_no_tolerance_is_refused(given):
    with pytest.raises(UsageError, match="tolerance"):
        Tolerance.parse(given)


@pytest.mark.parametrize("text", ["1%", "0.3%", "33.3333333%", "0.5 absolute", "0.07%"])
def test_a_tolerance_is_written_as_it_is_read(text):
    assert str(Tolerance.parse(text)) == text


def test_a_relative_slack_is_a_share_of_fp32():
    assert Tolerance.parse("1%").slack(0.8, "top1") == pytest.approx(0.008)
    assert Tolerance.parse("0.02 absolute").slack(0.8, "top1") == 0.02


@pytest.mark.parametrize("fp32", [0.0, 1e-9, -5.0])
def test_a_share_of_nothing_asks_for_an_absolute_tolerance(fp32):
    with pytest.raises(UsageError, match="give an absolute tolerance"):
        Tolerance.parse("1%").slack(fp32, "top1")
    assert Tolerance.parse("0.1 absolute").slack(fp32, "top1") == 0.1


def test_preprocessing_is_part_of_the_job(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("preprocessing:\n  mean: [0.5, 0.4, 0.3]\n  std: 0.2\n")
    job = QuantizeJob.from_yaml(file)
    assert job.preprocessing.mean == (0.5, 0.4, 0.3)
    assert job.preprocessing.std == (0.2,)
    file.write_text(job.to_yaml())
    assert QuantizeJob.from_yaml(file) == job


def test_a_wrong_preprocessing_option_is_named():
    with pytest.raises(UsageError, match="unknown option 'means'; did you mean 'mean'"):
        QuantizeJob(preprocessing={"means": [0.5]})
