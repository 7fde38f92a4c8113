"""A graphics card emulated on the CPU: every kernel, block after block.

What a card would punish with wrong results or a hang is an error here.
"""

from __future__ import annotations

import ctypes
import math
from types import ModuleType

import numpy as np

from eventsnn.errors import DeviceError, DeviceMemoryError
from eventsnn.gpu.device import Argument, Device, DeviceArray, name_types, pack


class EmulatedDevice(Device):
    """See `Device`.

    Parameters
    ----------
    memory : int
        Bytes that arrays may take, to see what happens when there are too few.
    backwards : bool
        Threads and blocks take turns from the last to the first, which must change nothing.

    Attributes
    ----------
    launched : list of str
        Names of the kernels that ran, in order.
    """

    name = "emulation"
    emulated = True
    multiprocessors = 2
    shared_memory = 227 * 1024

    def __init__(self, memory: int = 1 << 32, backwards: bool = False) -> None:
        self._kernels = load_kernels()
        self._memory, self._backwards = memory, backwards
        self._used = 0
        self.launched: list[str] = []

    def free_memory(self) -> int:
        """See `Device`."""
        return self._memory - self._used

    def empty(self, shape: int | tuple[int, ...], dtype: np.typing.DTypeLike) -> DeviceArray:
        """See `Device`: filled with NaN or -1 (bytes 0xff), so that what is read too early shows."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size > self.free_memory():
            raise DeviceMemoryError(size, self.free_memory())
        memory = _Memory(self, size)
        return DeviceArray(self, memory.address, shape, dtype, memory)

    def _launch(
        self, kernel: str, grid: tuple[int, int], threads: int, arguments: tuple[Argument, ...], shared: int
    ) -> None:
        self.launched.append(kernel)
        packed = pack(arguments)  # refuses what has no type
        self._kernels.run(kernel, name_types(arguments), packed, grid, threads, shared, self._backwards)

    def synchronize(self) -> None:
        """See `Device`: all is done."""

    def copy_in(self, address: int, host: np.ndarray) -> None:
        """See `Device`."""
        ctypes.memmove(address, host.ctypes.data, host.nbytes)

    def copy_out(self, host: np.ndarray, address: int) -> None:
        """See `Device`."""
        ctypes.memmove(host.ctypes.data, address, host.nbytes)

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """See `Device`."""
        assert (target.size, target.dtype) == (source.size, source.dtype)
        ctypes.memmove(target.address, source.address, source.nbytes)

    def clear(self, address: int, size: int) -> None:
        """See `Device`."""
        ctypes.memset(address, 0, size)


class _Memory:
    """Memory of the emulated device; gives it back when nobody uses it any more."""

    def __init__(self, device: EmulatedDevice, size: int) -> None:
        self._bytes = np.full(size + 255, 0xFF, np.uint8)
        self.address = -(-self._bytes.ctypes.data // 256) * 256  # as a card aligns
        self._device, self._size = device, size
        device._used += size

    def __del__(self) -> None:
        self._device._used -= self._size


def load_kernels() -> ModuleType:
    """The compiled emulation.

    Raises
    ------
    DeviceError
        It was not built: there was no C++ compiler.
    """
    try:
        from eventsnn._ext import gpu_emulation
    except ImportError:
        raise DeviceError(
            "the emulation of a graphics card was not built: it needs a C++ compiler and a system with "
            "ucontext.h (Linux, macOS); install one and install eventsnn again"
        ) from None
    return gpu_emulation
