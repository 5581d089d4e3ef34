"""The rules of the house that no linter checks."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from octavo.backends.registry import ENTRIES, Entry, find_backend, get_backend, pip_lines, register
from octavo.errors import MissingFrameworkError, ModelError, UsageError, nearest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "octavo"
FRAMEWORKS = ("onnx", "onnxruntime", "onnx_ir", "torch", "tensorflow", "mxnet", "openvino")


def core_modules() -> list[str]:
    files = [file.relative_to(ROOT) for file in PACKAGE.rglob("*.py")]
    names = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]
    inside = ("octavo.backends.onnxruntime", "octavo.backends.openvino", "octavo.backends.pytorch",
              "octavo.backends.reference", "octavo.testing")  # fmt: skip
    return [name for name in names if not name.startswith(inside)]


def test_the_core_imports_no_framework() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {core_modules()!r}: importlib.import_module(name)\n"
        f"print([name for name in {FRAMEWORKS!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_is_over_500_lines() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert {str(f): n for f in files if (n := len(f.read_text().splitlines())) > 500} == {}


def test_nothing_outside_the_backends_asks_for_a_backend_by_name() -> None:
    asks = re.compile(r"(backend|framework)(\.name)? *==")
    found = [
        str(file)
        for file in PACKAGE.rglob("*.py")
        if "backends" not in file.parts and asks.search(file.read_text())
    ]
    assert found == []


def test_a_missing_framework_is_named_with_the_lines_that_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = Entry(
        name="gone",
        module="octavo_gone",
        packages=("no_such_framework",),
        install=("pip install no-such-framework",),
        suffixes=(".gone",),
    )
    monkeypatch.setitem(ENTRIES, "gone", entry)
    (tmp_path / "model.gone").touch()
    with pytest.raises(MissingFrameworkError, match="run: pip install no-such-framework"):
        find_backend(tmp_path / "model.gone")


def test_the_install_lines_hold_what_the_extra_holds() -> None:
    (line,) = pip_lines("onnx")
    assert line.startswith("pip install ")
    assert all(f"'{name}>=" in line for name in ("onnx", "onnxruntime", "onnx-ir"))


def test_an_unknown_backend_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'onnxruntime'"):
        get_backend("onnxruntme")


def test_a_file_that_no_backend_reads_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.unknown"
    path.write_text("nothing")
    with pytest.raises(ModelError, match=r"no backend reads .*model\.unknown"):
        find_backend(path)


def test_an_object_that_no_backend_reads_is_refused() -> None:
    with pytest.raises(ModelError, match="no backend reads dict"):
        find_backend({})


def test_a_registered_backend_replaces_one_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENTRIES, "other", Entry("other", "nothing"))
    register(Entry("other", "octavo.backends.reference"))
    assert get_backend("other").name == "reference"


def test_the_nearest_name_ignores_case() -> None:
    assert nearest("TOP1", ["top1", "mse"]) == "; did you mean 'top1'?"
