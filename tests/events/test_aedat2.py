"""jAER's files: which chip, and where the header ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eventsnn.errors import EventFileError
from eventsnn.events import detect_format, read
from eventsnn.events.formats.aedat2 import parse_hash_header


def test_chips_of_aedat2_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n" + bytes(8))
    with pytest.raises(EventFileError, match="aedat2-dvs128 or aedat2-davis"):
        read(path)
    with pytest.raises(EventFileError, match="does not say which DAVIS"):
        read(path, format="aedat2-davis")
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346blue\r\n" + bytes(8))
    assert detect_format(path) == "aedat2-davis"
    stream = read(path)
    assert (stream.sensor_size, stream.events[0].tolist()) == ((346, 260, 2), (345, 259, 0, 0))
    path.write_bytes(b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n" + bytes(8))
    assert read(path).events[0].tolist() == (127, 127, 0, 1)


def test_addresses_tell_the_chip_where_the_header_does_not(tmp_path: Path) -> None:
    """As in CIFAR10-DVS."""
    header = b"#!AER-DAT2.0\r\n# This is a raw AE data file - do not edit\r\n"
    rng, t = np.random.default_rng(1), np.arange(100)
    x, y, p = rng.integers(0, 128, 100), rng.integers(0, 128, 100), rng.integers(0, 2, 100)
    addresses = y << 8 | x << 1 | p
    path = tmp_path / "cat_0.aedat"
    path.write_bytes(header + np.stack([addresses, t], axis=1).astype(">u4").tobytes())
    stream = read(path)
    assert (detect_format(path), stream.sensor_size) == ("aedat2-dvs128", (128, 128, 2))
    assert stream.events["x"].tolist() == (127 - x).tolist()
    assert stream.events["y"].tolist() == (127 - y).tolist()
    assert stream.events["p"].tolist() == (1 - p).tolist()
    path.write_bytes(header + np.stack([y << 22 | x << 12, t], axis=1).astype(">u4").tobytes())
    assert detect_format(path) == "aedat2-davis"
    with pytest.raises(EventFileError, match="does not say which DAVIS"):
        read(path)


def test_a_first_record_that_begins_like_a_header_line() -> None:
    """Its address begins with the byte of '#'; the line that it seems to begin has control characters."""
    header = b"#!AER-DAT2.0\r\n# made by hand\r\n"
    record = (140 << 22 | 5 << 12).to_bytes(4, "big") + (7).to_bytes(4, "big")
    assert record[:1] == b"#"
    assert parse_hash_header(header + record, True) == len(header)
    assert parse_hash_header(header + record + b"\n", False) == len(header)
    assert parse_hash_header(header + b"# unfinished", False) is None
