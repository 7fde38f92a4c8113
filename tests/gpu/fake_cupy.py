"""What `eventsnn.gpu.cuda` uses of CuPy, over the emulation.

Memory is the host's, and launches unpack the buffer of arguments that the driver is given.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np


class FakeError(RuntimeError):
    """An error of the driver."""


class NoMemory(MemoryError):
    """No room on the card."""


class Memory:
    """Memory of the card."""

    def __init__(self, size: int) -> None:
        self._bytes = np.full(size + 256, 0xFF, np.uint8)
        self.ptr = self._bytes.ctypes.data // 256 * 256 + 256


class FakeCupy:
    """The module.

    Attributes
    ----------
    cards : int
    chosen : int
        The card that the thread has chosen.
    memory : int
        Bytes that an array may have.
    refuses : bool
        Whether the driver can load nothing.
    allowed : dict of int to int
        Dynamic shared memory that each function was allowed to have.
    launches : list of (str, grid, threads, shared)
    """

    def __init__(self, cards: int = 1, memory: int = 1 << 30) -> None:
        from eventsnn._ext import gpu_emulation

        self._kernels, self._codes = gpu_emulation, gpu_emulation.kernel_codes()
        self._names = list(self._codes)
        self.cards, self.memory, self.chosen = cards, memory, 0
        self.allowed: dict[int, int] = {}
        self.launches: list[tuple[str, tuple[int, int], int, int]] = []
        self.compiled: list[str] = []
        self.refuses = False
        runtime = SimpleNamespace(
            CUDARuntimeError=FakeError,
            getDeviceCount=self._count,
            getDeviceProperties=lambda number: {"name": b"fake"},
            memGetInfo=lambda: (self.memory, self.memory),
            memcpyAsync=self._copy,
            memsetAsync=lambda address, value, size, stream: ctypes.memset(address, value, size),
            streamSynchronize=lambda stream: None,
            memcpyHostToDevice=1,
            memcpyDeviceToHost=2,
            memcpyDeviceToDevice=3,
        )
        driver = SimpleNamespace(
            launchKernel=self._launch, funcSetAttribute=self._allow, CUDADriverError=FakeError
        )
        card = SimpleNamespace(
            compute_capability="90",
            attributes={"MultiProcessorCount": 132, "MaxSharedMemoryPerBlockOptin": 232448},
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            driver=driver,
            Device=lambda: SimpleNamespace(id=self.chosen, **vars(card)),
            alloc=self._alloc,
            memory=SimpleNamespace(OutOfMemoryError=NoMemory),
            function=SimpleNamespace(Module=lambda: SimpleNamespace(load=self._load, get_function=self._get)),
        )

    def get_default_memory_pool(self) -> Any:
        """What frees memory later."""
        return SimpleNamespace(free_bytes=lambda: 0)

    def compile_for(self, file: str, capability: str) -> tuple[bytes, dict[str, str]]:
        """In place of NVRTC: each kernel keeps its name."""
        assert capability == "90"
        self.compiled.append(file)
        return file.encode(), {name: f"lowered {name}" for name in self._names}

    def _count(self) -> int:
        if self.cards < 0:
            raise FakeError("no driver")
        return self.cards

    def _alloc(self, size: int) -> Memory:
        if size > self.memory:
            raise NoMemory
        return Memory(size)

    def _copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        assert kind in (1, 2, 3)
        assert stream == 0
        ctypes.memmove(target, source, size)

    def _load(self, binary: bytes) -> None:
        assert binary.endswith(b".h")
        if self.refuses:
            raise FakeError("too new")

    def _get(self, lowered: str) -> Any:
        return SimpleNamespace(ptr=1 + self._names.index(lowered.removeprefix("lowered ")))

    def _allow(self, function: int, attribute: int, value: int) -> None:
        assert (attribute, value) == (9, 100) or attribute == 8
        if attribute == 8:
            self.allowed[function] = value

    def _launch(
        self, function: int, x: int, y: int, z: int, threads: int, more: int, most: int, shared: int,
        stream: int, parameters: int, extra: int,
    ) -> None:  # fmt: skip
        """As the driver takes it: the arguments as one buffer."""
        assert (z, more, most, stream, parameters) == (1, 1, 1, 0, 0)
        assert shared <= max(48 * 1024, self.allowed.get(function, 0))
        words = (ctypes.c_void_p * 5).from_address(extra)
        assert (words[0], words[2], words[4]) == (1, 2, None)
        size = ctypes.c_size_t.from_address(words[3]).value
        packed = ctypes.string_at(words[1], size)
        name = self._names[function - 1]
        self.launches.append((name, (x, y), threads, shared))
        self._kernels.run(name, self._codes[name], packed, (x, y), threads, shared)
