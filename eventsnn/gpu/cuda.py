"""A card of NVIDIA, through CuPy: its memory and its driver."""

from __future__ import annotations

import ctypes
import glob
import math
import os
import threading
from collections.abc import MutableMapping
from typing import Any

import numpy as np

from eventsnn.errors import DeviceError, DeviceMemoryError
from eventsnn.gpu.compiler import compile_for, load_cupy
from eventsnn.gpu.device import Argument, Device, DeviceArray, pack
from eventsnn.gpu.sources import list_kernels, names_in

MOST_STATIC = 48 * 1024
"""More dynamic shared memory than this a kernel must be allowed to have."""

MOST_SHARED, CARVEOUT = 8, 9
"""Attributes of a function, as the driver numbers them."""

VISIBLE = "CUDA_VISIBLE_DEVICES"
# A process' number among those on its machine, from launchers: MPICH and Intel MPI, Open MPI, MVAPICH, SLURM.
RANKS_HERE = (
    "MPI_LOCALRANKID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID",
)

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
        take_turns(os.environ, len(glob.glob("/dev/nvidia[0-9]*")))
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
        self._capability = card.compute_capability
        self._functions: dict[str, Function] = {}
        self._loading = threading.Lock()
        self._threads = threading.local()

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
        self, kernel: str, grid: tuple[int, int], threads: int, arguments: tuple[Argument, ...], shared: int
    ) -> None:
        driver = self._cupy.cuda.driver
        if not hasattr(self._threads, "begun"):
            # What the driver loads and launches needs the context that the runtime makes when a thread first
            # asks it.
            self._cupy.cuda.runtime.memGetInfo()
            self._threads.begun = True
        function = self._functions.get(kernel) or self._load_once(kernel)
        if shared > MOST_STATIC and shared > function.allowed:
            # The most dynamic shared memory of a block, and the share of a multiprocessor's first cache that
            # is shared memory, in per cent: a driver may leave too little for two blocks.
            driver.funcSetAttribute(function.pointer, MOST_SHARED, shared)
            driver.funcSetAttribute(function.pointer, CARVEOUT, 100)
            function.allowed = shared
        # The arguments as one buffer: pointer and size, marked 1 and 2, ended by 0.
        packed = pack(arguments)
        buffer = ctypes.create_string_buffer(packed, len(packed))
        size = ctypes.c_size_t(len(packed))
        extra = _Extra(1, ctypes.addressof(buffer), 2, ctypes.addressof(size), 0)
        driver.launchKernel(
            function.pointer, *grid, 1, threads, 1, 1, shared, DEFAULT_STREAM, 0, ctypes.addressof(extra)
        )

    def _load_once(self, kernel: str) -> Function:
        """As `_load`; a thread that comes second would replace kernels that may be running."""
        with self._loading:
            return self._functions.get(kernel) or self._load(kernel)

    def _load(self, kernel: str) -> Function:
        """The kernels of a file, when one is first launched."""
        file = list_kernels()[kernel]
        binary, lowered = compile_for(file, self._capability)
        module = self._cupy.cuda.function.Module()
        try:
            module.load(binary)
        except self._cupy.cuda.driver.CUDADriverError as error:
            raise DeviceError(
                f"the driver cannot load the kernels ({error}); a newer driver may, or the extra 'gpu12' of "
                "eventsnn"
            ) from None
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


_Extra = ctypes.c_void_p * 5


class Function:
    """A kernel on the card."""

    def __init__(self, module: Any, lowered: str) -> None:
        self._function = module.get_function(lowered)
        self.pointer = int(self._function.ptr)
        self.allowed = 0
        """Bytes of dynamic shared memory that it was allowed to have."""


def take_turns(environment: MutableMapping[str, str], cards: int) -> None:
    """Show this process its own card alone, if a launcher has started it beside others on this machine.

    Processes take the machine's `cards`, or those that ``CUDA_VISIBLE_DEVICES`` lists, in turns. CUDA reads
    the variable when it is first asked for something; later, nothing changes.
    """
    rank = next((environment[name] for name in RANKS_HERE if environment.get(name, "").isdecimal()), None)
    shown = environment.get(VISIBLE)
    names = [str(card) for card in range(max(cards, 1))] if shown is None else shown.split(",")
    if rank is not None and int(rank) % len(names):  # the first card is taken as it is
        environment[VISIBLE] = names[int(rank) % len(names)].strip()


def no_card(reason: str) -> str:
    """The text of the error where no card can be used."""
    return (
        f"no graphics card of NVIDIA can be used ({reason}); use engine='sweep' and device='cpu', or "
        "EVENTSNN_GPU=emulate in the environment to see what the kernels do"
    )
