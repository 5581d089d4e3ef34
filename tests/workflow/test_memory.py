"""A study beside the artifact: what a run found is not found again, and only by the same job."""

import json
import warnings

import numpy as np
import pytest

import octavo
from octavo.backends.reference import ReferenceBackend
from octavo.bench import Measurement, PairResult
from octavo.bench.noise import Noise
from octavo.bench.stats import Latency
from octavo.errors import UsageError
from octavo.target import Target
from octavo.testing.networks import convnet
from octavo.workflow import judge as judge_module
from octavo.workflow import measure, quantize, scoring


@pytest.fixture(autouse=True)
def backend(monkeypatch):
    """The reference backend, with INT8 measured twice as fast whatever the load."""
    fp32, int8 = (
        Measurement(label, speed, Latency(1, 1, 1), 1, 1.0, (0,))
        for label, speed in (("FP32", 100.0), ("INT8", 200.0))
    )
    pair = PairResult(fp32, int8, 2.0, (1.9, 2.1), 4, 1.0, 1, 1, Noise(0.0, 0.0, 0.0, None))
    monkeypatch.setattr(measure, "measure_pair", lambda *arguments, **options: pair)
    monkeypatch.setattr(quantize, "find_backend", lambda *_: ReferenceBackend())


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    calibration = random.standard_normal((16, 3, 12, 12)).astype(np.float32)
    evaluation = random.standard_normal((200, 3, 12, 12)).astype(np.float32)
    backend = ReferenceBackend()
    session = backend.open(backend.load(convnet()), Target())
    labels = next(iter(session.run({"image": evaluation}).values())).argmax(1)
    return {"calibration": [calibration], "evaluation": [(evaluation, labels)]}


def run(data, output, **options):
    options = {"seconds": 0.2, "tolerance": "10%", "correct": "none", "metric": "top1"} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return octavo.quantize(convnet(), output=output, **data, **options)


def test_the_trials_of_a_run_are_beside_its_artifact(data, tmp_path):
    result = run(data, tmp_path / "out")
    journal = tmp_path / "out" / "study" / "study.journal"
    assert journal.is_file()
    assert all(json.loads(line) for line in journal.read_text().splitlines())
    assert "study" not in json.loads((result.folder / "manifest.json").read_text())["files"]


def test_a_second_run_begins_a_new_study_and_keeps_the_old_one(data, tmp_path):
    run(data, tmp_path / "out")
    before = (tmp_path / "out" / "study" / "study.journal").read_text()
    run(data, tmp_path / "out")
    after = (tmp_path / "out" / "study" / "study.journal").read_text()
    assert after.startswith(before)
    assert len(after) > len(before)


def test_a_finished_run_resumes_without_judging_anything_again(data, tmp_path, monkeypatch):
    judged = []
    real = scoring.pick

    def pick(dataset, indices, batch_size):
        judged.extend(indices)
        return real(dataset, indices, batch_size)

    monkeypatch.setattr(scoring, "pick", pick)
    first = run(data, tmp_path / "out")
    assert len(judged) == 200 * first.to_json()["evaluations"] >= 200
    del judged[:]
    again = run(data, tmp_path / "out", resume=True)
    assert judged == []
    for key in ("accuracy", "evaluations", "throughput", "groups", "trials", "saved"):
        assert again.to_json()[key] == first.to_json()[key], key


def test_an_interrupted_trial_alone_is_lost(data, tmp_path, monkeypatch):
    """The second plan is interrupted while it is evaluated; the first is not judged again."""
    judged = []
    real = judge_module.Judge.examine

    def examine(self, model, name, known=None):
        judged.append((name, bool(known)))
        if len(judged) == 2:
            raise KeyboardInterrupt
        return real(self, model, name, known)

    monkeypatch.setattr(judge_module.Judge, "examine", examine)
    options = {"strategy": "random", "max_evaluations": 2.0, "tolerance": "0.0001 absolute"}
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()
    run(data, tmp_path / "out", resume=True, **options)
    assert judged[0] == ("random 1", False)
    assert judged[2] == ("random 1", True)
    assert judged[3] == ("random 2", False)


def test_a_run_that_ends_before_its_first_trial_leaves_nothing(data, tmp_path):
    def broken(predict):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run({"calibration": data["calibration"]}, tmp_path / "out", evaluate=broken, metric=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tolerance": "5%"}, "configuration: tolerance"),
        ({"seed": 1}, "configuration: seed"),
        ({"calibration": [np.ones((8, 3, 12, 12), np.float32)]}, "data: calibration"),
    ],
)
def test_a_study_of_another_job_is_refused_with_the_reason(data, tmp_path, change, named):
    run(data, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    given = {name: change.pop(name) for name in list(change) if name == "calibration"}
    with pytest.raises(UsageError, match=named):
        run(data | given, tmp_path / "out", resume=True, **change)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_other_labels_are_another_job(data, tmp_path):
    run(data, tmp_path / "out")
    images, labels = data["evaluation"][0]
    changed = data | {"evaluation": [(images, (labels + (np.arange(200) == 7)) % 3)]}
    with pytest.raises(UsageError, match="data: evaluation"):
        run(changed, tmp_path / "out", resume=True)


def test_more_time_and_more_evaluations_are_the_same_job(data, tmp_path):
    run(data, tmp_path / "out", max_evaluations=1, timeout="1h", seconds=0.2)
    run(data, tmp_path / "out", max_evaluations=5, timeout=7200, seconds=0.3, resume=True)


def test_a_study_can_lie_elsewhere(data, tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    first = run(data, None, study=url)
    again = run(data, None, study=url, resume=True)
    assert again.accuracy == first.accuracy
    assert not (tmp_path / "study").exists()


def test_there_is_nothing_to_resume_without_a_place(data):
    with pytest.raises(UsageError, match="no study to resume"):
        run(data, None, resume=True)


def test_another_run_in_the_same_folder_is_refused(data, tmp_path):
    from octavo.search.study import StudyKey, open_study

    folder = tmp_path / "out" / "study"
    folder.mkdir(parents=True)
    with (
        open_study(folder, StudyKey({})),
        pytest.raises(UsageError, match="in use by another run"),
    ):
        run(data, tmp_path / "out")


def test_a_plan_without_a_score_is_kept_as_what_it_is(data, tmp_path):
    """FP32 scores 1, every INT8 model NaN; the second run asks for FP32 alone."""
    asked = []

    def score(predict):
        asked.append(predict)
        return 1.0 if len(asked) == 1 else float("nan")

    given = {"calibration": data["calibration"]}
    first = run(given, tmp_path / "out", evaluate=score, metric=None, ranges="minmax")
    assert first.exit_code == 3
    del asked[:]
    again = run(given, tmp_path / "out", evaluate=score, metric=None, ranges="minmax", resume=True)
    assert len(asked) == 1
    assert again.to_json()["accuracy"] == first.to_json()["accuracy"]


def test_a_run_that_begins_no_trial_leaves_the_study_as_it_was(data, tmp_path):
    def broken(predict):
        raise UsageError("it cannot be judged")

    run(data, tmp_path / "out")
    journal = tmp_path / "out" / "study" / "study.journal"
    before = journal.read_bytes()
    with pytest.raises(UsageError, match="cannot be judged"):
        run({"calibration": data["calibration"]}, tmp_path / "out", evaluate=broken, metric=None)
    assert journal.read_bytes() == before
