from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper
from onnx_case import BACKEND, TARGET, images, planned_case, rows, run, words

from octavo.errors import ModelError
from octavo.model import Model, TensorSpec

WHOLE = convnet().SerializeToString()


def dense(**inputs):
    b = Builder()
    return b.ending(b.gemm("rows", "head", 16, 4), **inputs)


@pytest.fixture
def external(tmp_path):
    """Write the network with its weights in a file beside it."""
    path = tmp_path / "external" / "network.onnx"
    path.parent.mkdir()
    onnx.save(convnet(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def error_of(source):
    with pytest.raises(ModelError) as caught:
        BACKEND.load(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no operators"),
        (b"this is no model at all", "not a readable ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a readable ONNX file"),
        (onnx.ModelProto(ir_version=9).SerializeToString(), "no operators"),
    ],
    ids=["empty", "text", "png", "hollow"],
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    message = error_of(path)

    assert reason in message
    assert str(path) in message


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, share):
    path = tmp_path / "model.onnx"
    path.write_bytes(WHOLE[: int(len(WHOLE) * share)])

    assert "truncated" in error_of(path)


def test_a_missing_file_is_named(tmp_path):
    assert "nowhere.onnx" in error_of(tmp_path / "nowhere.onnx")


def test_a_folder_without_a_model_is_refused(tmp_path):
    assert "no ONNX file" in error_of(tmp_path)


def test_an_object_of_another_kind_is_refused():
    assert "ModelProto" in error_of({"not": "a model"})


def test_a_model_without_outputs_is_refused():
    proto = convnet()
    del proto.graph.output[:]

    assert "no outputs" in error_of(proto)


def test_an_input_without_a_shape_is_named():
    proto = convnet()
    proto.graph.input[0].type.tensor_type.ClearField("shape")

    assert "'image' declares no shape" in error_of(proto)


def test_an_output_that_is_no_tensor_is_named():
    proto = convnet()
    (made,) = proto.graph.output
    proto.graph.node.add(op_type="SequenceConstruct", input=[made.name], output=["all"])
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    kind = helper.make_sequence_type_proto(element)
    proto.graph.output.append(helper.make_value_info("all", kind))

    assert "output 'all' is Sequence" in error_of(proto)


def test_an_opset_that_cannot_be_converted_is_refused_in_one_line():
    node = helper.make_node("Affine", ["rows"], ["y"], alpha=2.0, beta=1.0)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 16]) for name in ("rows", "y")
    ]
    graph = helper.make_graph([node], "old", ends[:1], ends[1:])

    message = error_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 6)]))

    assert "opset 6" in message
    assert "export it again" in message


@pytest.mark.parametrize("form", [Path, str, "proto", "ir"])
def test_every_form_of_a_model_is_owned_and_loads_to_the_same(tmp_path, form):
    path = tmp_path / "network.onnx"
    onnx.save(convnet(), path)
    objects = {"proto": onnx.load(path), "ir": ir.load(path)}
    source = objects[form] if isinstance(form, str) else form(path)

    assert BACKEND.owns(source)
    loaded = BACKEND.load(source)

    expected = run(BACKEND.load(convnet()), images(4, 3, 16))["head_out"]
    np.testing.assert_array_equal(run(loaded, images(4, 3, 16))["head_out"], expected)


@pytest.mark.parametrize("source", ["model.pt", Path("model.h5"), object(), None])
def test_what_is_not_onnx_is_not_owned(source):
    assert not BACKEND.owns(source)


def test_inputs_and_outputs_are_declared_with_free_dimensions_by_name():
    model = BACKEND.load(transformer())

    assert model.inputs == (TensorSpec("ids", "int64", ("batch", 8)),)
    assert model.outputs == (TensorSpec("norm2_out", "float32", ("batch", 8, 32)),)


def test_an_unnamed_free_dimension_is_none():
    model = BACKEND.load(dense(rows=[None, 16]))

    assert model.inputs[0].shape == (None, 16)


