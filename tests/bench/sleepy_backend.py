"""A backend whose model does what `behaviour.json` in its folder says."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from octavo.bench.process import ModelRef
from octavo.errors import DataError, ModelError


class SleepySession:
    """Sleeps for a known time in every call, or misbehaves."""

    def __init__(self, behaviour, threads):
        self.behaviour = behaviour
        self.threads = threads
        self.calls = 0
        (core, *_) = sorted(os.sched_getaffinity(0))
        self.sleep_here = behaviour.get("sleep_by_core", {}).get(str(core), 0.0)
        self.bad_here = core in behaviour.get("bad_cores", [core])

    def run(self, batch):
        self.calls += 1
        time.sleep(self.behaviour.get("sleep", self.sleep_here))
        if self.calls > self.behaviour.get("good_calls", sys.maxsize) and self.bad_here:
            self.misbehave()
        return {"y": batch["x"]}

    def misbehave(self):
        kind = self.behaviour["then"]
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "exit":
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(7)
        if kind == "hang":
            threading.Event().wait()
        if kind == "refuse":
            raise DataError("input 'x' has a wrong shape")
        raise ValueError("kernel\nfailed")


class SleepyBackend:
    name = "sleepy"

    def restore(self, folder, *, trust=False):
        behaviour = json.loads((folder / "behaviour.json").read_text())
        if "broken" in behaviour:
            raise ModelError(behaviour["broken"])
        if behaviour.get("asks_trust") and not trust:
            raise ModelError("no trust")
        if "noise" in behaviour:
            print(behaviour["noise"], flush=True)
            os.write(1, behaviour["noise"].encode())
            assert sys.stdin.read() == ""
        if "facts" in behaviour:
            facts = {
                "threads": os.environ["OMP_NUM_THREADS"],
                "cores": sorted(os.sched_getaffinity(0)),
                "allowed": Path("/proc/self/status").read_text(),
            }
            Path(behaviour["facts"]).write_text(json.dumps(facts))
        return behaviour

    def open(self, model, target):
        if "escape" in model:
            escaped = threading.Event()

            def wander():
                os.sched_setaffinity(0, model["escape"])
                escaped.set()
                threading.Event().wait()

            threading.Thread(target=wander, daemon=True).start()
            escaped.wait()
        return SleepySession(model, target.threads)


def backend():
    return SleepyBackend()


def sleepy(folder, label="sleepy", trust=False, **behaviour):
    """Write a model that behaves so, and return the reference to it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "behaviour.json").write_text(json.dumps(behaviour))
    return ModelRef("sleepy", folder, label, trust=trust, imports=("sleepy_entry",))


BATCH = {"x": np.zeros((2, 3), np.float32)}
