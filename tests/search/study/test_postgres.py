"""A study in a real PostgreSQL server, which each test starts for itself."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from test_study import kill_often, reopen, spawn
from writer import KEY, plan, run

from octavo.search.study import open_study

pytestmark = pytest.mark.slow
PROGRAMS = ("initdb", "pg_ctl", "postgres")


def as_other_user(command):
    """Return a command as PostgreSQL accepts it, which refuses to be run by root."""
    if os.getuid() != 0:
        return command
    user = pwd.getpwnam("nobody")
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, *command]


@pytest.fixture(scope="module")
def server():
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or (os.getuid() == 0 and shutil.which("setpriv") is None):
        pytest.skip(f"no PostgreSQL server can be started: {missing or 'root without setpriv'}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # not tmp_path, whose parents another user may not enter
    folder = Path(tempfile.mkdtemp(prefix="octavo-postgres-", dir="/tmp"))
    folder.chmod(0o777)
    data = str(folder / "data")
    call(["initdb", "-D", data, "-U", "octavo", "-A", "trust"], folder)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    log = str(folder / "log")
    call(["pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start"], folder)
    yield f"postgresql://octavo@127.0.0.1:{port}/postgres"
    call(["pg_ctl", "-D", data, "-m", "immediate", "stop"], folder)
    shutil.rmtree(folder, ignore_errors=True)


def call(command, folder):
    done = subprocess.run(
        as_other_user(command), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert done.returncode == 0, done.stderr.decode()


def test_trials_and_stages_come_back(server):
    with open_study(server, KEY, name="round trip") as study:
        study.start("one", plan(3), seed=1).finish({"loss": float("inf"), "seconds": 1.5})
        study.note("prices", list(range(20000)))
    with open_study(server, KEY, name="round trip", resume=True) as study:
        (record,) = study.completed()
        assert (record.plan, record.measurements["loss"]) == (plan(3), float("inf"))
        assert study.noted("prices") == list(range(20000))


def test_killed_runs_lose_nothing_that_was_finished(server):
    open_study(server, KEY).close()
    kill_often(server, rounds=15, count=40, seed=2)


def test_two_processes_share_it(server):
    run(server, 0, resume=False)
    children = [spawn(server, 12, prefix) for prefix in ("1", "2")]
    for child in children:
        child.communicate()
        assert child.returncode == 0
    with reopen(server) as study:
        assert len({record.name for record in study.completed()}) == 24
