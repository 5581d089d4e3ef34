"""Reading and writing ONNX files and protobufs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import onnx
import onnx_ir as ir

from octavo.backends.onnxruntime.canonical import canonicalize
from octavo.backends.onnxruntime.external import attach_weights, size_of
from octavo.backends.onnxruntime.fingerprint import fingerprint
from octavo.backends.onnxruntime.messages import first_line
from octavo.backends.onnxruntime.unquantize import take_apart
from octavo.backends.onnxruntime.upgrade import MINIMUM_OPSET, upgrade
from octavo.errors import ModelError
from octavo.model import Dimension, Model, TensorSpec

FILE = "model.onnx"
PROTOBUF_LIMIT = 1_800_000_000  # bytes; a protobuf message cannot hold 2 GB


@dataclass(frozen=True)
class OnnxModel:
    """What `Model.native` is here.

    Attributes:
        original: the model as the user gave it, never changed.
        canonical: the same function with named nodes, lifted constants and folded BatchNorm; graph,
            tensor and group names refer to it.
    """

    original: ir.Model
    canonical: ir.Model

    @cached_property
    def fingerprint(self) -> str:
        """The hash of the canonical graph; weights of gigabytes are hashed once."""
        return fingerprint(self.canonical.graph)


def native(model: Model) -> OnnxModel:
    """Return the ONNX form of a model of this backend.

    Raises:
        ModelError: the model is of another backend.
    """
    if not isinstance(model.native, OnnxModel):
        raise ModelError(f"a model of the {model.backend} backend was given to onnxruntime")
    return model.native


def wrap(built: ir.Model, like: Model, *, optimize: bool = True) -> Model:
    """Return a model made from `like`, already in canonical form.

    Its outputs get what `like` declares.
    """
    declare_outputs(built.graph, native(like).original.graph)
    return Model(
        backend=like.backend,
        native=OnnxModel(built, built),
        inputs=like.inputs,
        outputs=like.outputs,
        source=like.source,
        optimize=optimize,
    )


def declare_outputs(graph: ir.Graph, like: ir.Graph) -> None:
    """Give outputs the shapes that another graph declares for them, and types that are missing.

    Rewriting loses them, and shape inference calls free dimensions by names of its own.
    """
    for made, declared in zip(graph.outputs, like.outputs, strict=False):  # more may follow
        made.type = made.type or declared.type
        if declared.shape is not None and not made.is_graph_input():
            made.shape = declared.shape.copy()


def load(source: object, name: str) -> Model:
    """Load a path, a `ModelProto` or an `onnx_ir.Model` for the backend called `name`."""
    path = Path(source) if isinstance(source, (str, Path)) else None
    original = _read(path) if path is not None else _convert(source)
    if not original.graph.outputs:
        raise ModelError(f"{path or 'the model'} has no outputs; expected a complete ONNX graph")
    _check_boundary(original.graph)
    return Model(
        backend=name,
        native=OnnxModel(original, _canonical(original)),
        inputs=_specs(_real_inputs(original.graph)),
        outputs=_specs(original.graph.outputs),
        source=path,
    )


def _canonical(original: ir.Model) -> ir.Model:
    upgraded = _upgraded(original)
    try:
        return canonicalize(upgraded)
    except Exception as error:  # onnx_ir raises types of its own on graphs that are not valid
        raise ModelError(
            f"the ONNX graph cannot be brought into canonical form ({error}); "
            "check it with onnx.checker"
        ) from error


def _upgraded(original: ir.Model) -> ir.Model:
    try:
        return upgrade(original)
    except ModelError:
        raise
    except Exception as error:  # the converter raises RuntimeError and its own types
        opset = original.opset_imports.get("")
        raise ModelError(
            f"the model uses opset {opset} and could not be converted to what quantization needs "
            f"({first_line(error)}); export it again with opset {MINIMUM_OPSET} or later"
        ) from error


def without_quantization(model: Model) -> Model:
    """Return the float form of a model that carries quantization; the given one is not changed.

    Raises:
        UsageError: it carries none.
        ModelError: it holds operators on integers, which cannot be turned back.
    """
    original = take_apart(_upgraded(native(model).original))
    declare_outputs(original.graph, native(model).original.graph)
    return replace(model, native=OnnxModel(original, _canonical(original)))


def save(model: Model, folder: Path) -> None:
    """Write the model as `model.onnx`, with its weights beside it where they exceed 1.8 GB."""
    original = native(model).original
    external = f"{FILE}.data" if size_of(original) > PROTOBUF_LIMIT else None
    ir.save(original, folder / FILE, external_data=external)


def _read(path: Path) -> ir.Model:
    if path.is_dir():
        path = path / FILE
    if not path.is_file():
        raise ModelError(f"no ONNX file at {str(path)!r}")
    try:
        proto = onnx.load(path, load_external_data=False)
        if not proto.graph.node or not proto.opset_import:
            raise ValueError("it has no operators")
        model = ir.from_proto(proto)
    except Exception as error:  # protobuf and onnx_ir raise types of their own
        raise ModelError(
            f"{str(path)!r} is not a readable ONNX file ({first_line(error)}); it may be truncated"
        ) from error
    ir.external_data.set_base_dir(model.graph, path.parent)
    return _with_weights(model, repr(str(path)))


def _with_weights(model: ir.Model, name: str) -> ir.Model:
    """Attach weights that lie in files of their own, so that the model can go without them."""
    try:
        attach_weights(model)
    except Exception as error:  # a missing file, a short one and a damaged entry all differ
        raise ModelError(
            f"the external weights of {name} cannot be read ({first_line(error)}); "
            "expected their files where it refers to them"
        ) from error
    return model


def _convert(source: object) -> ir.Model:
    if isinstance(source, ir.Model):
        return _with_weights(source.clone(), "the model")
    if isinstance(source, onnx.ModelProto):
        return _with_weights(ir.from_proto(source), "the model")
    raise ModelError(f"expected an ONNX path or ModelProto, got {type(source).__qualname__}")


def _real_inputs(graph: ir.Graph) -> list[ir.Value]:
    return [value for value in graph.inputs if value.name not in graph.initializers]


def _check_boundary(graph: ir.Graph) -> None:
    """Check that inputs and outputs are tensors, and that inputs declare how many axes they have.

    Raises:
        ModelError: one is or does something else.
    """
    for label, values in (("input", _real_inputs(graph)), ("output", graph.outputs)):
        for value in values:
            if value.type is not None and not isinstance(value.type, ir.TensorType):
                raise ModelError(
                    f"the model's {label} {value.name!r} is {value.type}; expected a tensor: "
                    "export the model without it"
                )
    for value in _real_inputs(graph):
        if value.shape is None:
            raise ModelError(
                f"the model's input {value.name!r} declares no shape, and the number of its axes "
                "is needed; export the model with shapes, or set them by "
                "onnx.tools.update_model_dims.update_inputs_outputs_dims"
            )


def _specs(values: list[ir.Value]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(str(value.name), dtype_name(value), dimensions(value)) for value in values
    )


def dtype_name(value: ir.Value) -> str:
    """Return numpy's name of a value's element type, `unknown` where it is not known."""
    if value.dtype is None:
        return "unknown"
    if value.dtype == ir.DataType.STRING:
        return "str"
    return str(value.dtype.numpy().name)


def dimensions(value: ir.Value) -> tuple[Dimension, ...]:
    """Return the declared shape; a free dimension is its name or None."""
    if value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else size.value for size in value.shape)
