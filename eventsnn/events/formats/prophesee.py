"""The text header of Prophesee's files: lines that begin with ``% ``, a key and a value each."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from eventsnn.errors import EventFileError
from eventsnn.events.stream import SensorSize

_LONGEST_LINE = 4096
# Headers of older cameras name only the program that drove them, which supported a single sensor.
_PLUGINS = (
    *(("genx320", (320, 320, 2)), ("gen31", (640, 480, 2)), ("gen3", (640, 480, 2))),
    *(("gen41", (1280, 720, 2)), ("gen4", (1280, 720, 2)), ("imx636", (1280, 720, 2))),
)
_PRINTABLE = re.compile(rb"[\t\r\x20-\xff]*")


@dataclass(frozen=True)
class Header:
    """Keys (lower case) and values of the lines, and the number of bytes before the records."""

    fields: dict[str, str]
    size: int

    def sensor(self, path: str | os.PathLike[str]) -> SensorSize | None:
        """Sensor size, if a line of the header states it; raises EventFileError for an impossible one."""
        text = ";".join(f"{key}={value}" for key, value in self.fields.items()).lower()
        width = re.search(r"\bwidth[= ](\d+)", text)
        height = re.search(r"\bheight[= ](\d+)", text)
        geometry = re.search(r"\bgeometry=(\d+)x(\d+)", text)
        if geometry:
            size = (int(geometry[1]), int(geometry[2]))
        elif width and height:
            size = (int(width[1]), int(height[1]))
        else:
            plugin = self.fields.get("plugin_name", "").lower()
            return next((known for mark, known in _PLUGINS if mark in plugin), None)
        if not (0 < size[0] <= 2**15 and 0 < size[1] <= 2**15):
            raise EventFileError(path, f"the header says {size[0]} x {size[1]} pixels", offset=0)
        return (*size, 2)

    def version(self) -> str | None:
        """``2.0``, ``2.1`` or ``3.0`` for raw files; None if no line states it."""
        if "evt" in self.fields:
            return {"2.0": "2.0", "2.1": "2.1", "3.0": "3.0"}.get(self.fields["evt"])
        name = re.split("[; ]", self.fields.get("format", ""))[0].upper()
        return {"EVT2": "2.0", "EVT21": "2.1", "EVT3": "3.0"}.get(name)


def parse_header(head: bytes, whole: bool) -> Header | None:
    """Read the header at the start of a file; None if more bytes are needed.

    The header ends with a line ``% end``, or before the first line that is none. `whole` says that there are
    no more bytes.
    """
    fields: dict[str, str] = {}
    at = 0
    while head[at : at + 2] == b"% ":
        end = head.find(b"\n", at, at + _LONGEST_LINE)
        if end < 0:
            if len(head) - at < _LONGEST_LINE and not whole:
                return None
            break
        line = head[at:end]
        # Records may begin with the bytes of "% " too; text they are not.
        if not _PRINTABLE.fullmatch(line):
            break
        key, _, value = line[2:].decode("latin-1").strip().partition(" ")
        fields[key.lower()] = value.strip()
        at = end + 1
        if key.lower() == "end":
            return Header(fields, at)
    if len(head) - at < 2 and not whole:
        return None
    return Header(fields, at)


def is_raw(head: bytes) -> tuple[str | None, bool]:
    """(version of EVT, whether there is a header at all) of the first bytes of a file."""
    header = parse_header(head, True)
    assert header is not None
    return header.version(), bool(header.fields)
