import pytest
from networks import convnet
from onnx_case import TARGET, images, run, static_case
from openvino_case import BACKEND

from octavo.backends.onnxruntime import OnnxRuntimeBackend
from octavo.backends.openvino import run as openvino_run
from octavo.backends.openvino.load import SETTINGS, precision_of, with_precision
from octavo.errors import ModelError


@pytest.fixture(scope="module")
def model():
    return BACKEND.load(convnet(8))


def test_a_model_is_float32_unless_it_says_otherwise(model, tmp_path):
    BACKEND.save(model, tmp_path)

    assert precision_of(model) == "f32"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert precision_of(BACKEND.restore(tmp_path)) == "f32"


def test_the_default_precision_is_saved_and_restored(model, tmp_path):
    BACKEND.save(with_precision(model, "default", "BF16"), tmp_path)

    restored = BACKEND.restore(tmp_path)

    assert precision_of(restored) == "default"
    assert restored.backend == "openvino"


def test_onnx_runtime_reads_what_openvino_saved(model, tmp_path):
    BACKEND.save(with_precision(model, "default"), tmp_path)

    other = OnnxRuntimeBackend().restore(tmp_path)

    assert abs(run(other, images())["head_out"] - run(model, images())["head_out"]).max() == 0


def test_openvino_restores_what_onnx_runtime_built(tmp_path):
    case = static_case(convnet(8), images())
    OnnxRuntimeBackend().save(case.built, tmp_path)

    found = run(BACKEND.restore(tmp_path), images(), BACKEND)["head_out"]

    assert abs(found - case.int8_outputs["head_out"]).max() <= 2.001 * case.step("head_out")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "is damaged"),
        ("{}", "is damaged"),
        ("[1]", "is damaged"),
        ('{"precision": "f64"}', "asks for 'f64'; known are f32, default"),
    ],
)
def test_damaged_settings_are_an_error_of_one_line(model, tmp_path, content, said):
    BACKEND.save(model, tmp_path)
    (tmp_path / SETTINGS).write_text(content)

    with pytest.raises(ModelError, match=said) as caught:
        BACKEND.restore(tmp_path)
    assert "\n" not in str(caught.value)


def test_where_float_is_bf16_there_are_two_baselines(model, monkeypatch):
    monkeypatch.setattr(openvino_run, "default_precision", lambda: "bf16")

    found = BACKEND.baselines(model, TARGET)

    assert {name: precision_of(one) for name, one in found.items()} == {
        "default": "default", "f32": "f32",
    }  # fmt: skip
    assert found["default"].label == "BF16, OpenVINO's default"


def test_where_float_is_float32_there_is_one_baseline(model, monkeypatch):
    monkeypatch.setattr(openvino_run, "default_precision", lambda: "f32")

    assert BACKEND.baselines(model, TARGET) == {"default": model}
