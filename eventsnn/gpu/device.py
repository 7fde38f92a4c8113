"""The one interface through which everything else uses a graphics card.

- `find_device()` returns the device: a card of NVIDIA (`cuda.CudaDevice`, through CuPy, extra ``gpu``), or
  the emulation on the CPU (`emulated.EmulatedDevice`) if the environment says ``EVENTSNN_GPU=emulate``.
- `Device.put`, `empty` and `zeros` make a `DeviceArray`: an address, a shape and a dtype. `DeviceArray.read`
  and `write` copy from and to NumPy, ``array[a:b]`` is a part along the first axis. Nothing else of it can be
  read on the host, also not in the emulation.
- `Device.launch("name<types>", grid, threads, *arguments, shared=bytes)` runs a kernel of ``kernels/*.h``
  that has a line ``KERNEL(name<types>)``. Arguments: `DeviceArray` for a ``Span``, NumPy's numbers
  (``np.int32(3)``), or Python's int for ``int64``. Python's float is refused: its width would be a guess. The
  emulation compares all types.
- Launches and copies run in the order in which they are asked for. `read` waits for what was launched before.

A new kernel is a file in ``kernels/`` with its KERNEL lines, and a line in ``cython_ext/gpu/gpu_kernels.h``;
the rules stand at the top of ``kernels/cuda.h``. Kernels that share device functions include each other's
headers.
"""

from __future__ import annotations

import math
import os
import struct
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from eventsnn.errors import DeviceError, DeviceMemoryError

__all__ = [
    "Argument",
    "Device",
    "DeviceArray",
    "DeviceError",
    "DeviceMemoryError",
    "find_device",
    "name_types",
    "pack",
    "shared_bytes",
]

VARIABLE = "EVENTSNN_GPU"
"""Environment variable; "emulate" runs the kernels on the CPU, slowly, to see and to test what they do."""

ALIGNMENT = 16
"""Bytes to which each array in shared memory is aligned; as in ``kernels/cuda.h``."""


