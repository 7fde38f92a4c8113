"""The data set of gestures: same bytes however it is made, all classes, both directions of light."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eventsnn.data import GESTURES_CAMERA, Folder, Shard, record_gesture, write_gestures
from eventsnn.encode.gestures import GESTURES
from eventsnn.errors import EventFileError, TrainingError

SMALL = replace(GESTURES_CAMERA, width=48, height=40)


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_files_do_not_depend_on_threads_shards_limit_or_a_resume(tmp_path: Path) -> None:
    done: list[int] = []
    assert write_gestures(tmp_path / "a", SMALL, 5, 12, threads=1, progress=done.append) == 24
    assert sum(done) == 24
    first = contents(tmp_path / "a")
    write_gestures(tmp_path / "b", SMALL, 5, 12, threads=3)
    for number in (2, 1):
        write_gestures(tmp_path / "c", SMALL, 5, 12, shard=Shard(number, 2))
    assert first == contents(tmp_path / "b") == contents(tmp_path / "c")
    (tmp_path / "b/Train/waving/00011.es").unlink()
    write_gestures(tmp_path / "b", SMALL, 5, 12, resume=True)
    assert contents(tmp_path / "b") == first
    write_gestures(tmp_path / "d", SMALL, 5, 3)
    fewer = {name: data for name, data in contents(tmp_path / "d").items() if name.endswith(".es")}
    assert len(fewer) == 6
    assert fewer.items() <= first.items()
    write_gestures(tmp_path / "e", SMALL, 6, 3)
    assert not set(fewer.values()) & set(contents(tmp_path / "e").values())
    assert len(set(fewer.values())) == 6, "the parts share no recording"


def test_a_folder_begun_otherwise_is_refused(tmp_path: Path) -> None:
    write_gestures(tmp_path, SMALL, 5, 1)
    with pytest.raises(EventFileError, match="Train: the folder is not empty"):
        write_gestures(tmp_path, SMALL, 5, 1)
    with pytest.raises(EventFileError, match="was begun with other images, camera, seed"):
        write_gestures(tmp_path, SMALL, 6, 1, resume=True)
    with pytest.raises(TrainingError, match="limit"):
        write_gestures(tmp_path / "b", SMALL, 5, 0)


def test_the_set_has_its_classes_and_its_sensor(tmp_path: Path) -> None:
    write_gestures(tmp_path, SMALL, 1, 22)
    source = Folder(tmp_path, split="Train")
    assert set(source.classes or ()) == set(GESTURES)
    assert np.bincount(source.labels).tolist() == [2] * 11
    stream = source.stream(0)
    assert stream.sensor_size == (48, 40, 2)
    first = GESTURES.index((source.classes or ())[source.labels[0]])
    assert stream == record_gesture(SMALL, first, np.random.default_rng([1, 0, first]))


def test_what_comes_nearer_darkens_the_screen() -> None:
    """A dark hand that grows makes OFF events, one that shrinks ON events."""
    quiet = replace(SMALL, noise_hz=0.0)
    for gesture, polarity in (("approaching", 0), ("receding", 1)):
        stream = record_gesture(quiet, GESTURES.index(gesture), np.random.default_rng(2))
        assert len(stream) > 300
        assert (stream.events["p"] == polarity).mean() > 0.95
