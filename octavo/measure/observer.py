"""Statistics of many tensors, collected while a model runs, kept in one file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from octavo.arrays import Array
from octavo.errors import ArtifactError, DataError, NonFiniteError, UsageError, nearest
from octavo.measure.statistics import TensorStatistics

_DAMAGE = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)
"""What numpy and `TensorStatistics.from_arrays` raise on a file that `save` did not write."""

_NO_AXES: Mapping[str, int] = MappingProxyType({})


class Statistics:
    """An `octavo.backends.base.Observer` that keeps `TensorStatistics` of every tensor it wants.

    Args:
        tensors: names of the tensors; each is measured once however often it is named.
        channel_axes: the channel axis of the tensors whose extremes are wanted per channel.
        bins: see `TensorStatistics`.
        limit: see `TensorStatistics`.
    """

    def __init__(
        self,
        tensors: Iterable[str],
        *,
        channel_axes: Mapping[str, int] = _NO_AXES,
        bins: int = 2048,
        limit: int | None = None,
    ) -> None:
        self._by_name = {
            name: TensorStatistics(channel_axes.get(name), bins, limit) for name in tensors
        }

    @property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors it wants."""
        return tuple(self._by_name)

    def update(self, tensor: str, values: Array) -> None:
        """Take the values of one batch; see `TensorStatistics.update`.

        Raises:
            NonFiniteError: a value is NaN or infinite; names the tensor.
            DataError: the values cannot be measured; names the tensor.
            UsageError: `tensor` is not one of `tensors`.
        """
        statistics = self[tensor]
        try:
            statistics.update(values)
        except NonFiniteError as error:
            raise NonFiniteError(tensor, error.count) from None
        except DataError as error:
            raise DataError(f"tensor {tensor!r}: {error}") from None

    def __getitem__(self, tensor: str) -> TensorStatistics:
        if tensor not in self._by_name:
            raise UsageError(
                f"tensor {tensor!r} is not measured{nearest(tensor, self._by_name)}; "
                f"expected one of the {len(self._by_name)} tensors the statistics were made for"
            )
        return self._by_name[tensor]

    def merge(self, other: Statistics) -> None:
        """Take what `other` saw of the same tensors, as if it had been seen here.

        Raises:
            UsageError: the two are of different tensors or were made with other arguments.
        """
        if set(self.tensors) != set(other.tensors):
            raise UsageError("statistics can be merged only when they are of the same tensors")
        for name, statistics in self._by_name.items():
            statistics.merge(other[name])

    def save(self, path: str | Path) -> None:
        """Write everything into one `.npz` of plain arrays.

        The file appears whole: what was there before stays until then.

        Raises:
            ArtifactError: it cannot be written.
        """
        arrays: dict[str, Array] = {"tensors": np.array(self.tensors, dtype=np.str_)}
        for index, statistics in enumerate(self._by_name.values()):
            for key, array in statistics.to_arrays().items():
                arrays[f"{index}.{key}"] = array
        partial = Path(path).with_name(Path(path).name + ".partial")
        try:
            with partial.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]  # names like numpy's own options
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise ArtifactError(
                f"cannot write statistics to {str(path)!r} ({error.strerror}); "
                "expected a writable folder with free space"
            ) from None

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls._from_arrays(dict(file))
        except _DAMAGE as error:
            raise DataError(
                f"{str(path)!r} does not hold statistics ({error}); "
                "expected a file that Statistics.save wrote: measure again"
            ) from None

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, Array]) -> Statistics:
        by_index: dict[str, dict[str, Array]] = {}
        for key, array in arrays.items():
            index, _, name = key.rpartition(".")
            by_index.setdefault(index, {})[name] = array
        self = cls(())
        for position, tensor in enumerate(arrays["tensors"].tolist()):
            self._by_name[tensor] = TensorStatistics.from_arrays(by_index[str(position)])
        return self
