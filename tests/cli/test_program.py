"""The program as a process: closed streams, pipes, signals, what the environment says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import eventsnn as es
from eventsnn.cli import app
from tests.cli.conftest import write_small_set

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell redirections and signals of POSIX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    write_small_set(folder, 400)
    return folder


def shell(folder: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -m eventsnn"
    root = str(Path(es.__file__).parents[1])
    return subprocess.run(
        ["bash", "-c", text.replace("eventsnn", program, 1)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ("eventsnn info r.csv >&-", 0, ""),
        ("eventsnn info r.csv <&- >/dev/null", 0, ""),
        ("eventsnn info none.csv 2>&-", 1, ""),
        ("eventsnn info none.csv <&- >&- 2>&-", 1, ""),
        ("eventsnn nonsense 2>&- >/dev/null", 2, ""),
        ("eventsnn simulate m.h5 r.csv --trace t.h5 >&- 2>&-", 0, ""),
        ("eventsnn simulate m.h5 - --live --format csv <&-", 1, "standard input: is closed"),
        ("eventsnn info r.csv >/dev/full", 1, "No space left on device"),
        ("EVENTSNN_ISA=sse9 eventsnn simulate m.h5 r.csv", 1, "environment variable EVENTSNN_ISA"),
    ],
)
def test_closed_streams_and_the_environment(folder, text, code, error):
    done = shell(folder, text)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    if error:
        assert done.stderr.startswith("eventsnn: error: ")
        assert error in done.stderr
        assert done.stderr.count("\n") == 1
    else:
        assert "error" not in done.stderr


def test_a_reader_that_has_had_enough_is_no_error_to_tell(folder):
    done = shell(folder, "eventsnn simulate m.h5 r.csv --spikes - | head -n 1")
    assert done.stdout == "time_ms,layer,neuron\n"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def end_of(process: subprocess.Popen, code: int) -> str:
    """What a process that was told to end still says; it ends with `code`, and never outlives the test."""
    try:
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == code, error
    return error


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_with_one_line_and_keep_what_is_complete(folder, number, code):
    arguments = ["simulate", "m.h5", "udp://127.0.0.1:0", "--live", "--save-state", "s.npz"]
    with subprocess.Popen(
        [sys.executable, "-m", "eventsnn", *arguments], cwd=folder,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(es.__file__).parents[1])},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        time.sleep(2.0)  # the run has begun
        process.send_signal(number)
        error = end_of(process, code)
    assert "Traceback" not in error
    assert "eventsnn: interrupted; simulated 0 events" in error
    assert (folder / "s.npz").is_file()


def test_ctrl_c_while_libraries_are_imported_ends_with_one_line(folder):
    """Interrupts of the whole first half second, each time a little later."""
    code = "import eventsnn.__main__ as m, sys; sys.stderr.write('begun\\n'); sys.exit(m.run())"
    for wait in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
        with subprocess.Popen(
            [sys.executable, "-c", code, "simulate", "m.h5", "udp://127.0.0.1:0", "--live"], cwd=folder,
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(es.__file__).parents[1])},
        ) as process:  # fmt: skip
            assert process.stderr is not None
            assert process.stderr.readline() == "begun\n"
            time.sleep(0.01 + wait)
            process.send_signal(signal.SIGINT)
            error = end_of(process, 130)
        assert "Traceback" not in error
        assert "eventsnn: interrupted; " in error


FALLEN = """
import importlib.abc, importlib.machinery, os, signal, sys, weakref
import eventsnn.__main__ as program
from eventsnn.cli import app
class Fallen:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        len("a step of Python, at which the signal is met")
def in_del():
    Fallen()
def in_weak_reference():
    watched = type("Watched", (), {})()
    reference = weakref.ref(watched, lambda _: signal.raise_signal(signal.SIGINT))
    del watched
def in_import():
    def see(frame, event, argument):
        if event == "call" and frame.f_code.co_name == "cb" and "importlib" in frame.f_code.co_filename:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)
    sys.setprofile(see)
def in_module():
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            return name == "swallowing" and importlib.machinery.ModuleSpec(name, self) or None
        def create_module(self, spec): ...
        def exec_module(self, module):
            try:  # as the modules of Cython do
                signal.raise_signal(signal.SIGINT)
            except:
                pass
    sys.meta_path.insert(0, Finder())
    import swallowing
def import_module(name):
    fall()
    return importlib.import_module(name)
fall = globals()[sys.argv.pop(1)]
app.import_module = import_module
sys.exit(program.run())
"""


@pytest.mark.parametrize("place", ["in_del", "in_weak_reference", "in_import", "in_module"])
def test_ctrl_c_in_a_callback_or_an_import_is_not_lost(folder, place):
    """It is dropped there: the command went on, as if nobody had pressed Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-c", FALLEN, place, "simulate", "m.h5", "udp://127.0.0.1:0", "--live"], cwd=folder,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(es.__file__).parents[1])},
    ) as process:  # fmt: skip
        error = end_of(process, 130)
    assert "Traceback" not in error
    assert "ignored" not in error
    assert "eventsnn: interrupted; " in error


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (MemoryError("no memory for the network"), "not enough memory: no memory for the network"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (KeyError("x"), "KeyError: 'x'; this is a fault of eventsnn: please report it"),
    ],
)
def test_faults_from_inside_are_one_line(monkeypatch, capsys, fault, words):
    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(app.commands, "main", fail)
    monkeypatch.delenv("EVENTSNN_DEBUG", raising=False)
    assert app.main(["info"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    if isinstance(fault, KeyError):
        monkeypatch.setenv("EVENTSNN_DEBUG", "1")
        with pytest.raises(KeyError):
            app.main(["info"])


def test_ctrl_c_that_a_library_makes_an_error_of_is_ctrl_c(monkeypatch, capsys):
    """NumPy does, where it compares structured types."""

    def lose(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise TypeError("cannot compare") from None

    monkeypatch.setattr(app.commands, "main", lose)
    monkeypatch.delenv("EVENTSNN_DEBUG", raising=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert app.main(["info"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "eventsnn: interrupted; nothing was kept\n"
