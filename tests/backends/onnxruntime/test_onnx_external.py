import gc

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper, numpy_helper
from onnx_case import (
    BACKEND,
    TARGET,
    images,
    noise,
    optimized,
    planned_case,
    rows,
    run,
    words,
)

from octavo.backends.onnxruntime import external
from octavo.backends.onnxruntime.external import message_of
from octavo.errors import ModelError


def refer(tensor, file, offset, folder):
    """Move the values of a tensor into a file, at an offset."""
    content = numpy_helper.to_array(tensor).tobytes()
    path = folder / file
    path.parent.mkdir(exist_ok=True, parents=True)
    old = path.read_bytes() if path.exists() else b""
    path.write_bytes(old[:offset].ljust(offset, b"-") + content + old[offset + len(content) :])
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", offset), ("length", len(content))):
        tensor.external_data.add(key=key, value=str(value))


@pytest.fixture(params=[False, True], ids=["read", "mapped"])
def mapped(request, monkeypatch):
    """Attach weights from files in both ways."""
    monkeypatch.setattr(external, "MAPPED", 0 if request.param else 1 << 40)
    return request.param


def dense():
    b = Builder()
    x = b.gemm("rows", "first", 16, 32)
    return b.ending(b.gemm(x, "second", 32, 4), rows=["batch", 16])


def expected():
    return run(BACKEND.load(dense()), rows())["second_out"]


def saved(proto, folder):
    (folder / "network.onnx").write_bytes(proto.SerializeToString())
    return folder / "network.onnx"


def test_weights_of_one_file_at_any_byte(tmp_path, mapped):
    proto = dense()
    first_w, first_b, second_w, _ = proto.graph.initializer
    refer(first_w, "weights.bin", 4096, tmp_path)
    refer(first_b, "weights.bin", 3, tmp_path)
    refer(second_w, "weights.bin", 4096 + 2048 + 1, tmp_path)
    model = BACKEND.load(saved(proto, tmp_path))

    np.testing.assert_array_equal(run(model, rows())["second_out"], expected())


def test_weights_of_several_files_below_the_folder(tmp_path, mapped):
    proto = dense()
    for index, tensor in enumerate(proto.graph.initializer):
        refer(tensor, f"parts/{index}/weights.bin", 8 * index, tmp_path)
    model = BACKEND.load(saved(proto, tmp_path))

    np.testing.assert_array_equal(run(model, rows())["second_out"], expected())


def test_a_model_in_the_folder_that_one_runs_in(tmp_path, monkeypatch, mapped):
    proto = dense()
    refer(proto.graph.initializer[0], "weights.bin", 0, tmp_path)
    saved(proto, tmp_path)
    monkeypatch.chdir(tmp_path)

    np.testing.assert_array_equal(
        run(BACKEND.load("network.onnx"), rows())["second_out"], expected()
    )


def test_a_model_goes_on_without_its_files(tmp_path, mapped):
    proto = dense()
    for tensor in proto.graph.initializer:
        refer(tensor, f"{tensor.name}.bin", 0, tmp_path)
    model = BACKEND.load(saved(proto, tmp_path))
    for file in tmp_path.iterdir():
        file.unlink()
    folder = tmp_path / "saved"
    folder.mkdir()
    BACKEND.save(model, folder)

    for one in (model, BACKEND.restore(folder)):
        np.testing.assert_array_equal(run(one, rows())["second_out"], expected())


def test_tensors_of_constant_nodes_and_of_bodies(tmp_path, mapped):
    factor, shift = (
        numpy_helper.from_array(np.full((1, 16), value, np.float32), name)
        for value, name in ((3.0, "factor"), (0.5, "shift"))
    )

    def body(name, node, *constants):
        output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
        return helper.make_graph([node], name, [], [output], list(constants))

    refer(factor, "weights.bin", 0, tmp_path)
    refer(shift, "weights.bin", 64, tmp_path)
    then = body("then", helper.make_node("Add", ["scaled", "shift"], ["t"]), shift)
    nodes = [
        helper.make_node("Constant", [], ["factor"], value=factor),
        helper.make_node("Mul", ["rows", "factor"], ["scaled"]),
        helper.make_node(
            "If", ["flag"], ["y"], then_branch=then,
            else_branch=body("else", helper.make_node("Neg", ["scaled"], ["e"])),
        ),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 16]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])],
    )
    opsets = [helper.make_opsetid("", 17)]
    path = saved(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path)
    batch = rows() | {"flag": np.array(True)}

    found = run(BACKEND.load(path), batch)["y"]

    np.testing.assert_allclose(found, 3 * batch["rows"] + 0.5, rtol=1e-6)


def test_an_ir_model_keeps_its_references(tmp_path, mapped):
    proto = dense()
    refer(proto.graph.initializer[0], "weights.bin", 0, tmp_path)
    given = ir.load(saved(proto, tmp_path))

    model = BACKEND.load(given)

    np.testing.assert_array_equal(run(model, rows())["second_out"], expected())
    assert isinstance(given.graph.initializers["first_w"].const_value, ir.ExternalTensor)


