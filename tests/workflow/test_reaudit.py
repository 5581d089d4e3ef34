from octavo.backends.base import Audit
from octavo.plan import FP32
from octavo.workflow.reaudit import rows_again


def row(requested, executed, reason):
    return {
        "id": "conv", "kind": "conv", "requested": requested, "executed": executed,
        "kernels": ["Conv"], "macs": 1, "share": 1.0, "reason": reason,
    }  # fmt: skip


def again(given, executed):
    audit = Audit("conv", FP32, executed, ("Convolution",))
    (found,) = rows_again([given], [audit], "openvino", "onnxruntime")
    return found


def test_a_reason_of_the_other_runtime_is_told_as_its_own():
    found = again(row("fp32", "fp32", "it has no integer kernel"), "fp32")
    assert found["reason"] == "planned for ONNX Runtime: it has no integer kernel"
    assert found["kernels"] == ["Convolution"]


def test_a_group_that_runs_as_asked_needs_no_reason():
    assert again(row("int8", "int8", None), "int8")["reason"] is None
    assert again(row("int8", "fp32", "ONNX Runtime fused it"), "int8")["reason"] is None


def test_a_group_that_runs_otherwise_says_what_ran_and_where():
    assert again(row("int8", "int8", None), "fp32")["reason"] == (
        "OpenVINO ran Convolution in fp32 where int8 was asked for"
    )
