"""jAER's files: which chip, and where the header ends."""

from __future__ import annotations

from pathlib import Path

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


def test_a_first_record_that_begins_like_a_header_line() -> None:
    """Its address begins with the byte of '#'; the line that it seems to begin has control characters."""
    header = b"#!AER-DAT2.0\r\n# made by hand\r\n"
    record = (140 << 22 | 5 << 12).to_bytes(4, "big") + (7).to_bytes(4, "big")
    assert record[:1] == b"#"
    assert parse_hash_header(header + record, True) == len(header)
    assert parse_hash_header(header + record + b"\n", False) == len(header)
    assert parse_hash_header(header + b"# unfinished", False) is None
