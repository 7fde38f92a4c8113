"""A card of NVIDIA, through CuPy: its memory, its driver, and NVRTC, which compiles the kernels."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from eventsnn.errors import DeviceError, DeviceMemoryError, MissingExtraError
from eventsnn.gpu.device import Device, DeviceArray
from eventsnn.gpu.sources import OPTIONS, list_kernels, names_in

MOST_STATIC = 48 * 1024
"""More dynamic shared memory than this a kernel must be allowed to have."""

DEFAULT_STREAM = 0
"""What is asked of it is done in order, whichever thread asks."""


class CudaDevice(Device):
    """See `Device`: the first card that CUDA shows.

    All is done in the default stream, whatever stream was chosen in CuPy: each thread has a choice of its
    own, and mini-batches are prepared in another thread than the one that needs them.
    """

    emulated = False

    def __init__(self) -> None:
        self._cupy = load_cupy()
        runtime = self._cupy.cuda.runtime
        try:
            if not runtime.getDeviceCount():
                raise DeviceError(no_card("CUDA finds none"))
            card = self._cupy.cuda.Device()
            attributes = card.attributes
        except runtime.CUDARuntimeError as error:
            raise DeviceError(no_card(str(error))) from None
        if card.id != 0:
            # The choice of a card, too, is each thread's own.
            raise DeviceError(
                f"card {card.id} was chosen for this thread alone; choose it for the process, by "
                "CUDA_VISIBLE_DEVICES in the environment"
            )
        self.name = runtime.getDeviceProperties(card.id)["name"].decode()
        self.multiprocessors = attributes["MultiProcessorCount"]
        self.shared_memory = attributes["MaxSharedMemoryPerBlockOptin"]
        self._architecture = card.compute_capability
        self._functions: dict[str, Any] = {}

    def free_memory(self) -> int:
        """See `Device`: what the driver has left, and what CuPy's pool keeps for later."""
        free, _ = self._cupy.cuda.runtime.memGetInfo()
        return int(free) + int(self._cupy.get_default_memory_pool().free_bytes())

    def empty(self, shape: int | tuple[int, ...], dtype: np.typing.DTypeLike) -> DeviceArray:
        """See `Device`."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        try:
            memory = self._cupy.cuda.alloc(size)
        except self._cupy.cuda.memory.OutOfMemoryError:
            raise DeviceMemoryError(size, self.free_memory()) from None
        return DeviceArray(self, int(memory.ptr), shape, dtype, memory)

    def _launch(
        self, kernel: str, grid: tuple[int, int], threads: int, codes: str, packed: bytes, shared: int
    ) -> None:
        function = self._function(kernel)
        if shared > MOST_STATIC and shared > function.allowed:
            # Attribute 8: the most dynamic shared memory of a block.
            self._cupy.cuda.driver.funcSetAttribute(function.pointer, 8, shared)
            function.allowed = shared
        # The arguments as one buffer: pointer and size, marked 1 and 2, ended by 0.
        buffer = ctypes.create_string_buffer(packed, len(packed))
        size = ctypes.c_size_t(len(packed))
        extra = (ctypes.c_void_p * 5)(1, ctypes.addressof(buffer), 2, ctypes.addressof(size), 0)
        self._cupy.cuda.driver.launchKernel(
            function.pointer, *grid, 1, threads, 1, 1, shared, DEFAULT_STREAM, 0, ctypes.addressof(extra)
        )

    def _function(self, kernel: str) -> Function:
        if kernel not in self._functions:
            file = list_kernels()[kernel]
            binary, lowered = compile_file(file, f"sm_{self._architecture}")
            module = self._cupy.cuda.function.Module()
            module.load(binary)
            for name in names_in(file):
                self._functions[name] = Function(module, lowered[name])
        return self._functions[kernel]

    def synchronize(self) -> None:
        """See `Device`."""
        self._cupy.cuda.runtime.streamSynchronize(DEFAULT_STREAM)

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(target, source, size, getattr(runtime, f"memcpy{kind}"), DEFAULT_STREAM)

    def copy_in(self, address: int, host: np.ndarray) -> None:
        """See `Device`: returns when `host`, which is pageable, has been read."""
        self._copy(address, host.ctypes.data, host.nbytes, "HostToDevice")

    def copy_out(self, host: np.ndarray, address: int) -> None:
        """See `Device`."""
        self._copy(host.ctypes.data, address, host.nbytes, "DeviceToHost")
        self.synchronize()

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """See `Device`."""
        assert (target.size, target.dtype) == (source.size, source.dtype)
        if source.nbytes:
            self._copy(target.address, source.address, source.nbytes, "DeviceToDevice")

    def clear(self, address: int, size: int) -> None:
        """See `Device`."""
        self._cupy.cuda.runtime.memsetAsync(address, 0, size, DEFAULT_STREAM)


class Function:
    """A kernel on the card."""

    def __init__(self, module: Any, lowered: str) -> None:
        self._function = module.get_function(lowered)
        self.pointer = int(self._function.ptr)
        self.allowed = 0
        """Bytes of dynamic shared memory that it was allowed to have."""


def load_cupy() -> Any:
    """CuPy.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import cupy
    except ImportError as error:
        if error.name != "cupy":  # it is there, and something that it needs is not
            raise
        raise MissingExtraError("CuPy", "gpu", "a graphics card") from None
    return cupy


def no_card(reason: str) -> str:
    """The text of the error where no card can be used."""
    return (
        f"no graphics card of NVIDIA can be used ({reason}); use engine='sweep' and device='cpu', or "
        "EVENTSNN_GPU=emulate in the environment to see what the kernels do"
    )


def compile_file(file: str, architecture: str) -> tuple[bytes, dict[str, str]]:
    """Compile the kernels of a file with NVRTC; needs no card.

    CuPy's own way, its class for modules, flushes small float32 to 0, which the CPU does not, and does not
    see when an included file changes.

    Parameters
    ----------
    file : str
        In ``kernels/``.
    architecture : str
        Such as "sm_90".

    Returns
    -------
    binary : bytes
    lowered : dict of str to str
        The kernels' names in the binary, by their names here.

    Raises
    ------
    DeviceError
        NVRTC is missing or refuses the source.
    """
    load_cupy()
    from cupy.cuda import nvrtc

    names = names_in(file)
    try:
        program = nvrtc.createProgram(f'#include "{file}"\n', "eventsnn.cu", (), ())
    except RuntimeError as error:
        raise DeviceError(
            f"NVRTC, the compiler of kernels, is missing ({error}): pip install 'eventsnn[gpu]'"
        ) from None
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={architecture}"))
        lowered = {name: nvrtc.getLoweredName(program, name) for name in names}
        return nvrtc.getCUBIN(program), lowered
    except nvrtc.NVRTCError as error:
        raise DeviceError(f"NVRTC cannot compile {file}: {error}\n{nvrtc.getProgramLog(program)}") from None
    finally:
        nvrtc.destroyProgram(program)
