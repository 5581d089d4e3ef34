"""Prices on disk: what they are kept under, and that nothing on disk can break a run."""

import json
import os
import threading
from dataclasses import replace

import pytest

from octavo.search.price.cache import VERSION, cache_folder, open_cache
from octavo.target import Cpu, Target

CPU = Cpu("a processor", "x86_64", frozenset({"avx2", "avx512_vnni"}), 2)
TARGET = Target(threads=1, cpu=CPU)


def cache(folder, backend="onnxruntime", version="1.22", target=TARGET):
    return open_cache(backend, {"onnxruntime": version}, target, folder)


def test_what_is_stored_is_read_and_added_to(tmp_path):
    cache(tmp_path / "new").store({"a": 1e-3, "b": 2e-3})
    cache(tmp_path / "new").store({"b": 3e-3, "c": 0.0})
    assert cache(tmp_path / "new").read() == {"a": 1e-3, "b": 3e-3, "c": 0.0}
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_nothing_is_read_where_nothing_was_stored(tmp_path):
    assert cache(tmp_path / "absent").read() == {}


@pytest.mark.parametrize(
    "other",
    [
        {"backend": "openvino"},
        {"version": "1.23"},
        {"target": replace(TARGET, threads=2)},
        {"target": replace(TARGET, cpu=replace(CPU, model="another"))},
        {"target": replace(TARGET, cpu=replace(CPU, instructions=frozenset({"avx2"})))},
    ],
    ids=["backend", "version", "threads", "processor", "instructions"],
)
def test_prices_of_another_machine_or_runtime_are_not_taken(tmp_path, other):
    cache(tmp_path).store({"a": 1.0})
    assert cache(tmp_path, **other).read() == {}
    assert cache(tmp_path).read() == {"a": 1.0}


def test_shapes_and_the_order_of_instructions_do_not_matter(tmp_path):
    cache(tmp_path).store({"a": 1.0})
    shaped = replace(TARGET, shapes={"image": (1, 3, 8, 8)})
    assert cache(tmp_path, target=shaped).read() == {"a": 1.0}


def content(one, **changes):
    whole = {"version": VERSION, "key": dict(one.key), "seconds": {"a": 1.0}} | changes
    return json.dumps(whole).encode()


BROKEN = {
    "empty": lambda one: b"",
    "cut off": lambda one: content(one)[:-5],
    "binary": lambda one: b"\xff\xfe\x00",
    "a list": lambda one: b"[]",
    "another version": lambda one: content(one, version=VERSION + 1),
    "another key": lambda one: content(one, key={"backend": "other"}),
    "no prices": lambda one: content(one, seconds=[1.0]),
    "text": lambda one: content(one, seconds={"a": "fast"}),
    "null": lambda one: content(one, seconds={"a": None}),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_a_file_that_cannot_be_used_counts_as_none_and_is_replaced(tmp_path, damage):
    one = cache(tmp_path)
    one.path.write_bytes(BROKEN[damage](one))
    assert one.read() == {}
    one.store({"b": 2.0})
    assert one.read() == {"b": 2.0}


def test_prices_that_cannot_be_are_left_out(tmp_path):
    one = cache(tmp_path)
    values = {"a": 1.0, "b": -1.0, "c": float("nan"), "d": float("inf")}
    one.path.write_bytes(content(one, seconds=values))
    assert one.read() == {"a": 1.0}


def test_writers_at_the_same_time_leave_a_whole_file(tmp_path):
    names = [f"feature {number}" for number in range(200)]

    def write(own):
        for _ in range(20):
            cache(tmp_path).store({f"{own} {name}": 1e-3 for name in names})

    writers = [threading.Thread(target=write, args=(own,)) for own in "abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = cache(tmp_path).read()
        assert not found or len(found) >= len(names)
    found = cache(tmp_path).read()
    assert any(all(f"{own} {name}" in found for name in names) for own in "abc")
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


def test_a_disk_that_takes_nothing_is_no_error_and_keeps_what_was_there(tmp_path, monkeypatch):
    one = cache(tmp_path)
    one.store({"a": 1.0})

    def full(content, file):
        file.write('{"version"')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("octavo.search.price.cache.json.dump", full)
    one.store({"b": 2.0})
    assert one.read() == {"a": 1.0}
    assert list(tmp_path.iterdir()) == [one.path]


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    one = cache(tmp_path / "file" / "prices")
    one.store({"a": 1.0})
    assert one.read() == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders too")
def test_a_read_only_folder_is_read_and_left_alone(tmp_path):
    cache(tmp_path).store({"a": 1.0})
    tmp_path.chmod(0o500)
    cache(tmp_path).store({"b": 1.0})
    assert cache(tmp_path).read() == {"a": 1.0}
    tmp_path.chmod(0o700)


def test_the_users_cache_lies_where_the_specification_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "octavo"
    assert cache(None).path.parent == tmp_path / "octavo" / "prices"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "octavo"
