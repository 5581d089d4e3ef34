"""Passes that bring operators into the form for which ONNX Runtime has integer kernels."""
