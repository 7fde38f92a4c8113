"""Tables of text (``.csv``, ``.tsv``, ``.txt``): one event per line, columns in any named order.

Columns are separated by commas, semicolons or white space. Their order comes from the caller
(``columns="t[s],x,y,p"``) or from a line that names them; it is never guessed, but for the files of e2vid,
which begin with a line ``width height`` and go on with rows ``t x y p``. Lines that begin with #, % or // are
comments, but may name the columns or the size. Times in microseconds unless a name says otherwise; no
unwrapping. Names and polarities: `eventsnn.events.fields`. Text is ASCII with bytes above it passed over, or
UTF-16 with a byte-order mark. faery's ``t,x@1280,y@720,on`` gives the sensor too, and is what is written.
"""

from __future__ import annotations

import codecs
import os
import re
import warnings
from fractions import Fraction
from functools import partial

import numpy as np

from eventsnn.errors import EventFileError, EventFileWarning
from eventsnn.events.fields import UNITS
from eventsnn.events.formats.base import Match, Options, suffix_match
from eventsnn.events.formats.columns import Columns
from eventsnn.events.formats.decoder import RecordFormat
from eventsnn.events.formats.table_head import LOOSE, Dialect, HeadReader
from eventsnn.events.formats.validator import EventValidator, Validated
from eventsnn.events.polarity import word_value
from eventsnn.events.stream import EVENT_DTYPE, SensorSize

_BLANKS = bytes.maketrans(b",;|\t\r\"'", b"       ")
_DECIMAL_COMMA = bytes.maketrans(b",;|\t\r", b".    ")
_NUMERIC = b"0123456789+-.eE \n"
_WHOLE = b"0123456789+- \n"
_LONGEST_LINE = 1 << 16
_END_OF_LINE = -(2**62) - 2**40  # no number of a recording, exact as a float; words follow it
_EXACT = 2.0**53
_LARGEST = 2**63 - 1
_SUFFIXES = (".csv", ".txt", ".tsv")
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def _recognise(head: bytes, path: str) -> Match:
    """By the suffix, and that the first bytes are text."""
    if head[:2] not in _UTF16 and _CONTROL.search(head[:1024]):
        return Match.NO
    return suffix_match(path, _SUFFIXES)


