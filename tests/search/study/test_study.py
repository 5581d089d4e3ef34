import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from writer import CHOICES, INT8, KEY, plan, run

from octavo.errors import UsageError
from octavo.plan import Plan, Recipe
from octavo.search.study import StudyKey, open_study

WRITER = Path(__file__).with_name("writer.py")


def spawn(place, count, *prefix):
    command = [sys.executable, str(WRITER), str(place), str(count), *prefix]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def reopen(place, **options):
    return open_study(place, KEY, resume=True, choices=CHOICES, **options)


@pytest.fixture(params=["folder", "sqlite"])
def place(request, tmp_path):
    return tmp_path if request.param == "folder" else f"sqlite:///{tmp_path}/study.db"


def test_a_trial_comes_back_as_it_was(place):
    tried = Plan({"g0": INT8}, Recipe("mse", 99.0, ("bias",)))
    with open_study(place, KEY, choices=CHOICES) as study:
        study.start("first", tried, seed=7).finish({"loss": np.float32(0.5), "seconds": 2})
        study.start("second", plan(1)).fail("no kernel")
    with reopen(place) as study:
        first, second = study.records()
        assert study.resumed and study.completed() == (first,)
        assert (first.name, first.plan, first.seed) == ("first", tried, 7)
        assert first.measurements == {"loss": 0.5, "seconds": 2}
        assert 0 <= first.seconds < 60
        assert (second.state, second.reason) == ("failed", "no kernel")
        assert study.find(tried) == first and study.find(plan(1)) == second
        assert study.find(plan(2)) is None


def test_the_trial_of_a_plan_that_began_last_is_found(place):
    with open_study(place, KEY, choices=CHOICES) as study:
        first, lost, last = (study.start(name, plan(1)) for name in ("first", "lost", "last"))
        assert study.find(plan(1)) is None
        last.finish({"loss": 3})
        assert study.find(plan(1)).name == "last"
        first.finish({"loss": 1})  # it ends later, and began before
        lost.lose()
        assert study.find(plan(1)).name == "last"
        study.start("again", plan(1)).fail("no memory")
        assert study.find(plan(1)).reason == "no memory"


def test_a_trial_that_ended_is_read_once_however_often_plans_are_looked_for(place, monkeypatch):
    read = []
    original = Plan.from_json.__func__
    monkeypatch.setattr(
        Plan, "from_json", classmethod(lambda c, d: read.append(d) or original(c, d))
    )
    with open_study(place, KEY, choices=CHOICES) as study:
        for number in range(6):
            study.start(str(number), plan(number)).finish({})
            assert [study.find(plan(one)).name for one in range(number + 1)] == [
                str(one) for one in range(number + 1)
            ]
    assert len(read) == 6


def test_stages_come_back_big_ones_from_a_file(place):
    payload = {"prices": np.arange(9000) / 7, "names": ("a", "b")}
    with open_study(place, KEY) as study:
        study.note("prices", payload)
        study.note("small", {"x": [1, 2.5, None]})
    with reopen(place) as study:
        assert study.noted("prices") == {
            "prices": payload["prices"].tolist(),
            "names": ["a", "b"],
        }
        assert study.noted("small") == {"x": [1, 2.5, None]}
        assert study.noted("other") is None


def test_a_long_name_of_a_stage_names_a_file(tmp_path):
    stage, payload = "all samples: " + "group " * 200, list(range(20000))
    with open_study(tmp_path, KEY) as study:
        study.note(stage, payload)
        assert study.noted(stage) == payload
        assert study.noted(stage + "x") is None


def test_a_changed_file_of_a_stage_is_not_used(tmp_path):
    with open_study(tmp_path, KEY) as study:
        study.note("prices", list(range(20000)))
        (file,) = tmp_path.glob("prices-*.json")
        file.write_text(file.read_text().replace("1", "2", 1))
        assert study.noted("prices") is None


def test_another_key_is_refused_with_the_parts_that_differ(place):
    was = StudyKey.of(model="a" * 64, CPU="Zen 4", configuration={"tolerance": "1%", "seed": 0})
    now = StudyKey.of(model="b" * 64, CPU="Zen 4", configuration={"tolerance": "2%", "seed": 0})
    open_study(place, was).close()
    with pytest.raises(UsageError) as caught:
        open_study(place, now, resume=True)
    assert "model (was aaaaaaaaaaaa..., is bbbbbbbbbbbb...)" in str(caught.value)
    assert "configuration: tolerance (was '1%', is '2%')" in str(caught.value)
    assert "CPU" not in str(caught.value) and "seed" not in str(caught.value)
    open_study(place, was, resume=True).close()  # nothing is left locked


