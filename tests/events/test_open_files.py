"""Recordings that are not opened in a ``with`` statement do not keep their files open."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

import eventsnn as es
from eventsnn.errors import EventFileError
from eventsnn.events.formats import WRITERS
from eventsnn.events.formats.base import Options
from eventsnn.events.live import ByteSource
from tests.events.helpers import random_stream

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")


def open_files() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_a_recording_is_closed_at_its_end_and_when_it_is_forgotten(name, tmp_path):
    path = tmp_path / "recording"
    es.write(path, random_stream(2000, seed=1, sensor_size=(34, 34, 2)), format=name)
    recording = es.open_events(path, format=name, sensor=(34, 34, 2))
    n = sum(len(part) for part in recording)
    assert str(path) not in open_files()
    assert (n, list(recording), len(recording.read())) == (2000, [], 0)
    recording.close()

    forgotten = es.open_events(path, format=name, sensor=(34, 34, 2))
    assert forgotten.sensor_size == (34, 34, 2)
    for _ in forgotten:
        break
    del forgotten
    gc.collect()
    assert str(path) not in open_files()


def test_a_recording_that_is_damaged_is_closed_at_the_error(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("t,x,y,p\n1,0,0,1\n2,99,0,1\n")
    with pytest.raises(EventFileError):
        es.open_events(path, sensor=(4, 4, 2)).read()
    assert str(path) not in open_files()


def test_a_growing_file_that_is_forgotten_is_closed(tmp_path):
    path = tmp_path / "growing.csv"
    path.write_text("t,x,y,p\n1,0,0,1\n")
    source = ByteSource(path, Options((4, 4, 2)), format="csv", idle=0.0)
    assert sum(len(events) for events in source) == 1
    assert str(path) not in open_files()
    source = ByteSource(path, Options((4, 4, 2)), format="csv")
    del source
    gc.collect()
    assert str(path) not in open_files()