class TextDecoder(Validated):
    """Lines, cut in any way, to events; see `eventsnn.events.formats.decoder.Decoder`."""

    def __init__(self, path: str | os.PathLike[str], options: Options) -> None:
        self.path = path
        self._options = options
        self._given = Columns.given(path, options.columns)
        self._head = HeadReader(path, self._given)
        self._columns: Columns | None = None
        self._dialect = Dialect()
        self._validator = EventValidator(path, options, None)
        self._rest = b""
        self._offset = 0
        self._encoding: codecs.IncrementalDecoder | None = None
        self._returns = False  # whether lines end with a carriage return alone
        self._marked = False  # whether a byte-order mark has been looked for
        self.started = False

    @property
    def polarities(self) -> int:
        """Of a sensor that neither file nor caller states."""
        return self._columns.polarities if self._columns else 2

    def feed(self, data: bytes | memoryview) -> np.ndarray:
        """Events of the lines that are complete; raises EventFileError with the offset of a bad line."""
        if self._encoding is not None:
            data = self._encoding.decode(bytes(data)).encode()
        block = b"".join((self._rest, data))
        if not self._marked:
            if len(block) < len(codecs.BOM_UTF8) and b"\n" not in block:
                self._rest = block
                return np.empty(0, EVENT_DTYPE)
            block = self._take_mark(block)
        if self._returns:
            block = block.replace(b"\r", b"\n")
        end = block.rfind(b"\n") + 1
        if end == 0 and len(block) > _LONGEST_LINE and b"\r" in block:
            self._returns, block = True, block.replace(b"\r", b"\n")
            end = block.rfind(b"\n") + 1
        if end == 0 and len(block) > _LONGEST_LINE:
            raise EventFileError(self.path, "a line of more than 64 KiB; is this text?", offset=self._offset)
        self._rest = block[end:]
        return self._decode(block[:end])

    def finish(self) -> np.ndarray:
        """Events of a last line without an end."""
        remaining, self._rest = self._rest, b""
        if not self.started:
            remaining = remaining.replace(b"\r", b"\n")  # a small file whose lines end so
        if not remaining and self._offset == 0:
            raise EventFileError(self.path, "the file is empty", offset=0)
        offset = self._offset
        try:
            events = self._decode(remaining + b"\n", last=True)
        except EventFileError:
            if offset == 0 or not self.started or self._options.on_cut == "error":
                raise
            if self._offset > offset and not self._ends_with_time():
                raise  # a whole row, of an event that is wrong
            self._validator.anomalies.cut_bytes = len(remaining)
            warnings.warn(
                f"{os.fspath(self.path)}, byte {offset}: the last line is cut and left out",
                EventFileWarning,
                stacklevel=4,
            )
            events = np.empty(0, EVENT_DTYPE)
        self.started = True
        return events

    def _ends_with_time(self) -> bool:
        """Whether a row that has lost its last digits has a time that is too early."""
        columns = self._columns
        return columns is not None and columns.place["t"] == columns.width - 1

    def _take_mark(self, block: bytes) -> bytes:
        """Take a byte-order mark off the front; UTF-16 is decoded from here on."""
        self._marked = True
        if block.startswith(codecs.BOM_UTF8):
            self._offset = len(codecs.BOM_UTF8)
            return block[self._offset :]
        if block[:2] in _UTF16:
            self._encoding = codecs.getincrementaldecoder(_UTF16[block[:2]])("replace")
            return self._encoding.decode(block[2:]).encode()
        return block

    def _decode(self, lines: bytes, last: bool = False) -> np.ndarray:
        if not self.started:
            lines = self._read_head(lines, last)
        if not self.started or not lines.strip():
            self._offset += len(lines)
            return np.empty(0, EVENT_DTYPE)
        columns = self._columns
        assert columns is not None
        values = self._parse_block(lines, columns)
        if values is None:
            values = self._parse_lines(lines, columns)
        self._offset += len(lines)
        # Times of many digits are whole microseconds already.
        return self._validator.admit_columns(values, None if "exact" in values else columns.unit)

    def _read_head(self, lines: bytes, last: bool) -> bytes:
        """Remove lines that are not rows of events from the beginning; the rest begins with the first
        event.
        """
        at = 0
        while at < len(lines):
            end = lines.index(b"\n", at) + 1
            if not self._head.skip(_text(lines[at:end]), partial(_next_line, lines, end), self._offset + at):
                break
            at = end
        self._offset += at
        if at < len(lines):
            rows = [_text(row) for row in lines[at:].split(b"\n", 1001)[:1000]]
            head = self._head.finish(rows, self._offset)
            self._columns, self._dialect = head.columns, head.dialect
            if head.size and self._validator.sensor is None and max(head.size) <= 2**15 and min(head.size):
                self._validator.sensor = (*head.size, min(head.columns.polarities, 256))
            self.started = True
        elif last:
            self._head.check_end(self._offset)
        return lines[at:]

    def _parse_block(self, lines: bytes, columns: Columns) -> dict[str, np.ndarray] | None:
        """Columns of numbers, quickly; None where a line is not plainly one number per column."""
        comma, width = self._dialect.comma, columns.width
        text = lines.translate(_DECIMAL_COMMA if comma else _BLANKS)
        if text.translate(None, _NUMERIC):
            try:
                text = re.sub(rb"[A-Za-z]+", _word_number, text)
            except KeyError:
                return None
            if text.translate(None, _NUMERIC):
                return None
        whole = not text.translate(None, _WHOLE)
        marked = text.replace(b"\n", b" %d\n" % _END_OF_LINE)
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            try:
                numbers = np.fromstring(marked, np.int64 if whole else np.float64, sep=" ")
            except (DeprecationWarning, ValueError):
                return None
        if len(numbers) != (width + 1) * text.count(b"\n"):
            return None
        table = numbers.reshape(-1, width + 1)
        if not (table[:, width] == _END_OF_LINE).all():
            return None
        values = {role: table[:, k] for role, k in columns.place.items()}
        if any((values[role] < _END_OF_LINE / 2).any() for role in "txy" if role in values):
            return None  # a word where a number should be
        if not whole and len(table) and np.abs(values["t"]).max() >= _EXACT:
            return None  # a float cannot hold this time exactly
        if whole and "p" in values and (values["p"] == _LARGEST).any():
            return None  # 2^64 - 1, which int64 cannot hold
        if "p" in values:
            is_word = values["p"] < _END_OF_LINE / 2
            if is_word.any():
                # Between _END_OF_LINE and words lie steps that floats keep.
                codes = ((values["p"] - _END_OF_LINE) / 2**20).astype(np.int64) - 8
                values["p"] = np.where(is_word, codes, values["p"])
        return values

    def _parse_lines(self, lines: bytes, columns: Columns) -> dict[str, np.ndarray]:
        """Columns, line by line: comments, words, empty cells, times of many digits, and errors."""
        at = self._offset
        cells: dict[str, list[str]] = {role: [] for role in columns.place}
        for line in lines.split(b"\n"):
            text = _text(line).strip()
            if text and not text.startswith(("#", "%", "//")):
                row = self._dialect.cells(_text(line))
                strict = self._dialect.separator is not None
                if len(row) != columns.width and len(LOOSE.cells(text)) == columns.width:
                    row = LOOSE.cells(text)
                if len(row) != columns.width and not (strict and len(row) < columns.width):
                    self._refuse(text, columns, at)
                for role, k in columns.place.items():
                    cell = row[k] if k < len(row) else ""
                    if not (cell if role == "p" else _is_number(cell)):
                        self._refuse(text, columns, at)
                    cells[role].append(cell)
            at += len(line) + 1
        values = {role: np.array(cells[role], np.float64) for role in "xy" if role in cells}
        if "p" in cells:
            values["p"] = np.array(cells["p"], str) if cells["p"] else np.zeros(0, np.uint8)
            if all(_is_number(cell) for cell in cells["p"]):
                values["p"] = np.array(cells["p"], np.float64)
        values["t"] = np.array(cells["t"], np.float64)
        if len(values["t"]) and np.abs(values["t"]).max() >= _EXACT:
            up, down = UNITS[columns.unit or "us"]
            exact = [Fraction(cell) * up / down for cell in cells["t"]]
            if all(abs(t) < 2**62 for t in exact) and (
                columns.unit or all(t.denominator == 1 for t in exact)
            ):
                values["t"] = values["exact"] = np.array([round(t) for t in exact], np.int64)
        return values

    def _refuse(self, text: str, columns: Columns, at: int) -> None:
        raise EventFileError(self.path, f"the line {text[:60]!r} is not {columns.width} numbers", offset=at)


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _next_line(lines: bytes, start: int) -> str:
    return _text(lines[start:].lstrip(b" \t\r\n").split(b"\n", 1)[0][:_LONGEST_LINE])


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,3})?", cell) is not None


