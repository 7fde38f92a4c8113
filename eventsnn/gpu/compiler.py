"""NVRTC, which compiles the kernels, and the folder that keeps what it made.

A file takes it up to a second, every process anew. So binaries are kept in ``$EVENTSNN_CACHE``, or else in
``eventsnn`` in the user's folder for such things; a name is a digest of all that decides about the content.
The folder may be removed at any time. Where it cannot be written, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from eventsnn._util.atomic import replace_file
from eventsnn.errors import DeviceError, MissingExtraError
from eventsnn.gpu.sources import FOLDER, OPTIONS, names_in

VARIABLE = "EVENTSNN_CACHE"
"""Environment variable: the folder of the binaries; empty: none are kept."""

Compiled = tuple[bytes, dict[str, str]]
"""A binary, and the kernels' names in it, by their names here."""


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


def load_nvrtc() -> Any:
    """CuPy's module of NVRTC.

    Raises
    ------
    MissingExtraError, DeviceError
        CuPy is not installed, or NVRTC is missing.
    """
    load_cupy()
    from cupy.cuda import nvrtc

    try:
        nvrtc.getVersion()
    except RuntimeError as error:
        raise DeviceError(
            f"NVRTC, the compiler of kernels, is missing ({error}): pip install 'eventsnn[gpu]'"
        ) from None
    return nvrtc


def find_target(capability: str, version: tuple[int, int], known: Sequence[int]) -> str:
    """What to compile for: the card's own architecture, or the newest older one that the compiler knows.

    A newer card than the compiler gets PTX, which its driver compiles.

    Parameters
    ----------
    capability : str
        The card's compute capability without the dot, such as "90".
    version : (int, int)
        Of NVRTC.
    known : sequence of int
        Architectures that it knows.

    Raises
    ------
    DeviceError
        The card is older than all of them.
    """
    own = int(capability)
    older = [each for each in known if each <= own]
    if not older:
        raise DeviceError(
            f"the card has compute capability {own / 10:.1f}, and NVRTC {version[0]}.{version[1]} compiles "
            f"for {min(known) / 10:.1f} and newer: pip install 'eventsnn[gpu12]', or use another card"
        )
    return f"sm_{own}" if own in older else f"compute_{max(older)}"


def compile_for(file: str, capability: str) -> Compiled:
    """The kernels of a file for a card, kept from an earlier run or compiled now.

    Raises
    ------
    DeviceError
        NVRTC is missing, does not know so old a card, or refuses the source.
    """
    nvrtc = load_nvrtc()
    version = nvrtc.getVersion()
    target = find_target(capability, version, nvrtc.getSupportedArchs())
    kept = kept_path(file, target, version)
    found = None if kept is None else read_kept(kept)
    if found is None:
        found = compile_file(file, target)
        if kept is not None:
            keep(kept, found)
    return found


def compile_file(file: str, target: str) -> Compiled:
    """Compile the kernels of a file with NVRTC; needs no card.

    CuPy's own way, its class for modules, flushes small float32 to 0, which the CPU does not, and does not
    see when an included file changes.

    Parameters
    ----------
    file : str
        In ``kernels/``.
    target : str
        Such as "sm_90"; "compute_90" makes PTX.

    Raises
    ------
    DeviceError
        NVRTC is missing or refuses the source.
    """
    nvrtc, names = load_nvrtc(), names_in(file)
    program = nvrtc.createProgram(f'#include "{file}"\n', "eventsnn.cu", (), ())
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture={target}"))
        lowered = {name: nvrtc.getLoweredName(program, name) for name in names}
        # CuPy leaves out the last byte, as if it ended a text; of a binary it is one more zero.
        binary = nvrtc.getCUBIN(program) if target.startswith("sm_") else nvrtc.getPTX(program)
        return binary + b"\0", lowered
    except nvrtc.NVRTCError as error:
        raise DeviceError(f"NVRTC cannot compile {file}: {error}\n{nvrtc.getProgramLog(program)}") from None
    finally:
        nvrtc.destroyProgram(program)


def kept_path(file: str, target: str, version: tuple[int, int]) -> Path | None:
    """Where the binary of a file is kept; None: nowhere."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        folder = os.path.join(home, "eventsnn")
    # A relative folder would be another one wherever a run is started; "~" stays where there is no home.
    if not os.path.isabs(folder):
        return None
    digest = hashlib.sha256(repr((file, target, version, OPTIONS[:-2], names_in(file))).encode())
    for path in sorted(FOLDER.rglob("*.h")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return Path(folder) / f"{Path(file).stem}-{target}-{digest.hexdigest()[:40]}.bin"


def read_kept(path: Path) -> Compiled | None:
    """What `keep` wrote, None if it is not there or damaged."""
    try:
        head, _, binary = path.read_bytes().partition(b"\n")
        entry = json.loads(head)
        if entry["sha256"] == hashlib.sha256(binary).hexdigest():
            return binary, dict(entry["lowered"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def keep(path: Path, compiled: Compiled) -> None:
    """Write a binary, whole or not at all: several processes may do so at once."""
    binary, lowered = compiled
    head = json.dumps({"sha256": hashlib.sha256(binary).hexdigest(), "lowered": lowered})
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replace_file(path, OSError) as file:
            file.write(head.encode() + b"\n" + binary)
