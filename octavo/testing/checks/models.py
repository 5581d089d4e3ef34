"""Models as values: `weights`, `edit`, `save`, `restore`, `baselines`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from octavo.arrays import Array
from octavo.backends.base import Edit
from octavo.errors import ModelError
from octavo.model import Model
from octavo.testing.case import Case, close
from octavo.testing.simulation import sqnr


class ModelContract:
    """Constants can be read and replaced, files come back as they were, nothing changes by use."""

    def test_weights_are_those_of_the_network(self, case: Case) -> None:
        """`weights` returns every constant of the network, by the names in `Op.weights`."""
        found = np.concatenate([array.ravel() for array in _weights(case, case.model).values()])
        given = np.concatenate([array.ravel() for array in case.network.weights.values()])
        assert np.array_equal(np.sort(found), np.sort(given))

    def test_unknown_weight_is_refused(self, case: Case) -> None:
        """A name that is not that of a constant is an error that names it."""
        with pytest.raises(ModelError, match="no-such-weight"):
            case.backend.weights(case.model, ["no-such-weight"])

    def test_returned_weights_are_copies(self, case: Case) -> None:
        """Writing into a returned array does not change the model."""
        for array in _weights(case, case.model).values():
            if array.flags.writeable:
                array[...] = 0
        assert np.array_equal(case.output(case.model), case.float_output)

    def test_edit_changes_one_weight_and_nothing_else(self, case: Case) -> None:
        """An edit replaces its constant, which then counts in the output, and no other."""
        before = _weights(case, case.model)
        for name, value in before.items():
            edited = case.backend.edit(case.model, [Edit(name, value * 2)])
            expected = before | {name: value * 2}
            after = _weights(case, edited)
            assert all(np.array_equal(after[key], expected[key]) for key in expected), name
            assert not close(case.output(edited), case.float_output), f"{name!r} has no effect"

    def test_edit_keeps_the_structure(self, case: Case) -> None:
        """An edited model has the same graph, but for the fingerprint."""
        name, value = next(iter(_weights(case, case.model).items()))
        graph = case.describe(case.backend.edit(case.model, [Edit(name, value * 2)]))
        assert graph.fingerprint != case.graph.fingerprint
        assert replace(graph, fingerprint=case.graph.fingerprint) == case.graph

    def test_edited_model_can_be_built(self, case: Case) -> None:
        """`build` quantizes the edited weights."""
        name, value = next(iter(_weights(case, case.model).items()))
        edited = case.backend.edit(case.model, [Edit(name, value * 2)])
        built = case.backend.build(edited, case.plan, case.ranges, case.target)
        assert not close(case.output(built), case.output(case.built))

    def test_edit_refuses_what_does_not_fit(self, case: Case) -> None:
        """Another shape, another dtype or an unknown constant is an error that names it."""
        name, value = next(iter(_weights(case, case.model).items()))
        wrong = (
            Edit(name, value[..., :1][:1]),
            Edit(name, value.astype(np.float64)),
            Edit("no-such-weight", value),
        )
        for edit in wrong:
            with pytest.raises(ModelError, match=edit.weight):
                case.backend.edit(case.model, [edit])

    def test_saved_models_come_back(self, case: Case) -> None:
        """A saved model, float or built, computes bit for bit the same when it is restored."""
        for model in (case.model, case.built):
            with TemporaryDirectory() as folder:
                case.backend.save(model, Path(folder))
                restored = case.backend.restore(Path(folder))
                assert (restored.inputs, restored.outputs) == (model.inputs, model.outputs)
                assert np.array_equal(case.output(restored), case.output(model))

    def test_saved_float_model_keeps_its_graph(self, case: Case) -> None:
        """A restored float model has the same names, groups and fingerprint."""
        with TemporaryDirectory() as folder:
            case.backend.save(case.model, Path(folder))
            assert case.describe(case.backend.restore(Path(folder))) == case.graph

    def test_empty_folder_is_refused(self, case: Case) -> None:
        """Restoring from a folder without a model is an error."""
        with TemporaryDirectory() as folder, pytest.raises(ModelError):
            case.backend.restore(Path(folder))

    def test_default_baseline_is_the_float_model(self, case: Case) -> None:
        """Every baseline computes what the float model does, and there is a default one."""
        for name, model in case.backend.baselines(case.model, case.target).items():
            output = case.output(model)
            least, quality = case.tolerances.baseline, sqnr(output, case.float_output)
            same = close(output, case.float_output) or quality > least
            assert same, f"baseline {name!r}: {quality:.0f} dB"
        assert "default" in case.backend.baselines(case.model, case.target)

    def test_given_model_is_never_modified(self, case: Case) -> None:
        """No method changes the model it is given."""
        model = case.load(case.network)
        weights = _weights(case, model)
        _use(case, model, weights)
        assert case.describe(model) == case.graph
        after = _weights(case, model)
        assert all(np.array_equal(after[name], weights[name]) for name in weights)
        assert np.array_equal(case.output(model), case.float_output)


def _weights(case: Case, model: Model) -> dict[str, Array]:
    names = dict.fromkeys(name for op in case.graph.ops for name in op.weights)
    return case.backend.weights(model, names)


def _use(case: Case, model: Model, weights: dict[str, Array]) -> None:
    """Do everything with a model that could leave traces in it."""
    backend, target = case.backend, case.target
    built = backend.build(model, case.plan, case.ranges, target)
    backend.reference(model, case.plan, case.ranges, target)
    backend.edit(model, [Edit(name, value * 2) for name, value in weights.items()])
    backend.audit(model, case.plan, built, case.batch, target)
    backend.profile(model, built, case.batch, target)
    backend.baselines(model, target)
    case.watch(model, case.graph.tensors)
    with TemporaryDirectory() as folder:
        backend.save(model, Path(folder))
