"""The compiler of kernels, where it is there, and the folder that keeps what it made."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from eventsnn.errors import DeviceError, MissingExtraError
from eventsnn.gpu import compiler
from eventsnn.gpu.sources import list_kernels, names_in

KNOWN = (75, 80, 86, 90, 100)
MADE = b"\x7fELF\n\0\n", {"order": "lowered order"}


class FakeNvrtc:
    """Knows its version."""

    def getVersion(self) -> tuple[int, int]:
        return 13, 1

    def getSupportedArchs(self) -> tuple[int, ...]:
        return KNOWN


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """What was compiled; binaries are kept below `tmp_path`."""
    calls: list[tuple[str, str]] = []

    def compile_file(file: str, target: str) -> compiler.Compiled:
        calls.append((file, target))
        return MADE

    monkeypatch.setattr(compiler, "load_nvrtc", FakeNvrtc)
    monkeypatch.setattr(compiler, "compile_file", compile_file)
    monkeypatch.setenv(compiler.VARIABLE, str(tmp_path / "a" / "b"))
    return calls


def test_a_file_is_compiled_once(calls: list[tuple[str, str]], tmp_path: Path) -> None:
    for _ in range(2):
        assert compiler.compile_for("order.h", "90") == MADE
    assert compiler.compile_for("order.h", "86") == MADE
    assert compiler.compile_for("update.h", "90") == MADE
    assert calls == [("order.h", "sm_90"), ("order.h", "sm_86"), ("update.h", "sm_90")]
    assert len(list((tmp_path / "a" / "b").iterdir())) == 3


@pytest.mark.parametrize("change", ["sources", "options", "version"])
def test_what_decides_about_a_binary_decides_about_its_name(
    change: str, calls: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler.compile_for("order.h", "90")
    if change == "sources":
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "order.h").write_text("KERNEL(order)")
        monkeypatch.setattr(compiler, "FOLDER", tmp_path / "other")
    elif change == "options":
        monkeypatch.setattr(compiler, "OPTIONS", ("--std=c++20", *compiler.OPTIONS[1:]))
    else:
        monkeypatch.setattr(FakeNvrtc, "getVersion", lambda _: (13, 2))
    compiler.compile_for("order.h", "90")
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [b"", b"{}\nbinary", b"[]", MADE[0], b"null\n", b"{broken\n"])
def test_a_damaged_binary_is_made_anew(damage: bytes, calls: list[tuple[str, str]], tmp_path: Path) -> None:
    compiler.compile_for("order.h", "90")
    (path,) = (tmp_path / "a" / "b").iterdir()
    path.write_bytes(damage)
    for _ in range(2):
        assert compiler.compile_for("order.h", "90") == MADE
    assert len(calls) == 2


def test_a_binary_cut_short_is_made_anew(calls: list[tuple[str, str]], tmp_path: Path) -> None:
    compiler.compile_for("order.h", "90")
    (path,) = (tmp_path / "a" / "b").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert compiler.compile_for("order.h", "90") == MADE
    assert len(calls) == 2


@pytest.mark.parametrize("folder", ["", "relative", "file"])
def test_where_nothing_can_be_kept_all_goes_on(
    folder: str, calls: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(compiler.VARIABLE, str(tmp_path / "file" / "below") if folder == "file" else folder)
    for _ in range(2):
        assert compiler.compile_for("order.h", "90") == MADE
    assert len(calls) == 2
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("capability", "target"),
    [("75", "sm_75"), ("90", "sm_90"), ("89", "compute_86"), ("120", "compute_100"), ("87", "compute_86")],
)
def test_a_card_that_the_compiler_does_not_know_gets_ptx(capability: str, target: str) -> None:
    assert compiler.find_target(capability, (13, 0), KNOWN) == target


def test_a_card_that_is_too_old() -> None:
    with pytest.raises(
        DeviceError, match=r"capability 7\.0, and NVRTC 13\.0 compiles for 7\.5 and newer: .*\[gpu12\]"
    ):
        compiler.find_target("70", (13, 0), KNOWN)


def test_without_cupy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingExtraError, match=r"needs CuPy, which is .*: pip install 'eventsnn\[gpu\]'"):
        compiler.load_nvrtc()


needs_nvrtc = pytest.mark.skipif(
    importlib.util.find_spec("cupy") is None, reason="needs CuPy and NVRTC, of the extra gpu"
)


@needs_nvrtc
@pytest.mark.parametrize("file", sorted(set(list_kernels().values())))
def test_nvrtc_compiles_all_kernels(file: str) -> None:
    binary, lowered = compiler.compile_file(file, "sm_90")
    assert binary.startswith(b"\x7fELF")
    assert set(lowered) == set(names_in(file))


@needs_nvrtc
def test_nvrtc_makes_ptx() -> None:
    binary, lowered = compiler.compile_file("order.h", "compute_90")
    assert b".target sm_90" in binary
    assert lowered["order"].encode() in binary
    assert binary.endswith(b"\0")
