import numpy as np
import pytest
from networks import Builder, convnet, transformer
from onnx import TensorProto, helper
from onnx_case import TARGET, images, noise, rows, run, words
from openvino_case import BACKEND, int8_case, kernels

from octavo.backends.openvino.load import with_precision
from octavo.backends.openvino.run import default_precision
from octavo.errors import DataError, ModelError
from octavo.plan import Plan
from octavo.target import Target

BATCH = images(3, 3, 16)
bf16 = pytest.mark.skipif(default_precision() != "bf16", reason="float is float32 here")


@pytest.fixture(scope="module")
def model():
    return BACKEND.load(convnet())


def compiled(model, target):
    session = BACKEND.open(model, target)
    return session.request(BATCH).get_compiled_model()


@pytest.mark.parametrize("threads", [1, 2])
def test_openvino_gets_the_threads_of_the_target(model, threads):
    found = compiled(model, Target(threads=threads))

    assert found.get_property("INFERENCE_NUM_THREADS") == threads
    assert found.get_property("NUM_STREAMS") == 1
    assert not found.get_property("ENABLE_CPU_PINNING")


def test_a_model_is_compiled_for_the_shapes_of_the_first_batch(model):
    assert not any(port.partial_shape.is_dynamic for port in compiled(model, TARGET).inputs)


def test_batches_of_other_shapes_run_in_one_second_form(model):
    session = BACKEND.open(model, TARGET)
    expected = run(model, BATCH)["head_out"]

    parts = [session.run({"image": BATCH["image"][i : i + n]}) for i, n in ((0, 3), (0, 1), (1, 2))]

    np.testing.assert_allclose(parts[0]["head_out"], expected, rtol=1e-4, atol=1e-5)
    joined = np.concatenate([parts[1]["head_out"], parts[2]["head_out"]])
    np.testing.assert_allclose(joined, expected, rtol=1e-4, atol=1e-5)
    assert len(session._requests) == 2


def test_the_shapes_of_the_target_are_the_fixed_ones(model):
    session = BACKEND.open(model, Target(threads=1, shapes={"image": (2, 3, 16, 16)}))
    session.run(BATCH)

    assert list(session._requests) == [False]


def test_an_output_is_not_overwritten_by_the_next_run(model):
    session = BACKEND.open(model, TARGET)
    first = session.run(BATCH)["head_out"]
    before = first.copy()
    session.run({"image": -BATCH["image"]})

    np.testing.assert_array_equal(first, before)


def test_words_are_looked_up():
    model = BACKEND.load(transformer())

    found = run(model, words(2), BACKEND)["norm2_out"]

    np.testing.assert_allclose(found, run(model, words(2))["norm2_out"], rtol=1e-3, atol=1e-4)


def test_integers_beyond_32_bits_are_refused():
    b = Builder()
    x = b.node("Cast", ["ids"], "cast", to=TensorProto.FLOAT)
    model = BACKEND.load(b.ending(x, ids=(TensorProto.INT64, ["batch", 2])))

    with pytest.raises(DataError, match="beyond 32 bits"):
        run(model, {"ids": np.array([[1, 2**40]])}, BACKEND)


def test_a_wrong_shape_is_an_error_of_the_data(model):
    with pytest.raises(DataError, match="16, 17"):
        run(model, {"image": noise(1, 3, 16, 17)}, BACKEND)


def test_an_operator_that_openvino_lacks_is_an_error_of_the_model():
    b = Builder()
    x = b.node("Mystery", ["rows"], "odd", domain="com.microsoft")
    b.opset = 17
    y = b.reshape(b.node("Cast", [x], "typed", to=TensorProto.FLOAT), "flat", -1)
    model = BACKEND.load(b.ending(y, rows=["batch", 4]))

    with pytest.raises(ModelError, match="Mystery") as caught:
        BACKEND.open(model, TARGET)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("; run it in onnxruntime")


def branches(then, other):
    """Return an If over the sign of a sum, each branch an operator on what a product made."""
    b = Builder()
    x = b.node("MatMul", ["rows", b.random("w", 16, 16)], "product")
    total = b.node("ReduceSum", [x], "total", keepdims=0)
    positive = b.node("Greater", [total, b.weight("zero", np.float32(0))], "positive")
    bodies = {}
    for name, op, attributes in (("then_branch", *then), ("else_branch", *other)):
        made = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)
        node = helper.make_node(op, [x], [made.name], name=f"{name}_op", **attributes)
        bodies[name] = helper.make_graph([node], name, [], [made])
    x = b.node("If", [positive], "choice", **bodies)
    y = b.node("ReduceSum", [x], "last", keepdims=0)
    return BACKEND.load(b.model({"rows": (TensorProto.FLOAT, ["batch", 16])}, {y: []}))


def test_an_if_whose_branches_are_alike_runs():
    model = branches(("Relu", {}), ("Neg", {}))

    (found,), (expected,) = (run(model, rows(), *b).values() for b in ([BACKEND], []))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_an_if_that_openvino_does_not_run_names_the_runtime_that_does():
    model = branches(("ReduceSum", {"keepdims": 0}), ("Neg", {}))
    assert len(run(model, rows())) == 1

    with pytest.raises(
        ModelError, match=r"If operation with dynamic rank.*; run it in onnxruntime"
    ):
        run(model, rows(), BACKEND)


def test_the_audit_of_a_float_model_tells_float32(model):
    found = BACKEND.audit(model, Plan(), model, BATCH, TARGET)

    assert {entry.executed for entry in found} == {"fp32"}
    assert {entry.reason for entry in found if entry.kernels} == {None}


@bf16
def test_the_audit_tells_bf16_where_openvino_takes_it(model):
    default = with_precision(model, "default")

    found = {entry.group: entry for entry in BACKEND.audit(model, Plan(), default, BATCH, TARGET)}

    assert found["project"].executed == "bf16"
    assert "BF16, which it takes by default" in found["project"].reason


@bf16
def test_a_model_of_float32_runs_no_kernel_in_bf16(model):
    assert "bf16" not in {kernel.precision for kernel in kernels(model, BATCH)}
    assert "bf16" in {
        kernel.precision for kernel in kernels(with_precision(model, "default"), BATCH)
    }


def test_the_profile_gives_time_to_the_groups_that_ran():
    case = int8_case(convnet(), BATCH)

    found = BACKEND.profile(case.model, case.built, BATCH, TARGET)

    seconds = {name for kernel in found for name in kernel.groups if kernel.seconds > 0}
    assert {"stem", "project", "head"} <= seconds
    assert {kernel.kernel for kernel in found} >= {"Convolution", "FullyConnected"}
