import pytest

from octavo.errors import UsageError
from octavo.model import TensorSpec
from octavo.workflow.benchmark import BenchmarkOptions, _batch
from octavo.workflow.drawn import draw

TOKENS = (TensorSpec("ids", "int64", ("N", None)),)


def test_an_unnamed_free_dimension_has_its_number():
    message = r"free dimensions number 1; give data, or their sizes with --shape ids=1x128"
    with pytest.raises(UsageError, match=message):
        draw(TOKENS, 4, 0, {})


def test_a_free_batch_needs_no_shape():
    data = draw((TensorSpec("x", "float32", ("N", 4)),), 3, 0, {})
    assert next(data.batches(3)).inputs["x"].shape == (3, 4)


def test_a_benchmark_takes_shapes():
    assert _batch(TOKENS, BenchmarkOptions(), {"ids": (1, 7)}, 2)["ids"].shape == (2, 7)


def test_a_benchmark_of_a_free_size_without_shapes_is_refused():
    with pytest.raises(UsageError, match="has free dimensions"):
        _batch(TOKENS, BenchmarkOptions(), {}, 1)


def test_a_benchmark_refuses_shapes_beside_data():
    with pytest.raises(UsageError, match="shapes are for random data"):
        _batch(TOKENS, BenchmarkOptions(data="ids.npy"), {"ids": (1, 7)}, 1)