class DeviceArray:
    """A C-contiguous array on a device; its fields are not to be changed.

    Small mini-batches wait for the host, which makes many: so no dataclass, whose frozen fields take longer.

    Attributes
    ----------
    device : Device
    address : int
        Of the first element.
    shape : tuple of int
    dtype : numpy.dtype
    owner : object
        Keeps the memory alive.
    size : int
        How many elements.
    """

    __slots__ = ("address", "device", "dtype", "owner", "shape", "size")

    def __init__(
        self, device: Device, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object
    ) -> None:
        self.device, self.address, self.shape, self.dtype, self.owner = device, address, shape, dtype, owner
        self.size = math.prod(shape)

    @property
    def nbytes(self) -> int:
        """How many bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> DeviceArray:
        """A part along the first axis, in the same memory."""
        start, stop, step = part.indices(self.shape[0])
        if step != 1:
            raise ValueError("only parts without a step")
        stop = max(start, stop)
        row = self.nbytes // self.shape[0] if self.shape[0] else 0
        return DeviceArray(
            self.device, self.address + start * row, (stop - start, *self.shape[1:]), self.dtype, self.owner
        )

    def reshape(self, *shape: int) -> DeviceArray:
        """The same memory in another shape."""
        if math.prod(shape) != self.size:
            raise ValueError(f"{self.size} elements do not fit the shape {shape}")
        return DeviceArray(self.device, self.address, shape, self.dtype, self.owner)

    def view(self, dtype: np.typing.DTypeLike) -> DeviceArray:
        """The same memory as elements of another type, flat."""
        dtype = np.dtype(dtype)
        return DeviceArray(self.device, self.address, (self.nbytes // dtype.itemsize,), dtype, self.owner)

    def read(self) -> np.ndarray:
        """A copy on the host; waits for what was launched before."""
        host = np.empty(self.shape, self.dtype)
        if host.nbytes:
            self.device.copy_out(host, self.address)
        return host

    def write(self, values: np.ndarray) -> None:
        """Copy from the host."""
        host = np.ascontiguousarray(values, self.dtype)
        if host.shape != self.shape:
            raise ValueError(f"an array of shape {host.shape} for one of shape {self.shape}")
        if host.nbytes:
            self.device.copy_in(self.address, host)

    def clear(self) -> None:
        """Set all bytes to 0."""
        if self.nbytes:
            self.device.clear(self.address, self.nbytes)


Argument: TypeAlias = "DeviceArray | np.generic | int"


class Device:
    """A card, or the emulation of one.

    Attributes
    ----------
    name : str
        For people, such as "NVIDIA H100 80GB HBM3".
    emulated : bool
    multiprocessors : int
        How many blocks run at once at the least.
    shared_memory : int
        The most dynamic shared memory that a block may have, bytes.
    """

    name: str
    emulated: bool
    multiprocessors: int
    shared_memory: int

    def free_memory(self) -> int:
        """Bytes that arrays may still take."""
        raise NotImplementedError

    def empty(self, shape: int | tuple[int, ...], dtype: np.typing.DTypeLike) -> DeviceArray:
        """An array of anything.

        Raises
        ------
        DeviceMemoryError
            The device has no room for it.
        """
        raise NotImplementedError

    def zeros(self, shape: int | tuple[int, ...], dtype: np.typing.DTypeLike) -> DeviceArray:
        """An array of zeros; errors as for `empty`."""
        array = self.empty(shape, dtype)
        array.clear()
        return array

    def put(self, values: np.ndarray) -> DeviceArray:
        """A copy of an array of the host; errors as for `empty`."""
        array = self.empty(values.shape, values.dtype)
        array.write(values)
        return array

    def launch(
        self,
        kernel: str,
        grid: int | tuple[int, int],
        threads: int,
        *arguments: Argument,
        shared: int = 0,
    ) -> None:
        """Run a kernel.

        Parameters
        ----------
        kernel : str
            Of a line KERNEL(...), such as "sweep<float, 4>".
        grid : int or (int, int)
            Blocks; none is no launch.
        threads : int
            Of a block, a multiple of 32.
        arguments
            See the module.
        shared : int
            Bytes of dynamic shared memory; see `shared_bytes`.
        """
        columns, rows = grid if isinstance(grid, tuple) else (grid, 1)
        if columns and rows:
            self._launch(kernel, (columns, rows), threads, arguments, shared)

    def _launch(
        self, kernel: str, grid: tuple[int, int], threads: int, arguments: tuple[Argument, ...], shared: int
    ) -> None:
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until all is done."""
        raise NotImplementedError

    def copy_in(self, address: int, host: np.ndarray) -> None:
        """Copy a contiguous array to an address."""
        raise NotImplementedError

    def copy_out(self, host: np.ndarray, address: int) -> None:
        """Copy from an address to a contiguous array."""
        raise NotImplementedError

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Copy from one array of this device to another of the same size and type."""
        raise NotImplementedError

    def clear(self, address: int, size: int) -> None:
        """Set `size` bytes to 0."""
        raise NotImplementedError


_LETTERS = {int: "q"} | {np.dtype(each).type: each for each in "bBhHiIlLqQfd"}
"""How `struct` calls the types that a kernel takes by value; NumPy uses the same letters."""


def pack(arguments: tuple[Argument, ...]) -> bytes:
    """Arguments of a kernel as the driver takes them: their bytes, each aligned to its size."""
    layout = "@"
    values: list[Any] = []
    for argument in arguments:
        if type(argument) is DeviceArray:
            layout += "qq"
            values += (argument.address, argument.size)
        elif type(argument) in _LETTERS:
            layout += _LETTERS[type(argument)]
            values.append(argument)
        else:
            raise TypeError(f"a kernel takes device arrays, NumPy's numbers and int, not {argument!r}")
    return struct.pack(layout, *values)


def name_types(arguments: tuple[Argument, ...]) -> str:
    """Types of a kernel's arguments: kind and bytes as NumPy writes them, * for an array; for `pack`'s."""

    def name(argument: Argument) -> str:
        if isinstance(argument, int):
            return "i8"
        star = "*" if isinstance(argument, DeviceArray) else ""
        return f"{star}{argument.dtype.kind}{argument.dtype.itemsize}"

    return ", ".join(map(name, arguments))


def shared_bytes(*arrays: tuple[np.typing.DTypeLike, int]) -> int:
    """Bytes of shared memory that arrays of (dtype, length) take, as `SharedMemory` hands them out."""
    sizes = (np.dtype(dtype).itemsize * length for dtype, length in arrays)
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)


def find_device() -> Device:
    """The device to compute on.

    Raises
    ------
    MissingExtraError
        CuPy is not installed.
    DeviceError
        There is no card, or it cannot be used.
    """
    choice = os.environ.get(VARIABLE, "")
    if choice not in ("", "emulate"):
        raise DeviceError(
            f"{VARIABLE}={choice} in the environment: it may be 'emulate', or nothing for a card"
        )
    return _emulated() if choice else _card()


@lru_cache(maxsize=1)
def _emulated() -> Device:
    from eventsnn.gpu.emulated import EmulatedDevice

    return EmulatedDevice()


@lru_cache(maxsize=1)
def _card() -> Device:
    from eventsnn.gpu.cuda import CudaDevice

    return CudaDevice()
