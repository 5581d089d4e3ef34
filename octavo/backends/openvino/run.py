"""Sessions with a fixed number of threads, and what OpenVINO tells of the kernels it ran."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
import openvino as ov

from octavo.arrays import Array, Batch
from octavo.backends.onnxruntime.external import size_of
from octavo.backends.onnxruntime.load import FILE, PROTOBUF_LIMIT, native
from octavo.backends.onnxruntime.messages import first_line, shorten
from octavo.backends.onnxruntime.run import check_batch
from octavo.backends.openvino.load import Precision, precision_of
from octavo.backends.openvino.mend import mended
from octavo.errors import DataError, ModelError
from octavo.model import Model
from octavo.target import Target
from octavo.workspace import require_space

DEVICE = "CPU"
ELSEWHERE = "; run it in onnxruntime"
"""What a user can do whose model OpenVINO refuses."""
Shapes: TypeAlias = dict[str, tuple[int, ...]]


class OpenVinoSession:
    """A model that OpenVINO holds ready.

    It is compiled for one set of input shapes, those of the target or else of the first batch:
    with fixed shapes it runs 6 to 8 % faster. Batches of other shapes run in a second form with
    free dimensions, which is compiled when the first of them comes.
    """

    def __init__(self, model: Model, target: Target, *, profile: bool = False) -> None:
        self._model = read_model(model)
        self._inputs = model.inputs
        self._outputs = [spec.name for spec in model.outputs]
        self._settings = settings(target.threads, precision_of(model), profile=profile)
        self._fixed: Shapes | None = _known(model, target)
        self._requests: dict[bool, ov.InferRequest] = {}

    def run(self, batch: Batch) -> dict[str, Array]:
        """Run one batch and return every model output by name."""
        check_batch(batch, self._inputs)
        request = self.request(batch)
        try:
            request.infer({name: _fitting(name, a) for name, a in batch.items()}, share_inputs=True)
        except RuntimeError as error:
            raise DataError(f"OpenVINO cannot run the batch: {_reason(error)}") from error
        # copies, since the next run writes into the same memory
        return {
            name: np.array(request.get_output_tensor(index).data)
            for index, name in enumerate(self._outputs)
        }

    def request(self, batch: Batch) -> ov.InferRequest:
        """Return what runs batches of these shapes, compiled when it is first needed.

        Raises:
            ModelError: OpenVINO cannot compile the model.
        """
        shapes = {name: array.shape for name, array in batch.items()}
        if self._fixed is None:
            self._fixed = shapes
        fixed = shapes == self._fixed
        if fixed not in self._requests:
            self._requests[fixed] = _compile(self._model, shapes if fixed else None, self._settings)
        return self._requests[fixed]


def _known(model: Model, target: Target) -> Shapes | None:
    names = [spec.name for spec in model.inputs]
    if not all(name in target.shapes for name in names):
        return None
    return {name: tuple(target.shapes[name]) for name in names}


def _fitting(name: str, array: Array) -> Array:
    """Return an array that survives what OpenVINO does to integers: it computes with 32 bits.

    Raises:
        DataError: a value does not fit.
    """
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4 and array.size:
        limit = np.iinfo(np.int32)
        if array.min() < limit.min or array.max() > limit.max:
            raise DataError(
                f"input {name!r} holds integers beyond 32 bits, which OpenVINO computes with; "
                "run this model in onnxruntime"
            )
    return array


def settings(threads: int, precision: Precision, *, profile: bool = False) -> dict[str, Any]:
    """Return OpenVINO's properties for one instance on `threads` threads.

    Threads are left where they are: whoever pins the process has pinned them.
    """
    found: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "PERF_COUNT": profile,
    }
    return found if precision == "default" else found | {"INFERENCE_PRECISION_HINT": precision}


def default_precision() -> str:
    """Return the precision that OpenVINO computes float in on this processor, `f32` or `bf16`."""
    return str(ov.Core().get_property(DEVICE, "INFERENCE_PRECISION_HINT").to_string())


def read_model(model: Model) -> ov.Model:
    """Hand a model to OpenVINO, through a file where it is too large for a message.

    Raises:
        ModelError: OpenVINO refuses it.
    """
    for spec in model.inputs:
        if spec.dtype == "str":
            raise ModelError(
                f"input {spec} is text, which OpenVINO's CPU plugin does not run{ELSEWHERE}"
            )
    original = mended(native(model).original)
    try:
        if size_of(original) <= PROTOBUF_LIMIT:
            return ov.Core().read_model(io.BytesIO(ir.to_proto(original).SerializeToString()))
        with tempfile.TemporaryDirectory() as folder:
            require_space(Path(folder), size_of(original))
            path = Path(folder) / FILE
            ir.save(original, path, external_data=f"{FILE}.data")
            return ov.Core().read_model(path)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot read the model: {_reason(error)}{ELSEWHERE}") from error


def _compile(
    model: ov.Model, shapes: Shapes | None, properties: Mapping[str, Any]
) -> ov.InferRequest:
    try:
        fitted = model if shapes is None else _with_shapes(model, shapes)
        return ov.Core().compile_model(fitted, DEVICE, dict(properties)).create_infer_request()
    except RuntimeError as error:
        raise ModelError(
            f"OpenVINO cannot compile the model: {_reason(error)}{ELSEWHERE}"
        ) from error


def _with_shapes(model: ov.Model, shapes: Shapes) -> ov.Model:
    """Return the model for fixed shapes, as it is where its graph does not allow that."""
    if not model.is_dynamic():
        return model
    changed = model.clone()
    try:
        changed.reshape({name: ov.PartialShape(list(shape)) for name, shape in shapes.items()})
    except RuntimeError:
        return model
    return changed


_EMPTY = ("Exception from", "FrontEnd API failed", "Model wasn't", "Summary:", "To facilitate")


def _reason(error: RuntimeError) -> str:
    """Return what an error says, without the places in OpenVINO's source that it names first."""
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_EMPTY)]
    words = [line for line in said if not line.startswith("Check '")]
    return shorten(" ".join(words or said)) or first_line(error)
