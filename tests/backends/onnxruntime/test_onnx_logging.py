"""What the libraries below log is not told to users who watch the log of their own program."""

import subprocess
import sys

PROGRAM = """
import logging
logging.basicConfig(level=logging.INFO)
import octavo.backends.onnxruntime
logging.getLogger("onnx_ir.passes").info("a pass")
logging.getLogger("onnx_ir.passes").warning("a warning")
logging.getLogger("mine").info("a line")
"""


def test_only_warnings_of_the_library_below_are_shown():
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert run.stderr.splitlines() == ["WARNING:onnx_ir.passes:a warning", "INFO:mine:a line"]
