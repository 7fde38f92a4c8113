"""The tests with kernels that are watched: ``python -m tests.sanitized [ARGUMENTS OF PYTEST]``.

Compiles a copy of the sources, in ``build/sanitized``, with gcc's sanitizer of addresses, or with those that
``EVENTSNN_SANITIZE`` lists (``address,undefined`` takes far longer to compile), and runs the tests there.
What they find, such as a write beyond an array, is printed, and the exit code is then 1, even if the tests
passed. Linux and gcc only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "sanitized"
KINDS = os.environ.get("EVENTSNN_SANITIZE", "address")


def limit_memory(most: int) -> None:
    """Let this process take so many bytes at most; not under a sanitizer, which takes far more."""
    import resource

    if "ASAN_OPTIONS" not in os.environ:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def build() -> None:
    """Compile what has changed since the last time; minutes at first."""
    ignored = shutil.ignore_patterns(".*", "build", "__pycache__", "*.so", "*.egg-info")
    shutil.copytree(ROOT, PLACE, ignore=ignored, dirs_exist_ok=True)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=PLACE, env=os.environ | {"EVENTSNN_SANITIZE": KINDS}, check=True)


def find_library(name: str) -> str:
    """Path of a library that must be loaded before Python itself."""
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main(*arguments: str) -> int:
    """Command line; returns the exit code."""
    build()
    log = PLACE / "found"
    shutil.rmtree(log, ignore_errors=True)
    log.mkdir()
    options = f"log_path={log}/report"
    environment = os.environ | {
        "LD_PRELOAD": " ".join(map(find_library, ("libasan.so", "libubsan.so", "libstdc++.so"))),
        # Python never frees what it needs to its end; a module's large malloc may fail, and is to say so.
        "ASAN_OPTIONS": f"detect_leaks=0:allocator_may_return_null=1:{options}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:{options}",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(PLACE),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    code = subprocess.run(command, cwd=PLACE, env=environment, check=False).returncode
    reports = sorted(log.iterdir())
    for report in reports:
        print(report.read_text(errors="replace"), file=sys.stderr)
    return 1 if reports else code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
