import numpy as np
import onnx_ir as ir
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper
from onnx_case import BACKEND, TARGET, images, planned_case, rows, run, words

from octavo.backends.base import Edit
from octavo.backends.onnxruntime.load import native
from octavo.errors import DataError, ModelError
from octavo.plan import Plan
from octavo.target import Target


@pytest.fixture(scope="module")
def model():
    return BACKEND.load(convnet())


def refusal(model, batch):
    with pytest.raises(DataError) as caught:
        run(model, batch)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_unknown_input_names_the_nearest_one(model):
    message = refusal(model, {"images": images(1, 3, 16)["image"]})

    assert "no input 'images'" in message
    assert "did you mean 'image'" in message


def test_a_missing_input_is_named_with_its_form(model):
    assert "image: float32[batch, 3, 16, 16]" in refusal(model, {})


def test_a_wrong_dtype_is_named(model):
    batch = {"image": images(1, 3, 16)["image"].astype(np.float64)}

    assert "float64" in refusal(model, batch)


@pytest.mark.parametrize("shape", [(1, 3, 16, 17), (3, 16, 16), (1, 1, 3, 16, 16)])
def test_a_wrong_shape_is_named(model, shape):
    batch = {"image": np.zeros(shape, np.float32)}

    assert str(list(shape)) in refusal(model, batch)


def test_a_value_that_the_model_cannot_take_is_an_error_of_the_data():
    message = refusal(BACKEND.load(transformer()), {"ids": np.full((1, 8), 5000)})

    assert "embedding" in message


def test_every_output_is_returned_by_name():
    b = Builder()
    hidden = b.gemm("rows", "hidden", 16, 8)
    model = BACKEND.load(b.ending(b.node("Tanh", [hidden], "tanh"), hidden, rows=["batch", 16]))

    found = run(model, rows())

    np.testing.assert_allclose(found["tanh_out"], np.tanh(found["hidden_out"]), rtol=1e-5)


def test_an_operator_that_onnx_runtime_lacks_is_an_error_of_the_model():
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Mystery", ["x"], ["y"], domain="unheard.of")], "g", ends[:1], ends[1:]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("unheard.of", 1)]
    model = BACKEND.load(helper.make_model(graph, opset_imports=opsets))

    with pytest.raises(ModelError, match="Mystery"):
        BACKEND.open(model, TARGET)


def test_the_runtime_gets_the_threads_of_the_target(model):
    session = BACKEND.open(model, Target(threads=2))

    assert session._session.get_session_options().intra_op_num_threads == 2


def test_the_session_runs_on_the_cpu_provider_only(model):
    session = BACKEND.open(model, TARGET)

    assert session._session.get_providers() == ["CPUExecutionProvider"]


def test_the_reference_runs_the_operators_as_written(model):
    assert model.optimize
    assert not BACKEND.reference(model, Plan(), {}, TARGET).optimize


def test_weights_are_returned_by_name(model):
    name = BACKEND.graph(model, TARGET).op_by_name["project"].weights[0]

    found = BACKEND.weights(model, [name])

    assert found[name].shape == (16, 32, 1, 1)
    assert found[name].dtype == np.float32


def test_a_returned_weight_is_the_callers_own(model):
    found = BACKEND.weights(model, ["project_w"])["project_w"]
    found[...] = 0

    assert np.any(BACKEND.weights(model, ["project_w"])["project_w"])


def test_an_unknown_weight_names_the_nearest_one(model):
    with pytest.raises(ModelError, match="did you mean 'project_w'"):
        BACKEND.weights(model, ["projekt_w"])


def test_an_edit_changes_the_new_model_only(model):
    before = run(model, images(2, 3, 16))["head_out"]
    weight = BACKEND.weights(model, ["head_w", "head_b"])

    edited = BACKEND.edit(model, [Edit(name, value * 2) for name, value in weight.items()])

    np.testing.assert_allclose(run(edited, images(2, 3, 16))["head_out"], before * 2, rtol=1e-5)
    np.testing.assert_array_equal(run(model, images(2, 3, 16))["head_out"], before)


def test_an_edit_is_seen_by_graph_and_weights(model):
    weight = BACKEND.weights(model, ["head_w"])["head_w"]

    edited = BACKEND.edit(model, [Edit("head_w", weight + 1)])

    np.testing.assert_array_equal(BACKEND.weights(edited, ["head_w"])["head_w"], weight + 1)
    fingerprints = [BACKEND.graph(m, TARGET).fingerprint for m in (model, edited)]
    assert fingerprints[0] != fingerprints[1]


def test_an_edit_is_independent_of_the_array_it_was_given(model):
    value = BACKEND.weights(model, ["head_w"])["head_w"]
    edited = BACKEND.edit(model, [Edit("head_w", value)])
    expected = value.copy()
    value[...] = 0

    np.testing.assert_array_equal(BACKEND.weights(edited, ["head_w"])["head_w"], expected)


@pytest.mark.parametrize(
    "value",
    [np.zeros((10, 31), np.float32), np.zeros((10, 32), np.float64)],
    ids=["shape", "dtype"],
)
def test_an_edit_of_another_form_is_refused(model, value):
    with pytest.raises(ModelError, match="head_w"):
        BACKEND.edit(model, [Edit("head_w", value)])


def test_an_edit_of_an_unknown_constant_is_refused(model):
    with pytest.raises(ModelError, match="did you mean 'head_w'"):
        BACKEND.edit(model, [Edit("haed_w", np.zeros(1, np.float32))])


def test_the_baseline_is_the_untouched_model(model):
    assert BACKEND.baselines(model, TARGET) == {"default": model}


def test_describing_building_and_auditing_leave_the_model_as_it_is(model):
    case = planned_case(convnet(), images(2, 3, 16))
    before = ir.to_proto(native(case.model).canonical).SerializeToString()

    assert case.built and case.audit and case.reference_outputs

    assert ir.to_proto(native(case.model).canonical).SerializeToString() == before


def test_two_runs_give_the_same(model):
    session = BACKEND.open(model, TARGET)
    first, second = (session.run(images(2, 3, 16))["head_out"] for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_a_sample_does_not_depend_on_its_batch():
    session = BACKEND.open(BACKEND.load(transformer()), TARGET)
    batch = words(4)
    whole = session.run(batch)["norm2_out"]
    alone = session.run({"ids": batch["ids"][2:3]})["norm2_out"]

    np.testing.assert_allclose(alone[0], whole[2], rtol=1e-4, atol=1e-5)
