"""Observing: `observe`."""

from __future__ import annotations

import pytest

from octavo.errors import ModelError
from octavo.testing.case import Case, Recorder, close


class ObserveContract:
    """An observer sees every value of the tensors it wants, however the samples are batched."""

    def test_observer_sees_the_values_of_every_tensor(self, case: Case) -> None:
        """Inputs, inner tensors and outputs are shown with the values of the network."""
        for name, expected in case.expected.items():
            assert name in case.floats, f"tensor {name!r} was not shown"
            assert close(case.floats[name], expected), f"values of {name!r} are wrong"

    def test_described_shapes_are_the_real_ones(self, case: Case) -> None:
        """`Tensor.shape` and `Tensor.dtype` are those of the values, for one sample."""
        for name, values in case.floats.items():
            tensor = case.graph.tensors[name]
            assert tensor.dtype == str(values.dtype), f"dtype of {name!r}"
            real = (1, *values.shape[1:])  # the target leaves the number of samples free
            for told, size in zip(tensor.shape or real, real, strict=True):
                assert told in (None, size), f"shape of {name!r} is {tensor.shape}, not {real}"

    def test_observer_is_updated_once_per_batch(self, case: Case) -> None:
        """Every tensor is shown once for every batch."""
        recorder = Recorder(case.graph.tensors)
        case.backend.observe(case.model, case.batches(4), recorder, case.target)
        counts = {name: len(arrays) for name, arrays in recorder.arrays.items()}
        assert counts == dict.fromkeys(case.graph.tensors, 2)

    def test_observer_gets_only_what_it_wants(self, case: Case) -> None:
        """Tensors that were not asked for are not shown."""
        wanted = case.graph.groups[0].outputs
        assert set(case.watch(case.model, wanted)) == set(wanted)

    def test_statistics_do_not_depend_on_batches(self, case: Case) -> None:
        """The values of a sample are the same in any batch, none is left out or added."""
        for size in (1, 3):
            parts = case.watch(case.model, case.graph.tensors, case.batches(size))
            for name, values in case.floats.items():
                assert close(parts[name], values), f"{name!r} differs in batches of {size}"

    def test_unknown_tensor_is_refused(self, case: Case) -> None:
        """A tensor that the model does not have is an error that names it."""
        with pytest.raises(ModelError, match="no-such-tensor"):
            case.watch(case.model, ["no-such-tensor"])