def test_a_protobuf_whose_weights_were_read(tmp_path):
    path = tmp_path / "network.onnx"
    onnx.save(dense(), path, save_as_external_data=True, location="w.bin", size_threshold=0)

    model = BACKEND.load(onnx.load(path))

    np.testing.assert_array_equal(run(model, rows())["second_out"], expected())


@pytest.mark.parametrize("location", ["../outside.bin", "link.bin"])
def test_files_outside_of_the_folder_are_refused(tmp_path, location):
    (tmp_path / "model").mkdir()
    proto = dense()
    refer(proto.graph.initializer[0], "outside.bin", 0, tmp_path)
    (tmp_path / "model" / "link.bin").symlink_to(tmp_path / "outside.bin")
    proto.graph.initializer[0].external_data[0].value = location

    with pytest.raises(ModelError, match=r"outside the base directory|path traversal"):
        BACKEND.load(saved(proto, tmp_path / "model"))


@pytest.mark.parametrize("network", [convnet, transformer])
def test_constants_go_beside_the_message_where_they_are_many(network, monkeypatch):
    model = BACKEND.load(network())
    canonical = model.native.canonical
    whole = message_of(canonical)
    monkeypatch.setattr(external, "HANDED_OVER", 0)

    message = message_of(canonical)

    assert whole.arrays == {}
    assert len(message.content) < len(whole.content) / 2
    large = {n for n, v in canonical.graph.initializers.items() if v.const_value.nbytes > 1024}
    assert message.arrays.keys() == large


def test_arrays_beside_the_message_are_not_copied(monkeypatch):
    monkeypatch.setattr(external, "HANDED_OVER", 0)
    weight = noise(64, 64)
    b = Builder()
    proto = b.ending(b.node("MatMul", ["rows", b.weight("w", weight)], "y"), rows=["batch", 64])
    model = ir.from_proto(proto)
    model.graph.initializers["w"].const_value = ir.Tensor(weight, name="w")

    message = message_of(model)

    assert np.shares_memory(message.arrays["w"], weight)
    assert message.values()[0].data_ptr() == weight.ctypes.data


@pytest.mark.parametrize(
    ("network", "batch", "options"),
    [
        (convnet, images(4, 3, 16), {}),
        (transformer, words(), {}),
        (transformer, words(), {"approach": "dynamic"}),
    ],
    ids=["convnet", "transformer", "dynamic"],
)
def test_a_model_beside_its_weights_runs_by_the_same_kernels(network, batch, options, monkeypatch):
    whole = planned_case(network(), batch, **options)
    first, kernels = whole.int8_outputs, {g: a.kernels for g, a in whole.audit.items()}
    monkeypatch.setattr(external, "HANDED_OVER", 0)

    beside = planned_case(network(), batch, **options)

    assert {group: audit.kernels for group, audit in beside.audit.items()} == kernels
    for name, values in beside.int8_outputs.items():
        np.testing.assert_array_equal(values, first[name])
    assert optimized(beside.built)


def test_the_memory_of_the_weights_outlives_the_model(monkeypatch):
    monkeypatch.setattr(external, "HANDED_OVER", 0)
    model = BACKEND.load(dense())
    session = BACKEND.open(model, TARGET)
    before = session.run(rows())["second_out"]
    del model
    gc.collect()
    filler = [np.full((16, 32), 7.0, np.float32) for _ in range(100)]

    np.testing.assert_array_equal(session.run(rows())["second_out"], before)
    del filler


def test_types_that_numpy_lacks_stay_in_the_message(monkeypatch):
    monkeypatch.setattr(external, "HANDED_OVER", 0)
    b = Builder(opset=19)
    b.weights.append(helper.make_tensor("w", TensorProto.BFLOAT16, [32, 32], [1.0] * 1024))
    cast = b.node("Cast", ["w"], "cast", to=TensorProto.FLOAT)
    proto = b.ending(b.node("MatMul", ["rows", cast], "y"), rows=["batch", 32])
    model = BACKEND.load(proto)

    assert message_of(model.native.original).arrays == {}
    np.testing.assert_allclose(
        run(model, {"rows": np.ones((1, 32), np.float32)})["y_out"], np.full((1, 32), 32.0)
    )


def test_sessions_have_weights_of_their_own(monkeypatch):
    """Options hold the weights of one session; those of another model must not meet them."""
    monkeypatch.setattr(external, "HANDED_OVER", 0)
    one, other = BACKEND.load(dense()), BACKEND.load(convnet())
    first, second = BACKEND.open(one, TARGET), BACKEND.open(other, TARGET)

    np.testing.assert_array_equal(first.run(rows())["second_out"], expected())
    assert second.run(images(4, 3, 16))["head_out"].shape == (4, 10)
