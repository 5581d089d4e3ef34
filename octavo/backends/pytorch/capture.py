"""From a module to a graph: `torch.export`, and what makes modules fit for it."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import fx
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from octavo.backends.pytorch.source import Source
from octavo.errors import ModelError

_HINT = 400
"""Characters of an error of `torch.export` that a user is shown."""


def capture(source: Source) -> ExportedProgram:
    """Capture a module in evaluation mode; the module is left as it was.

    Strict export sees more of what a module does and is tried first; it fails on code that Dynamo
    does not trace.

    Raises:
        ModelError: the module cannot be captured, with what `torch.export` says.
    """
    modes = {module: module.training for module in source.module.modules()}
    source.module.eval()
    try:
        with torch.no_grad():
            return _captured(_wrapped(source))
    finally:
        for module, mode in modes.items():
            module.training = mode


def _captured(source: Source) -> ExportedProgram:
    if source.dynamic_shapes is not None:
        return _exported(source)
    free = _doubled(source)
    shapes = _free_samples(free)
    try:
        exported = _exported(replace(free, dynamic_shapes=shapes))
    except ModelError:  # the batch may be what cannot be free
        return _exported(source)
    return exported if _has_free_samples(exported) else _exported(source)


def _exported(source: Source) -> ExportedProgram:
    errors = []
    for strict in (True, False):
        try:
            return torch.export.export(
                source.module,
                source.args,
                dict(source.kwargs),
                dynamic_shapes=source.dynamic_shapes,
                strict=strict,
            )
        except Exception as error:  # Dynamo and export raise types of their own, and any of a model
            errors.append(error)
    raise ModelError(
        f"torch.export cannot capture {type(source.module).__name__}: {_reason(errors[-1])}"
    ) from errors[-1]


def _reason(error: Exception) -> str:
    """Return what an error says, without its advice on logs."""
    said = " ".join(str(error).split())
    for end in (" Caused by:", " For more information", " The error above occurred"):
        said = said.partition(end)[0]
    return said[:_HINT] or type(error).__name__


def _wrapped(source: Source) -> Source:
    """Return a source whose outputs are tensors: Hugging Face models return objects of theirs."""
    if not _is_pretrained(source.module):
        return source
    kwargs = dict(source.kwargs)
    if not kwargs and not source.args:
        kwargs = dict(source.module.dummy_inputs)
    bound = inspect.signature(source.module.forward).bind_partial(*source.args, **kwargs)
    given = {name: value for name, value in bound.arguments.items() if value is not None}
    module = _first_output(source.module, tuple(given))
    return replace(source, module=module, args=tuple(given.values()), kwargs={})


def _is_pretrained(module: torch.nn.Module) -> bool:
    return any(one.__module__.startswith("transformers.") for one in type(module).__mro__)


def _first_output(model: torch.nn.Module, names: Sequence[str]) -> torch.nn.Module:
    """Return a module with named inputs that returns the first output of a Hugging Face model."""
    graph = fx.Graph()
    inputs = {name: graph.placeholder(name) for name in names}
    made = graph.call_module("model", (), inputs)
    graph.output(graph.call_function(operator.getitem, (made, 0)))
    return fx.GraphModule({"model": model}, graph)


def _tensors(source: Source) -> list[torch.Tensor]:
    leaves = pytree.tree_leaves((source.args, dict(source.kwargs)))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _doubled(source: Source) -> Source:
    """Return the source with two samples or more: export takes a size of 1 for a constant."""
    sizes = {tensor.shape[0] for tensor in _tensors(source) if tensor.ndim}
    if sizes != {1}:
        return source

    def twice(leaf: Any) -> Any:
        return torch.cat([leaf, leaf]) if isinstance(leaf, torch.Tensor) and leaf.ndim else leaf

    args, kwargs = pytree.tree_map(twice, (source.args, dict(source.kwargs)))
    return replace(source, args=args, kwargs=kwargs)


def _free_samples(source: Source) -> Any:
    """Return the dynamic shapes that let axis 0 of every tensor vary."""

    def free(leaf: Any) -> Any:
        return {0: Dim.AUTO} if isinstance(leaf, torch.Tensor) and leaf.ndim else None

    bound = inspect.signature(source.module.forward).bind(*source.args, **source.kwargs)
    return {name: pytree.tree_map(free, value) for name, value in bound.arguments.items()}


def _has_free_samples(exported: ExportedProgram) -> bool:
    names = set(exported.graph_signature.user_inputs)
    values = [n.meta.get("val") for n in exported.graph.nodes if n.name in names]
    tensors = [one for one in values if isinstance(one, torch.Tensor) and one.ndim]
    return all(isinstance(one.shape[0], torch.SymInt) for one in tensors)
