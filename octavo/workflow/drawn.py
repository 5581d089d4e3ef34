"""Random inputs, of sizes that the user knows of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from octavo.data import CheckedDataset, random_dataset
from octavo.errors import UsageError, nearest
from octavo.model import Dimension, TensorSpec

_SIDE, _LENGTH = 224, 128  # for the example of a message: pixels, tokens


def draw(
    inputs: Sequence[TensorSpec], samples: int, seed: int, shapes: Mapping[str, tuple[int, ...]]
) -> CheckedDataset:
    """Return random samples; see `octavo.data.random_dataset`.

    Args:
        inputs: what the model reads.
        samples: how many.
        seed: another seed gives other samples.
        shapes: shapes by input name, the sample axis included (its size does not matter).

    Raises:
        UsageError: an input has free dimensions besides its first and no shape, or a shape is given
            that fits no input.
    """
    by_name = {spec.name: spec for spec in inputs}
    for name, shape in shapes.items():
        if name not in by_name:
            raise UsageError(f"a shape for {name!r}, which is no input{nearest(name, by_name)}")
        _check_shape(by_name[name], shape)
    for spec in inputs:
        if spec.name not in shapes:
            _check_free(spec)
    return random_dataset(inputs, samples, seed, shapes=shapes)


def _check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    fixed = [(size, given) for size, given in zip(spec.shape, shape, strict=False)][1:]
    wrong = any(isinstance(size, int) and size != given for size, given in fixed)
    if wrong or len(shape) != len(spec.shape) or min(shape, default=1) < 1:
        raise UsageError(f"the shape {_written(shape)} does not fit input {spec}")


def _check_free(spec: TensorSpec) -> None:
    free = [
        size or f"number {axis}"
        for axis, size in enumerate(spec.shape)
        if axis and not isinstance(size, int)
    ]
    if free:
        example = _written([_example(size, spec) for size in (1, *spec.shape[1:])])
        raise UsageError(
            f"input {spec} has free dimensions {', '.join(free)}; give data, or their sizes with "
            f"--shape {spec.name}={example}"
        )


def _example(size: Dimension, spec: TensorSpec) -> int:
    if isinstance(size, int):
        return size
    return _SIDE if len(spec.shape) == 4 else _LENGTH


def _written(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
