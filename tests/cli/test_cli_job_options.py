"""The flags of `quantize` and `benchmark` reach the job and the options they are for."""

import pytest

from octavo.commands.options import shapes_of


class Seen(Exception):
    """Carries what a command asked for."""


@pytest.fixture
def asked(octavo, monkeypatch):
    """Run a command up to the function of the API that it calls; return what it was given."""

    def run(function, *arguments):
        found = []

        def instead(*given, **options):
            found.append((given, options))
            raise Seen

        monkeypatch.setattr(f"octavo.api.{function}", instead)
        octavo(*arguments, "--debug")
        return found[0]

    return run


@pytest.fixture
def job(asked):
    return lambda *flags: asked("run_job", "quantize", "m.onnx", "-o", "out", *flags)[0][0]


def test_preprocessing_flags(job):
    flags = ("--size", "64", "--layout", "nchw", "--interpolation", "bicubic", "--mean", "0.5,0,1")
    given = job(*flags).preprocessing
    assert (given.size, given.layout) == ((64, 64), "NCHW")
    assert (given.interpolation, given.mean) == ("bicubic", (0.5, 0, 1))


@pytest.mark.parametrize("size", ["64x48", "64,48"])
def test_a_size_of_two_sides(job, size):
    assert job("--size", size).preprocessing.size == (64, 48)


def test_corrections_reach_the_job(job):
    assert job().correct == "auto"
    assert job("--correct", "none").correct == "none"
    assert job("--correct", "round,equalize").correct == ("equalize", "round")


def test_shapes_reach_the_job(job):
    flags = ("--shape", "image=1x3x224x224", "--shape", "ids=1x128")
    assert job(*flags).shapes == {"image": (1, 3, 224, 224), "ids": (1, 128)}
    assert job().shapes == {}


def test_shapes_reach_the_benchmark(asked):
    _, options = asked("benchmark", "benchmark", "m.onnx", "--shape", "image=1x3x8x8")
    assert options["shapes"] == {"image": [(1, 3, 8, 8)]}


def test_several_shapes_of_an_input_reach_the_benchmark(asked):
    flags = [part for length in (8, 16) for part in ("--shape", f"ids=1x{length}")]
    _, options = asked("benchmark", "benchmark", "m.onnx", *flags)
    assert options["shapes"] == {"ids": [(1, 8), (1, 16)]}


def test_the_instances_and_their_limits_reach_the_benchmark(asked):
    flags = ("--instances", "auto", "--cores-per-instance", "2", "--batch-size", "1,8")
    _, options = asked("benchmark", "benchmark", "m.onnx", *flags, "--p99", "20ms")
    assert (options["instances"], options["threads"]) == ("auto", 2)
    assert (options["batch_size"], options["p99"], options["sweep"]) == ("1,8", "20ms", False)
    assert asked("benchmark", "benchmark", "m.onnx", "--sweep")[1]["sweep"] is True


def test_a_name_with_an_equals_sign_keeps_it():
    assert shapes_of(["a=b=1x2"]) == {"a=b": (1, 2)}
