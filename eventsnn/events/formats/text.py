"""Tables of text (``.csv``, ``.txt``): one event per line, columns in any named order.

Columns are separated by commas, semicolons or white space. Their order comes from the caller
(``columns="t[s],x,y,p"``) or from a first line that names them; it is never guessed. Lines that begin with
# are comments, but may name the columns. Times in microseconds unless the columns say otherwise; no
unwrapping. Polarities above 0 are 1. faery's ``t,x@1280,y@720,on`` gives the sensor too, and is what is
written.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass

import numpy as np

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events.formats.base import Anomalies, Match, Options, suffix_match
from eventsnn.events.formats.columns import HOW, Columns, to_whole
from eventsnn.events.formats.decoder import FileReader
from eventsnn.events.formats.gate import Gate
from eventsnn.events.stream import EVENT_DTYPE, SensorSize

_SEPARATORS = bytes.maketrans(b",;\t\r", b"    ")
_NUMERIC = b"0123456789+-.eE \n"
_LONGEST_LINE = 1 << 16
_END_OF_LINE = -9.25e99  # no number of a recording
_WORDS = {b"true": b"1", b"false": b"0"}


@dataclass(frozen=True)
class TextFormat:
    """Reader of tables of text."""

    name: str = "csv"
    suffixes: tuple[str, ...] = (".csv", ".txt")

    def sniff(self, head: bytes, path: str) -> Match:
        """Tell by the suffix, and that the first bytes are text."""
        if b"\0" in head or not re.match(rb"[\s\x20-\x7e]*\Z", head[:1024]):
            return Match.NO
        return suffix_match(path, self.suffixes)

    def decoder(self, path: str | os.PathLike[str], options: Options) -> TextDecoder:
        """A decoder to be fed with bytes."""
        return TextDecoder(path, options)

    def open(self, path: str | os.PathLike[str], options: Options) -> FileReader:
        """Open a recording."""
        return FileReader(self.decoder(path, options))


class TextDecoder:
    """Lines, cut in any way, to events; see `eventsnn.events.formats.decoder.Decoder`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        self.path = path
        self._options = options
        self._columns = Columns.given(path, options.columns)
        self._gate = Gate(path, options, None)
        self._rest = b""
        self._offset = 0
        self.started = False

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; known once the first line is."""
        return self._gate.sensor

    @property
    def anomalies(self) -> Anomalies:
        """What was odd so far."""
        return self._gate.anomalies

    def feed(self, data: bytes | memoryview) -> np.ndarray:
        """Events of the lines that are complete; raises EventFileError with the offset of a bad line."""
        block = b"".join((self._rest, data))
        end = block.rfind(b"\n") + 1
        if end == 0 and len(block) > _LONGEST_LINE:
            raise EventFileError(self.path, "a line of more than 64 KiB; is this text?", offset=self._offset)
        self._rest = block[end:]
        return self._decode(block[:end])

    def finish(self) -> np.ndarray:
        """Events of a last line without an end."""
        rest, self._rest = self._rest, b""
        if not rest and self._offset == 0:
            raise EventFileError(self.path, "the file is empty", offset=0)
        offset = self._offset
        try:
            events = self._decode(rest + b"\n")
        except EventFileError:
            if offset == 0 or self._options.on_cut == "error":
                raise
            self._gate.anomalies.cut_bytes = len(rest)
            warnings.warn(
                f"{os.fspath(self.path)}, byte {offset}: the last line is cut and left out",
                EventFileWarning,
                stacklevel=4,
            )
            events = np.empty(0, EVENT_DTYPE)
        self.started = True
        return events

    def _decode(self, lines: bytes) -> np.ndarray:
        if not self.started:
            lines = self._read_names(lines)
        if not self.started or not lines.strip():
            self._offset += len(lines)
            return np.empty(0, EVENT_DTYPE)
        columns = self._columns
        assert columns is not None
        table = self._parse_block(lines, columns.width)
        if table is None:
            table = self._parse_lines(lines, columns.width)
        self._offset += len(lines)
        n = len(table)
        x, y, p = (
            to_whole(self.path, name, table[:, columns.place[name]]) if name in columns.place else np.zeros(n)
            for name in "xyp"
        )
        t = to_whole(self.path, "t", table[:, columns.place["t"]], columns.scale)
        return self._gate.admit(t, x, y, p, unit="event")

    def _read_names(self, lines: bytes) -> bytes:
        """Take comments and the line of names off the front; what is left begins with the first event."""
        at = 0
        while at < len(lines):
            end = lines.index(b"\n", at) + 1
            line = lines[at:end].decode("latin-1").strip()
            named = Columns.parse(line.lstrip("# "))
            if named is not None:
                self._columns = self._columns or named
                if named.size and self._gate.sensor is None and max(named.size) <= 2**15 and min(named.size):
                    self._gate.sensor = (*named.size, 2)
            elif line and not line.startswith("#"):
                break
            at = end
        self._offset += at
        if at < len(lines):
            if self._columns is None:
                raise EventFileError(self.path, f"the columns have no names; {HOW}", offset=self._offset)
            self.started = True
        return lines[at:]

    @staticmethod
    def _parse_block(lines: bytes, width: int) -> np.ndarray | None:
        """Rows of numbers, quickly; None where a line is not plainly `width` numbers."""
        text = lines.translate(_SEPARATORS)
        if text.translate(None, _NUMERIC):
            return None
        marked = text.replace(b"\n", b" %.2e\n" % _END_OF_LINE)
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            try:
                numbers = np.fromstring(marked, sep=" ")
            except (DeprecationWarning, ValueError):
                return None
        if len(numbers) != (width + 1) * text.count(b"\n"):
            return None
        table = numbers.reshape(-1, width + 1)
        return table[:, :width] if (table[:, width] == _END_OF_LINE).all() else None

    def _parse_lines(self, lines: bytes, width: int) -> np.ndarray:
        """Rows of numbers, line by line: comments, words and errors."""
        rows, at = [], self._offset
        for line in lines.split(b"\n"):
            cells = [_WORDS.get(cell.lower(), cell) for cell in line.translate(_SEPARATORS).split()]
            if cells and not cells[0].startswith(b"#"):
                try:
                    row = [float(cell) for cell in cells]
                except ValueError:
                    row = []
                if len(row) != width:
                    text = line[:60].decode("latin-1")
                    raise EventFileError(self.path, f"the line {text!r} is not {width} numbers", offset=at)
                rows.append(row)
            at += len(line) + 1
        return np.array(rows, np.float64).reshape(-1, width)


class TextEncoder:
    """Writer of CSV with a line of names as faery's; see `eventsnn.events.formats.base.Encoder`."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._sensor = sensor

    def start(self) -> bytes:
        """The line of names."""
        width, height, _ = self._sensor
        return f"t,x@{width},y@{height},on\n".encode()

    def feed(self, events: np.ndarray) -> bytes:
        """One line per event."""
        rows = zip(*(events[name].tolist() for name in "txyp"), strict=True)
        return "".join([f"{t},{x},{y},{p}\n" for t, x, y, p in rows]).encode()

    def finish(self) -> bytes:
        """Nothing."""
        return b""
