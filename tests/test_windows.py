"""Nothing in the package may need what Windows does not have, when it is imported and in everyday work.

There is no Windows here. A process without the modules and functions that Python on Windows lacks imports all
modules, and does a user's first steps.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

LIKE_WINDOWS = r"""
import importlib, mmap, os, pkgutil, shutil, signal, socket, subprocess, sys, tempfile, types
import asyncio, click, h5py, numpy, scipy.sparse, tqdm  # other people's code may use what is there
for name in ("sklearn.base", "joblib", "bokeh.io"):
    try:
        importlib.import_module(name)
    except ImportError:
        pass
for name in "resource fcntl termios tty pty pwd grp posix syslog curses readline".split():
    sys.modules[name] = None
fake = types.ModuleType("msvcrt")
fake.LK_NBLCK, fake.locking = 2, lambda descriptor, mode, n: None
sys.modules["msvcrt"] = fake
LACKS = {
    os: '''sched_getaffinity sched_setaffinity sysconf pread preadv pwrite pwritev readv writev fork forkpty
        getuid geteuid getgid getpgid setsid uname getloadavg statvfs fstatvfs fchmod fchown chown mkfifo
        posix_fadvise posix_fallocate sendfile fdatasync sync nice killpg wait WNOHANG O_NOFOLLOW O_CLOEXEC
        O_DIRECTORY O_NONBLOCK register_at_fork tcgetpgrp ctermid openpty''',
    signal: '''SIGPIPE SIGHUP SIGKILL SIGUSR1 SIGUSR2 SIGALRM SIGQUIT SIGWINCH pthread_sigmask setitimer
        alarm pause''',
    mmap: "MAP_PRIVATE MAP_SHARED MAP_ANONYMOUS MADV_DONTNEED PROT_READ PROT_WRITE",
    socket: "AF_UNIX",
}
for module, names in LACKS.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""

IMPORTS = r"""
import eventsnn
from eventsnn.errors import MissingExtraError
names = [module.name for module in pkgutil.walk_packages(eventsnn.__path__, "eventsnn.")]
failed = []
for name in names:
    if name == "eventsnn.__main__" or name.startswith("eventsnn._ext."):
        continue
    try:
        importlib.import_module(name)
    except MissingExtraError:
        pass
    except ImportError as error:
        # Modules over libraries that are not installed are none of this test's business.
        missing = getattr(error, "name", None) or ""
        if missing.split(".")[0] in ("eventsnn", "") + tuple(BLOCKED):
            failed.append(f"{name}: {error!r}")
    except Exception as error:
        failed.append(f"{name}: {error!r}")
assert not failed, failed
assert len(names) > 150
"""

WORK = r"""
import numpy as np
import eventsnn as es
folder = sys.argv[1]
data = es.data.YinYang("train", samples=30)
layers = es.Dense(20, threshold=0.3, name="hidden"), es.Dense(3, threshold=0.2)
network = es.Network(es.Input(*data.sensor_size), *layers, seed=1)
result = es.train(network.with_classes(data.classes), data, epochs=1, out=os.path.join(folder, "run"))
outcome = es.evaluate(result.network, data, trace=os.path.join(folder, "t.h5"))
with es.Trace(os.path.join(folder, "t.h5")) as trace:
    assert len(trace) == 30
es.data.pack(data, os.path.join(folder, "a.esp"))
packed = es.data.Packed(os.path.join(folder, "a.esp"))
assert len(packed.stream(3)) == len(data.stream(3))
from eventsnn.cli import main
assert main(["info", os.path.join(folder, "a.esp")]) in (0, 1)
assert main(["inspect", os.path.join(folder, "t.h5")]) == 0
"""


def run_like_windows(code: str, *arguments: object) -> None:
    blocked = "BLOCKED = [name for name, module in sys.modules.items() if module is None]\n"
    done = subprocess.run(
        [sys.executable, "-c", LIKE_WINDOWS + blocked + code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_module_can_be_imported() -> None:
    run_like_windows(IMPORTS)


def test_first_steps(tmp_path: Path) -> None:
    run_like_windows(WORK, tmp_path)
