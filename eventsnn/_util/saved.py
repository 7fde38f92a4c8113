"""Checked access to the arrays of a saved state: nothing of a file reaches a kernel unchecked.

Kernels index with what a state holds (neurons, cursors) and search from its times. A wrong shape reads other
memory, a wrong index writes to it, and a time that runs backwards makes decay factors grow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


class StateError(ValueError):
    """A saved state cannot be that of the network; names the array. The caller adds the file's name."""


class StateReader:
    """The arrays of a saved state, each of which is asked for once, by name.

    Parameters
    ----------
    arrays : mapping of str to array
    prefix : str
        What the names of the arrays begin with; it is left out where they are asked for.

    Attributes
    ----------
    trusted : bool
        Whether the state was never out of this process, so that what takes long to check need not be.
    """

    trusted = False

    def __init__(self, arrays: Mapping[str, np.ndarray], prefix: str = "") -> None:
        self._prefix = prefix
        self._arrays = {
            name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)
        }

    def within(self, prefix: str) -> StateReader:
        """A reader of those arrays whose names begin with `prefix`, which this reader then has no more."""
        inner = type(self)(self._arrays, prefix)
        inner._prefix = self._prefix + prefix
        self._arrays = {n: array for n, array in self._arrays.items() if not n.startswith(prefix)}
        return inner

    def numbers(
        self,
        name: str,
        shape: tuple[int | None, ...],
        dtype: np.dtype | type,
        *,
        lowest: float = -math.inf,
        highest: float = math.inf,
        infinite: bool = False,
    ) -> np.ndarray:
        """An array of numbers, contiguous.

        Parameters
        ----------
        name : str
        shape : tuple
            None where any length will do.
        dtype : dtype
            Exactly this one.
        lowest, highest : float
            Both allowed.
        infinite : bool
            Whether infinities within the bounds are allowed; NaN never is.

        Raises
        ------
        StateError
        """
        if name not in self._arrays:
            raise self.error(name, "is missing")
        array = self._arrays.pop(name)
        if array.dtype != np.dtype(dtype):
            raise self.error(name, f"is of dtype {array.dtype}, not {np.dtype(dtype)}")
        if len(array.shape) != len(shape) or any(
            n is not None and n != m for n, m in zip(shape, array.shape, strict=True)
        ):
            raise self.error(name, f"has shape {array.shape}, not {shape}".replace("None", "n"))
        if array.dtype.kind == "f" and (np.isnan(array).any() or not (infinite or np.isfinite(array).all())):
            raise self.error(name, "holds NaN or infinity")
        if array.size and not (array.min() >= lowest and array.max() <= highest):
            raise self.error(name, f"holds {array.min()} to {array.max()}, beyond {lowest} to {highest}")
        return np.asarray(array, order="C")

    def train(
        self, times_name: str, neurons_name: str, size: int, *, lowest: float = 0.0, highest: float = math.inf
    ) -> tuple[np.ndarray, np.ndarray]:
        """Spikes of `size` neurons: times (float64, ms, ascending, within the bounds), neurons (int32).

        Raises
        ------
        StateError
        """
        times = self.ascending(times_name, lowest=lowest, highest=highest)
        neurons = self.numbers(neurons_name, times.shape, np.int32, lowest=0, highest=size - 1)
        return times, neurons

    def ascending(self, name: str, *, lowest: float = 0.0, highest: float = math.inf) -> np.ndarray:
        """Times in order: float64, ms, within the bounds.

        Raises
        ------
        StateError
        """
        times = self.numbers(name, (None,), np.float64, lowest=lowest, highest=highest)
        if (np.diff(times) < 0.0).any():
            raise self.error(name, "is not in order of time")
        return times

    def close(self) -> None:
        """Raise StateError if there is an array that nobody has asked for."""
        for name in self._arrays:
            raise self.error(name, "does not belong to this engine and network")

    def error(self, name: str, problem: str) -> StateError:
        """The error that says what is wrong with an array."""
        return StateError(f"{self._prefix}{name} {problem}")


class OwnState(StateReader):
    """A state that this process saved and kept."""

    trusted = True

    def numbers(self, name: str, *_: object, **__: object) -> np.ndarray:
        """See `StateReader`."""
        return self._arrays.pop(name)

    def ascending(self, name: str, **_: object) -> np.ndarray:
        """See `StateReader`."""
        return self._arrays.pop(name)

    def close(self) -> None:
        """See `StateReader`; what is not asked for is not needed."""