def test_the_source_is_remembered(tmp_path):
    onnx.save(convnet(), tmp_path / "network.onnx")

    assert BACKEND.load(tmp_path / "network.onnx").source == tmp_path / "network.onnx"
    assert BACKEND.load(convnet()).source is None


def test_values_without_names_get_some():
    x = ir.val("x", dtype=ir.DataType.FLOAT, shape=ir.Shape(["batch", 3]))
    first = ir.node("Relu", [x])
    second = ir.node("Sigmoid", first.outputs)
    third = ir.node("Tanh", second.outputs)
    third.outputs[0].name, third.outputs[0].type = "y", ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [x], third.outputs, nodes=[first, second, third], opset_imports={"": 17}, name="g"
    )
    model = BACKEND.load(ir.Model(graph, ir_version=9))

    groups = BACKEND.graph(model, TARGET).groups

    assert len({name for group in groups for name in group.outputs}) == 3


def test_a_model_with_external_weights_runs(external):
    expected = run(BACKEND.load(convnet()), images(4, 3, 16))["head_out"]

    found = run(BACKEND.load(external), images(4, 3, 16))["head_out"]

    np.testing.assert_array_equal(found, expected)


def test_a_model_with_external_weights_is_saved_whole(external, tmp_path):
    model = BACKEND.load(external)
    expected = run(model, images(4, 3, 16))["head_out"]
    folder = tmp_path / "saved"
    folder.mkdir()
    BACKEND.save(model, folder)
    external.with_name("weights.bin").unlink()

    restored = BACKEND.restore(folder)

    np.testing.assert_array_equal(run(restored, images(4, 3, 16))["head_out"], expected)


def test_missing_external_weights_are_named(external):
    external.with_name("weights.bin").unlink()

    assert "weights.bin" in error_of(external)


def test_truncated_external_weights_are_refused(external):
    weights = external.with_name("weights.bin")
    weights.write_bytes(weights.read_bytes()[:100])

    assert "external weights" in error_of(external)


def test_a_protobuf_whose_external_weights_were_not_read_is_refused(external):
    proto = onnx.load(external, load_external_data=False)

    assert "weights.bin" in error_of(proto)


@pytest.mark.parametrize(
    ("network", "batch", "options"),
    [
        (convnet, images(4, 3, 16), {}),
        (transformer, words(), {}),
        (transformer, words(), {"approach": "dynamic"}),
    ],
    ids=["convnet", "transformer", "dynamic"],
)
class TestRestored:
    def restored(self, case, folder):
        BACKEND.save(case.built, folder)
        return BACKEND.restore(folder)

    def test_it_computes_the_very_same(self, tmp_path, network, batch, options):
        case = planned_case(network(), batch, **options)

        found = run(self.restored(case, tmp_path), batch)

        assert found.keys() == case.int8_outputs.keys()
        for name, values in case.int8_outputs.items():
            np.testing.assert_array_equal(found[name], values)

    def test_it_declares_the_same_inputs_and_outputs(self, tmp_path, network, batch, options):
        case = planned_case(network(), batch, **options)

        restored = self.restored(case, tmp_path)

        assert (restored.inputs, restored.outputs) == (case.model.inputs, case.model.outputs)


def test_a_model_over_the_limit_of_protobuf_is_saved_with_its_weights_beside_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("octavo.backends.onnxruntime.load.PROTOBUF_LIMIT", 100)
    model = BACKEND.load(dense(rows=["batch", 16]))
    expected = run(model, rows())
    BACKEND.save(model, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    np.testing.assert_array_equal(
        run(BACKEND.restore(tmp_path), rows())["head_out"], expected["head_out"]
    )


def test_a_model_of_another_backend_is_refused():
    model = Model("other", object(), (), ())

    with pytest.raises(ModelError, match="other backend"):
        BACKEND.graph(model, TARGET)