def _word_number(match: re.Match[bytes]) -> bytes:
    """Number that represents a polarity word within a row of numbers; KeyError for another word."""
    word = match[0]
    if word in (b"e", b"E"):
        return word
    value = word_value(word.decode())
    if value is None:
        raise KeyError(word)
    return b" %d " % (_END_OF_LINE + (value + 8) * 2**20)


class TextWriter:
    """Writer of CSV with a line of names as faery's; see `eventsnn.events.formats.base.Writer`."""

    def __init__(self, path: str | os.PathLike[str], sensor: SensorSize) -> None:
        self._sensor = sensor
        self._tabs = os.fspath(path).lower().endswith(".tsv")

    def start(self) -> bytes:
        """The line of names; without a polarity column where there is one polarity."""
        width, height, polarities = self._sensor
        more = {1: "", 2: ",on"}.get(polarities, f",on@{polarities}")
        return self._encode(f"t,x@{width},y@{height}{more}\n")

    def feed(self, events: np.ndarray) -> bytes:
        """One line per event."""
        columns = [events[name].tolist() for name in "txyp"]
        if self._sensor[2] == 1:
            rows = zip(*columns[:3], strict=True)
            return self._encode("".join([f"{t},{x},{y}\n" for t, x, y in rows]))
        return self._encode("".join([f"{t},{x},{y},{p}\n" for t, x, y, p in zip(*columns, strict=True)]))

    def _encode(self, text: str) -> bytes:
        return (text.replace(",", "\t") if self._tabs else text).encode()

    def finish(self) -> bytes:
        """Nothing."""
        return b""


TEXT = RecordFormat("csv", _SUFFIXES, TextDecoder, _recognise)
