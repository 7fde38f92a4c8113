"""Stages and lists the compiled modules; all metadata lives in pyproject.toml.

The sources stand in the rooms of ``cython_ext/`` but all modules land in ``eventsnn._ext``, so no two files
share a name. Cython looks a ``.pxd`` up by package path, and C a header beside the file that includes it, so
the sources are first copied to ``build/pyx/eventsnn/_ext`` (only those that changed, so only these compile
again) and cythonized there.
"""

import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
STAGE = Path("build") / "pyx"
PACKAGE = STAGE / "eventsnn" / "_ext"
# Kernels for graphics cards are sources at run time too, compiled by NVRTC: they lie in the package, and the
# headers that they share with the CPU's kernels are copied beside them.
KERNELS = Path("eventsnn") / "gpu" / "kernels"
EMULATION = "gpu_emulation"
SHARED_HEADERS = ("neuron/lif.h", "neuron/decay.h", "core/draws.h", "core/inline.h")
DEBUG = os.environ.get("EVENTSNN_DEBUG", "") == "1"

# Contraction off: a fused multiply-add chosen by the compiler would make results depend on the build.
FLAGS = ["/O2", "/fp:precise"] if sys.platform == "win32" else ["-O3", "-ffp-contract=off", "-fno-math-errno"]
if not DEBUG and sys.platform != "win32":
    FLAGS.append("-g0")  # Python's own flags ask for debugging information: four fifths of a wheel
LINKED: list[str] = []

# What gcc and clang call -fsanitize, such as address,undefined; tests/sanitized.py runs the tests so.
SANITIZE = os.environ.get("EVENTSNN_SANITIZE", "")
if SANITIZE:
    LINKED = [f"-fsanitize={SANITIZE}"]
    FLAGS += [*LINKED, "-O1", "-g", "-fno-omit-frame-pointer"]

# What a source names that it is compiled with: headers, and modules whose declarations it takes.
NAMES = re.compile(r'"(\w+\.h)"|from eventsnn\._ext\.(\w+) cimport|from eventsnn\._ext cimport (\w+)')

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
}


def stage_sources() -> list[Path]:
    """Copy the sources to the staging tree and remove what has none there; return the staged files."""
    PACKAGE.mkdir(parents=True, exist_ok=True)
    for folder in (STAGE / "eventsnn", PACKAGE):
        (folder / "__init__.py").touch()
    kinds = (".pyx", ".pxd", ".h")
    sources = sorted(path for path in (ROOT / "cython_ext").rglob("*") if path.suffix in kinds)
    staged = {source.name: PACKAGE / source.name for source in sources}
    if len(staged) < len(sources):
        raise SystemExit(f"files of cython_ext share a name: {sorted(source.name for source in sources)}")
    for old in PACKAGE.iterdir():
        if old.suffix in kinds and old.name not in staged:
            old.unlink()
    for source in sources:
        target = staged[source.name]
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)
    return list(staged.values())


def stage_shared_headers() -> None:
    """Copy to the kernels for graphics cards what they share with the CPU's."""
    folder = ROOT / KERNELS / "shared"
    folder.mkdir(exist_ok=True)
    for name in SHARED_HEADERS:
        source = ROOT / "cython_ext" / name
        target = folder / source.name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)


def find_headers(source: Path) -> list[str]:
    """The headers that a module is compiled with: if none of them changes, it need not be compiled again."""
    found, waiting = set(), [source, source.with_suffix(".pxd")]
    while waiting:
        path = waiting.pop()
        if path not in found and path.exists():
            found.add(path)
            for header, *modules in NAMES.findall(path.read_text(encoding="utf-8")):
                waiting += [PACKAGE / (header or f"{module}.pxd") for module in modules]
    return sorted(str(path) for path in found if path.suffix == ".h")


def describe_extension(path: Path) -> Extension:
    """The compiled module of a staged source."""
    options: dict[str, object] = {"depends": find_headers(path)}
    flags = FLAGS
    if path.stem == EMULATION:
        # In C++, as the kernels are. Optional: without a C++ compiler, or without ucontext.h (Windows), the
        # rest of eventsnn is built, and the tests that need it are skipped.
        options = {
            "depends": [*find_headers(path), *map(str, sorted(KERNELS.glob("*.h")))],
            "language": "c++",
            "include_dirs": [str(KERNELS)],
            "optional": True,
        }
        flags = [*FLAGS, "-std=c++17", "-D_XOPEN_SOURCE=700"]
    return Extension(
        f"eventsnn._ext.{path.stem}",
        [str(path)],
        extra_compile_args=flags,
        extra_link_args=LINKED,
        **options,
    )


def list_extensions() -> list[Extension]:
    from Cython.Build import cythonize

    stage_shared_headers()
    sources = [path for path in stage_sources() if path.suffix == ".pyx"]
    if SANITIZE:  # it would report the stacks of fibers; the emulation checks indices itself
        sources = [path for path in sources if path.stem != EMULATION]
    extensions = [describe_extension(path) for path in sources]
    return cythonize(extensions, include_path=[str(STAGE)], compiler_directives=DIRECTIVES)


class BuildExtensions(build_ext):
    """Says first what a machine lacks: compilers say it after the commands of all modules."""

    def build_extensions(self) -> None:
        command = getattr(
            self.compiler, "compiler_so", None
        )  # setuptools looks for Microsoft's compiler itself
        if command and shutil.which(command[0]) is None:
            raise SystemExit(
                f"eventsnn is built with a C compiler, and {command[0]!r} is not found. Install one (Debian: "
                "apt-get install gcc libc6-dev; Fedora: dnf install gcc; macOS: xcode-select --install), or "
                "name yours: CC=clang pip install ."
            )
        folders = [*self.include_dirs, sysconfig.get_path("include")]
        elsewhere = {"CPATH", "C_INCLUDE_PATH", "CFLAGS", "INCLUDE"} & set(os.environ)
        if not elsewhere and not any((Path(folder) / "Python.h").exists() for folder in folders):
            raise SystemExit(
                "eventsnn is built with the headers of Python, and Python.h is not found. Install them "
                "(Debian: apt-get install python3-dev; Fedora: dnf install python3-devel)."
            )
        super().build_extensions()


setup(
    ext_modules=list_extensions(),
    cmdclass={"build_ext": BuildExtensions},
    options={"build_ext": {"parallel": os.cpu_count()}},
)
