"""The kernels' sources, and which kernels stand in which file."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "kernels"

OPTIONS = (
    "--std=c++17",
    "--fmad=false",  # the bits of the CPU's kernels, which have no fused multiply-adds either
    f"--include-path={FOLDER}",
    f"--include-path={FOLDER / 'shared'}",
)
"""Options of NVRTC, besides the architecture."""

_LINE = re.compile(r"^KERNEL\((.+)\)$", re.MULTILINE)
_NOT_ON_A_CARD = re.compile(r"^#ifdef EVENTSNN_EMULATION\n.*?^#endif$", re.MULTILINE | re.DOTALL)


@lru_cache(maxsize=1)
def list_kernels() -> dict[str, str]:
    """The file of each kernel, by its name as `Device.launch` takes it."""
    kernels: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.h")):
        text = _NOT_ON_A_CARD.sub("", path.read_text(encoding="utf-8"))
        kernels |= dict.fromkeys(_LINE.findall(text), path.name)
    return kernels


def names_in(file: str) -> list[str]:
    """Names of the kernels of a file."""
    return [name for name, home in list_kernels().items() if home == file]