def test_without_resume_a_new_study_begins_and_the_old_one_is_kept(place):
    run(place, 3, resume=False)
    with open_study(place, KEY) as study:
        assert study.records() == () and not study.resumed
    with reopen(place) as study:
        assert study.records() == ()  # the newest
        assert sorted(study._store.studies()) == ["octavo", "octavo 2"]


def test_a_running_trial_of_a_killed_run_is_lost_alone(place):
    command = f"import os; from writer import *; s = open_study({str(place)!r}, KEY)"
    command += "; s.start('a', plan(1)).finish({}); s.start('b', plan(2)); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", command], cwd=WRITER.parent)
    assert done.returncode == -signal.SIGKILL
    with reopen(place) as study:
        assert [record.state for record in study.records()] == ["finished", "lost"]
        assert study.find(plan(2)) is None


def test_runs_killed_at_random_moments_lose_nothing_that_was_finished(tmp_path):
    kill_often(tmp_path, rounds=8, count=64, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rounds"), [("folder", 60), ("sqlite", 20)])
def test_many_kills(tmp_path, kind, rounds):
    place = tmp_path if kind == "folder" else f"sqlite:///{tmp_path}/study.db"
    kill_often(place, rounds=rounds, count=64, seed=1)


def kill_often(place, rounds, count, seed):
    draw, done = random.Random(seed), []
    for _ in range(rounds):
        child = spawn(place, count)
        child.stdout.readline()  # it is open
        for _ in range(draw.randrange(6)):
            child.stdout.readline()
        # anywhere inside the next trials, in the middle of a write too
        try:
            child.wait(draw.random() * 0.01)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with reopen(place) as study:
            finished = [int(record.name) for record in study.completed()]
            assert finished[: len(done)] == done
            assert sum(record.state == "running" for record in study.records()) == 0
            done = finished
    run(place, count, resume=True)
    with reopen(place) as study:
        assert [int(record.name) for record in study.completed()] == list(range(count))
        lost = [record for record in study.records() if record.state == "lost"]
        assert len(lost) <= rounds


def test_a_journal_cut_anywhere_in_its_last_record_opens(tmp_path):
    run(tmp_path, 2, resume=False)
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole) + 1):
        journal.write_bytes(whole[:end])
        with reopen(tmp_path) as study:
            finished = len(study.completed())
            assert finished == (2 if end >= len(whole) - 1 else 1)
            study.start("next", plan(5)).finish({})
        with reopen(tmp_path) as study:
            assert len(study.completed()) == finished + 1


def test_damage_in_the_middle_is_refused_and_kept_aside(tmp_path):
    run(tmp_path, 2, resume=False)
    journal = tmp_path / "study.journal"
    damaged = journal.read_bytes().replace(b"{", b"?", 1)
    journal.write_bytes(damaged)
    with pytest.raises(UsageError, match=r"line 1 of .* cannot be read"):
        reopen(tmp_path)
    run(tmp_path, 1, resume=False)
    assert (tmp_path / "study.journal.damaged-1").read_bytes() == damaged


def test_a_lock_that_optuna_would_wait_for_does_not_block(tmp_path):
    (tmp_path / "study.journal.lock").symlink_to("study.journal")
    run(tmp_path, 1, resume=False)
    with reopen(tmp_path) as study:
        assert len(study.completed()) == 1


def test_a_folder_is_of_one_run_at_a_time(tmp_path):
    with open_study(tmp_path, KEY), pytest.raises(UsageError, match="in use by another run"):
        reopen(tmp_path)
    reopen(tmp_path).close()


def test_two_processes_share_a_database(tmp_path):
    place = f"sqlite:///{tmp_path}/study.db"
    open_study(place, KEY).close()
    children = [spawn(place, 12, prefix) for prefix in ("1", "2")]
    for child in children:
        child.communicate()
        assert child.returncode == 0
    with reopen(place) as study:
        names = [record.name for record in study.completed()]
    assert sorted(names) == sorted(f"{p}{i}" for p in "12" for i in range(12))


def test_optuna_itself_reads_parameters_and_objectives(tmp_path):
    import optuna

    run(tmp_path, 3, resume=False)
    path = str(tmp_path / "study.journal")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(path))
    study = optuna.load_study(study_name="octavo", storage=storage)
    assert study.metric_names == ["seconds", "loss"]
    assert study.trials[1].values == [0.1, 1.0]
    assert study.trials[1].params["g0"] == "int8 per channel"
    assert study.trials[1].params["g1"] == "fp32"
    assert study.trials[1].params["recipe: ranges"] == "minmax"


def test_optuna_is_imported_only_when_a_study_is_opened():
    code = "import sys, octavo.search.study; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_a_database_that_cannot_be_reached_is_an_error_without_the_password():
    with pytest.raises(UsageError) as caught:
        open_study("postgresql://me:secret@127.0.0.1:1/none", KEY)
    assert "me:***@127.0.0.1:1/none" in str(caught.value)
    assert "secret" not in str(caught.value)
