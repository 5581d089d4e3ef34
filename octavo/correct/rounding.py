"""Adaptive rounding: integers for a weight that keep what it computes, not what it is.

Rounding every value to the nearest integer is best for values that are multiplied by unrelated
inputs. Inputs are related, so that an error on one value can be made good on the others. With
`H = X^T X` over the inputs, the squared error of a layer's output is `D H D^T` for a rounding error
`D` of each output channel; the method of Frantar et al. 2022 ("GPTQ", arXiv:2210.17323, equations 2
and 3; after Hassibi and Stork's Optimal Brain Surgeon) rounds one column after another and moves
what is not yet rounded to where it makes good the error so far. It is deterministic, has a closed
form for each step, and needs two factorizations a layer, where AdaRound (Nagel et al. 2020) needs
thousands of gradient steps for a gain of the same kind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from octavo.arrays import FloatArray

BLOCK = 64
"""Columns that are rounded before what lies behind them is moved, by one product."""


def round_weight(
    weight: FloatArray, scale: FloatArray, gram: FloatArray, largest: int
) -> FloatArray:
    """Return integers whose output error is as small as the method finds, never above nearest.

    In each output channel the value that is largest, to which the scale is due, is rounded to the
    nearest integer: the scale of `weight` is also the scale of what is returned.

    Args:
        weight: `[groups, outputs, columns]`; columns are inputs times taps.
        scale: `[groups, outputs]`, the step of each output channel.
        gram: `[groups, columns, columns]`, the mean of `x x^T` over inputs; see `shrunk`.
        largest: the largest integer in use; the smallest is its negative.

    Returns:
        Whole numbers as float64, of the shape of `weight`.
    """
    steps = weight / scale[..., None]
    nearest = np.clip(np.rint(steps), -largest, largest)
    moved = _compensated(steps, nearest, _invertible(gram), largest)
    worse = output_error(moved - steps, gram) >= output_error(nearest - steps, gram)
    return np.where(worse[..., None], nearest, moved)


def output_error(error: FloatArray, gram: FloatArray) -> FloatArray:
    """Return the mean squared error of each output channel.

    Args:
        error: `[groups, outputs, columns]`, errors of a weight.
        gram: `[groups, columns, columns]`, the mean of `x x^T` over inputs.

    Returns:
        `[groups, outputs]`.
    """
    return np.asarray(((error @ gram) * error).sum(axis=-1))


def shrunk(gram: FloatArray, samples: int) -> FloatArray:
    """Return a matrix of `samples` inputs with the relations between columns drawn towards none.

    With fewer inputs than columns there are directions in which no input lies by chance alone, and
    errors must not be moved there. The share taken off is `columns / (columns + samples)`: on
    random layers this gave the least error on inputs not seen, from half as many samples as columns
    to a hundred times as many.
    """
    columns = gram.shape[-1]
    kept = samples / (columns + samples)
    own = np.eye(columns) * gram
    return np.asarray(own + kept * (gram - own))


def _invertible(gram: FloatArray) -> FloatArray:
    """Return a matrix with a little added to its diagonal: inputs may be zero throughout."""
    mean = np.einsum("gii->gi", gram).mean(axis=1)
    added = 1e-6 * np.where(mean > 0, mean, 1.0)
    return np.asarray(gram + np.eye(gram.shape[1]) * added[:, None, None])


def _compensated(
    steps: FloatArray, nearest: FloatArray, gram: FloatArray, largest: int
) -> FloatArray:
    """Round the columns in the order of their weight in `gram`, the heaviest first."""
    order = np.argsort(-np.einsum("gii->gi", gram), axis=1, kind="stable")
    rows = np.take_along_axis(gram, order[:, :, None], 1)
    inverse = np.linalg.inv(np.take_along_axis(rows, order[:, None, :], 2))
    factor = np.asarray(np.linalg.cholesky(inverse), np.float64).swapaxes(1, 2)  # upper triangular
    left = np.take_along_axis(steps, order[:, None, :], 2)
    made = np.take_along_axis(nearest, order[:, None, :], 2)
    pinned = np.abs(left).argmax(axis=2)
    for start in range(0, left.shape[2], BLOCK):
        stop = min(start + BLOCK, left.shape[2])
        errors = _round_block(left, made, factor, pinned, slice(start, stop), largest)
        left[..., stop:] -= errors @ factor[:, start:stop, stop:]
    result = np.empty_like(made)
    np.put_along_axis(result, order[:, None, :], made, 2)
    return result


def _round_block(
    left: FloatArray,
    made: FloatArray,
    factor: FloatArray,
    pinned: NDArray[np.intp],
    block: slice,
    largest: int,
) -> FloatArray:
    """Round a block of columns in place and return the errors that are to be made good behind it.

    Args:
        left: what is to be rounded; the columns of the block are changed.
        made: the nearest integers; those of the block become the chosen ones.
        factor: upper triangular, of the inverse.
        pinned: `[groups, outputs]`, the column that keeps the nearest integer.
        block: the columns.
        largest: the largest integer in use.
    """
    errors = np.empty((*left.shape[:2], block.stop - block.start))
    for column in range(block.start, block.stop):
        value = np.clip(np.rint(left[..., column]), -largest, largest)
        made[..., column] = np.where(pinned == column, made[..., column], value)
        wrong = left[..., column] - made[..., column]
        error = wrong / factor[:, None, column, column]
        within = slice(column + 1, block.stop)
        left[..., within] -= error[..., None] * factor[:, None, column, within]
        errors[..., column - block.start] = error
    return errors
