"""Public data sets through a tonic that needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import PUBLIC_SETS, Packed, fetch
from eventsnn.data.fetch import MARK, training_command
from eventsnn.errors import FetchError, MissingExtraError
from tests.data import fake_tonic


@pytest.fixture
def tonic(monkeypatch):
    """Put the fake in place; called with what is to fail."""

    def install(fail: str | None = None) -> None:
        monkeypatch.setitem(sys.modules, "tonic", fake_tonic.make(fail))

    install()
    return install


def test_every_part_is_packed(tonic, tmp_path: Path, capsys) -> None:
    got = fetch("nmnist", tmp_path)
    assert (got.name, got.recordings, got.sensor, got.classes) == (
        "NMNIST",
        {"train": 12, "test": 12},
        (34, 34, 2),
        3,
    )
    source = Packed(tmp_path / "NMNIST/train.esp")
    assert source.labels.tolist() == [index % 3 for index in range(12)]
    for index in range(12):
        t = source.stream(index).events["t"]
        assert len(t) == 50
        assert 0 <= t[0] - source.origins_us[index] <= 100_000
        assert (np.diff(t) >= 0).all()
    assert "chatter" not in capsys.readouterr().out


def test_what_is_there_is_kept(tonic, tmp_path: Path) -> None:
    fetch("NMNIST", tmp_path)
    before = (tmp_path / "NMNIST/train.esp").stat().st_mtime_ns
    fake_tonic.NMNIST.made.clear()
    fetch("NMNIST", tmp_path)
    assert fake_tonic.NMNIST.made == []
    assert (tmp_path / "NMNIST/train.esp").stat().st_mtime_ns == before


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_half_unpacked_part_is_unpacked_anew(tonic, tmp_path: Path, part: str) -> None:
    tonic(f"stop-{part}")
    with pytest.raises(KeyboardInterrupt):
        fetch("NMNIST", tmp_path)
    assert (tmp_path / "NMNIST/download" / MARK).exists()
    tonic()
    assert fetch("NMNIST", tmp_path).recordings == {"train": 12, "test": 12}
    # The archive was whole.
    assert f"download {part}" not in fake_tonic.NMNIST.made
    assert f"unpack {part}" in fake_tonic.NMNIST.made
    assert not (tmp_path / "NMNIST/download" / MARK).exists()


def test_without_a_network_it_says_what_to_do_and_goes_on_with_it(tonic, tmp_path: Path) -> None:
    tonic("test")
    with pytest.raises(
        FetchError, match=r"NMNIST, part test: tonic could not get it \(<urlopen error> no network\)"
    ) as got:
        fetch("NMNIST", tmp_path)
    archive = tmp_path / "NMNIST/download/NMNIST/test.zip"
    assert got.value.steps == [
        "The data set's page: https://example.org/n-mnist",
        f"Download https://example.org/test.zip and save it as {archive}, without unpacking it.",
        f"Then the same command continues with it: eventsnn fetch NMNIST --to {tmp_path}",
        f"Train with: {training_command('NMNIST', tmp_path / 'NMNIST')}",
    ]
    archive.write_bytes(b"by hand")
    assert fetch("NMNIST", tmp_path).recordings["test"] == 12
    assert archive.read_bytes() == b"by hand"


def test_archives_saved_by_hand_are_all_unpacked_at_the_first_call(tonic, tmp_path: Path) -> None:
    folder = tmp_path / "SHD/download/SHD"
    with pytest.raises(FetchError, match=r"SHD, part train: .* \(no network\)") as got:
        fetch("SHD", tmp_path)
    for name in ("shd_train.h5.zip", "shd_test.h5.zip"):
        (folder / name).write_bytes(b"by hand")
    assert f"save it as {folder / 'shd_train.h5.zip'}" in " ".join(got.value.steps)
    assert fetch("SHD", tmp_path).recordings == {"train": 12, "test": 12}
    assert not (tmp_path / "SHD/download" / MARK).exists()


def test_a_class_that_ends_the_program(tonic, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="downloaded by hand only"):
        fetch("DVSLip", tmp_path)


def test_bad_names(tonic, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(FetchError, match="no data set is called 'MNIST'; there are NMNIST, "):
        fetch("MNIST", tmp_path)
    with pytest.raises(FetchError, match="this version of tonic has no data set SSC"):
        fetch("SSC", tmp_path)
    monkeypatch.setitem(sys.modules, "tonic", None)
    needs = r"fetching NMNIST needs tonic, which is not installed: pip install 'eventsnn\[tonic\]'"
    with pytest.raises(MissingExtraError, match=needs):
        fetch("NMNIST", tmp_path)


def test_the_real_tonic_has_them_all() -> None:
    tonic = pytest.importorskip("tonic")
    assert [name for name in PUBLIC_SETS if not hasattr(tonic.datasets, name)] == []


def test_a_data_set_of_tonics_trains_and_evaluates_as_it_is(tonic, tmp_path: Path) -> None:
    dataset = sys.modules["tonic"].datasets.NMNIST(save_to=str(tmp_path / "made"))  # type: ignore[attr-defined]
    good = [index for index in range(12) if index not in (1, 2)]

    class Part:
        sensor_size = (34, 34, 2)

        def __len__(self) -> int:
            return len(good)

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return dataset[good[index]]

    network = es.Network(es.Input(34, 34, 2), es.Dense(20), es.Dense(3), seed=1)
    options = {"epochs": 2, "valid_fraction": 0.0, "seed": 3}
    fit = es.train(network, Part(), out=tmp_path / "a", **options)
    wrapped = es.train(network, es.data.from_tonic(Part()), out=tmp_path / "b", **options)
    for name, weights in fit.network.weights.items():
        np.testing.assert_array_equal(weights, wrapped.network.weights[name])
    assert es.evaluate(fit.network, Part()).n == len(good)
