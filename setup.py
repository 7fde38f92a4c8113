"""Stages and lists the compiled modules; all metadata lives in pyproject.toml.

The sources stand in ``cython_ext/`` but the modules land in ``eventsnn._ext``. Cython looks a ``.pxd`` up by
package path, so the sources are first copied to ``build/pyx/eventsnn/_ext`` (modification times kept, so a
rebuild compiles only what changed) and cythonized there.
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).resolve().parent
STAGE = Path("build") / "pyx"
PACKAGE = STAGE / "eventsnn" / "_ext"
DEBUG = os.environ.get("EVENTSNN_DEBUG", "") == "1"

# Contraction off: a fused multiply-add chosen by the compiler would make results depend on the build.
FLAGS = ["/O2", "/fp:precise"] if sys.platform == "win32" else ["-O3", "-ffp-contract=off", "-fno-math-errno"]

# Modules that hold loops compiled for each instruction set.
WITH_LOOPS = ("block", "engine_clocked", "windows_state")

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
}


def stage_sources() -> list[Path]:
    """Copy the Cython sources to the staging tree; return the staged ``.pyx`` files."""
    PACKAGE.mkdir(parents=True, exist_ok=True)
    for folder in (STAGE / "eventsnn", PACKAGE):
        (folder / "__init__.py").touch()
    sources = sorted((ROOT / "cython_ext").glob("*.p[yx]*")) + sorted((ROOT / "cython_ext").glob("*.h"))
    for source in sources:
        target = PACKAGE / source.name
        if not target.exists() or target.stat().st_mtime_ns != source.stat().st_mtime_ns:
            shutil.copy2(source, target)
    return [PACKAGE / source.name for source in sources if source.suffix == ".pyx"]


def list_extensions() -> list[Extension]:
    from Cython.Build import cythonize

    sources = stage_sources()
    headers = {path.stem: str(path) for path in sorted(PACKAGE.glob("*.h"))}
    # Loops are compiled into one module each; the others see their tables alone.
    shared = [headers[name] for name in ("block", "decay", "inline", "lif", "spikes", "sweep", "windows")]
    extensions = [
        Extension(
            f"eventsnn._ext.{path.stem}",
            [str(path)],
            depends=list(headers.values()) if path.stem in WITH_LOOPS else shared,
            extra_compile_args=FLAGS,
        )
        for path in sources
    ]
    return cythonize(extensions, include_path=[str(STAGE)], compiler_directives=DIRECTIVES)


setup(ext_modules=list_extensions(), options={"build_ext": {"parallel": os.cpu_count()}})
