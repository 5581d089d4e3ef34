"""The INT8 form of operators for which ONNX Runtime has no fast integer kernel of their own.

Each computes the same function from other operators. They are written where a plan asks for INT8
only; in float the operators stay as they are.
"""

from octavo.backends.onnxruntime.forms.limits import find_limits
from octavo.backends.onnxruntime.forms.write import write_form

__all__ = ["find_limits", "write_form"]
