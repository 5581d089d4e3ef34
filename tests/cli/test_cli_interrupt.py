"""Ctrl-C at any moment: exit code 130, no traceback, nothing half-written, no process left."""

import signal
import subprocess
import sys

import psutil
import pytest

from octavo.errors import ExitCode


def start(place, output):
    command = [sys.executable, "-m", "octavo.cli", "quantize", "net.onnx", "-o", str(output)]
    command += ["--calibration", "cal.npz", "--evaluation", "labels.npz", "--seconds", "60"]
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def read_until(process, text):
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended before it said {text!r}")


def started_workers(process):
    """Wait until both models run in processes of their own."""
    while process.poll() is None:
        workers = psutil.Process(process.pid).children(recursive=True)
        if len(workers) >= 2:
            return workers
    raise AssertionError("it ended before it measured")


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("about", signal.SIGINT),
        ("evaluating FP32", signal.SIGINT),
        ("calibrating", signal.SIGINT),
        ("measuring", signal.SIGINT),
        ("measuring", signal.SIGTERM),
    ],
)
def test_an_interrupted_run_leaves_nothing_but_its_trials(place, tmp_path, moment, number):
    process = start(place, tmp_path / "out")
    read_until(process, moment)
    workers = started_workers(process) if moment == "measuring" else []
    process.send_signal(number)
    err = process.stderr.read()
    assert process.wait(60) == ExitCode.INTERRUPTED
    assert err.splitlines()[-1] == "error: interrupted; nothing half-written was left"
    assert "Traceback" not in err
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == (["study.journal"] if moment == "measuring" else [])
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


def test_an_interrupted_run_leaves_the_artifact_that_was_there(place, artifact):
    folder, _ = artifact
    before = (folder / "manifest.json").read_bytes()
    process = start(place, folder)
    read_until(process, "measuring")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == ExitCode.INTERRUPTED
    assert (folder / "manifest.json").read_bytes() == before
    assert [path.name for path in place.iterdir() if "octavo-" in path.name] == []


def test_an_interrupt_inside_a_destructor_is_not_lost():
    script = (
        "import signal, sys, time\n"
        "from octavo import cli\n"
        "class Bad:\n"
        "    def __del__(self): raise KeyboardInterrupt\n"
        "def wait(arguments):\n"
        "    Bad()\n"
        "    time.sleep(30)\n"
        "cli._run = wait\n"
        "sys.exit(cli.main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == ExitCode.INTERRUPTED
    assert done.stderr == "error: interrupted; nothing half-written was left\n"
