import json
import os
import platform
import subprocess
import sys

from octavo.doctor import diagnose
from octavo.doctor.diagnosis import Memory


def test_the_diagnosis_of_this_machine_is_json():
    found = json.loads(json.dumps(diagnose().to_json()))
    cores = found["cores"]
    assert found["python"] == platform.python_version()
    assert 1 <= cores["threads"] <= cores["available_cores"]
    assert set(cores["available"]) <= os.sched_getaffinity(0)
    assert sum(node["cores"] for node in cores["nodes"]) == cores["physical"]
    assert 0 < found["memory_mb"]["available"] <= found["memory_mb"]["total"]
    assert found["conditions"]["load"] >= 0
    assert "onnxruntime" in [backend["name"] for backend in found["backends"]]


def test_memory_is_told_in_megabytes():
    assert Memory(25_300_000_000, 24_000_000_000, None).to_json() == {
        **{"total": 25300.0, "available": 24000.0, "limit": None}
    }


def test_the_diagnosis_imports_no_framework():
    code = "import sys, octavo.doctor as d; d.diagnose(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"onnx", "onnxruntime", "onnx_ir", "torch", "openvino"} & set(run.stdout.split())
