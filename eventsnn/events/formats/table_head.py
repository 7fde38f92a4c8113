"""The head of a table of text (comments, names, size) and the separator of its columns.

Programs write the same table differently. pandas puts the number of the row first, under an empty name; e2vid
and the programs around it write a first line ``width height`` and then rows ``t x y p`` with t in seconds;
spreadsheets in many languages divide by semicolons and write a decimal comma.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eventsnn.errors import EventFileError, EventFileWarning, EventStreamError
from eventsnn.events.fields import is_idle
from eventsnn.events.formats.columns import HOW, Columns
from eventsnn.events.polarity import word_value

_COMMENT = re.compile(r"(#|%|//)[#%/!\s]*")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_SEPARATORS = re.compile(r"[,;|\s]+")
# Blanks are counted: a pattern with several runs of any length takes ages for a line of blanks.
_BARE_SIZE = re.compile(r"(\d{1,5})\s{0,8}[x×,;\s]\s{0,8}(\d{1,5})(?:\s{0,8}[x×,;\s]\s{0,8}[12])?[,;\s]{0,8}")
_SIDES = {
    side: re.compile(rf"\b{side}\D{{0,12}}?(?<!\w)(\d{{1,5}})(?![\d.])", re.IGNORECASE)
    for side in ("width", "height")
}
_SIZE_WORD = re.compile(r"size|resolution|geometry|sensor|dimension|shape|camera", re.IGNORECASE)
_SIZES = (
    re.compile(r"(?<!\w)(\d{1,5})\s{0,8}[x×*]\s{0,8}(\d{1,5})(?=\s{0,8}[x×*]\s{0,8}[12]\b|\W|$)"),
    re.compile(r"(?<!\w)(\d{1,5})\s{0,8}[,;\s]\s{0,8}(\d{1,5})(?!\w)"),
)
_PREFIX = re.compile(r"(?:columns?|format|fields?|order|header)\s*(?::|=|\bis\b)\s*", re.IGNORECASE)
_LONGEST_NAMES = 2000
_LONGEST_PREFACE = 200
"""Lines of text that may stand before the names."""


@dataclass(frozen=True)
class Dialect:
    """How the rows of a table are divided into cells.

    Attributes
    ----------
    separator : str or None
        One character, of which every one ends a cell; None: any run of commas, semicolons and blanks does.
    blanks : bool
        Cells are divided by blanks alone, commas belong to numbers.
    comma : bool
        Numbers have a decimal comma.
    """

    separator: str | None = None
    blanks: bool = False
    comma: bool = False

    def cells(self, line: str) -> list[str]:
        """The cells of a line, without quotes; empty ones at its end are left out."""
        if self.blanks:
            cells = line.split()
        elif self.separator is None:
            cells = [_unquote(cell) for cell in _SEPARATORS.split(line) if cell]
        elif '"' in line:
            try:
                cells = next(
                    csv.reader([line.strip("\r\n")], delimiter=self.separator, skipinitialspace=True), []
                )
            except csv.Error:
                cells = line.split(self.separator)
        else:
            cells = line.split(self.separator)
        cells = [_unquote(cell.strip()) for cell in cells]
        while cells and not cells[-1]:
            cells.pop()
        return [cell.replace(",", ".") for cell in cells] if self.comma else cells


LOOSE = Dialect()


@dataclass(frozen=True)
class Head:
    """Facts about a table, complete when its first row of events has been read."""

    columns: Columns
    dialect: Dialect
    size: tuple[int, int] | None


class HeadReader:
    """Takes lines from the start of a table until the first row of events.

    Parameters
    ----------
    path : path
        Named in errors.
    given : Columns, optional
        What the caller says; a line of names is then passed over.
    """

    def __init__(self, path: str | os.PathLike[str], given: Columns | None) -> None:
        self._path, self._given = path, given
        self._names: list[str] = []
        self._named: Columns | None = None
        self._from_comment = False
        self._unknown: str | None = None
        self._no_row: str | None = None
        self._size: tuple[int, int] | None = None
        self._sides: dict[str, int] = {}
        self._bare_size = False
        self._preface = 0

    def skip(self, line: str, following: Callable[[], str], offset: int) -> bool:
        """Whether a line is not a row of events; `following` gives the next line that is not blank, if
        any.
        """
        text = line.strip()
        comment = _COMMENT.match(text)
        if not text or comment:
            if comment:
                self._take_comment(text[comment.end() :])
            return True
        bare = _BARE_SIZE.fullmatch(text)
        if bare and self._size is None and self._named is None and self._is_size(following()):
            self._take_size(int(bare[1]), int(bare[2]))
            self._bare_size = True
            return True
        names = _split_names(text)
        if any(_NUMBER.fullmatch(name) for name in names) and not _is_numbered(names):
            return False
        self._take_names(names, text, offset)
        return True

    def finish(self, rows: Sequence[str], offset: int) -> Head:
        """Settle the roles of the columns; raises EventFileError if neither the file nor the caller states
        them.
        """
        columns = self._given or self._named
        cells = LOOSE.cells(rows[0])
        if self._from_comment and columns is not None and self._given is None:
            # Prose may look like names.
            columns = columns if len(cells) in (columns.width, columns.width + 1) else None
        if columns is None and self._size is not None:
            columns = self._guess(rows)
        if columns is None:
            raise EventFileError(self._path, f"{self._say_names()}; {HOW}", offset=offset)
        if self._given is not None and self._named is not None and not self._from_comment:
            self._compare()
        columns, dialect = self._divide(columns, rows[0], offset)
        return Head(columns, dialect, columns.size or self._size)

    def _compare(self) -> None:
        """Warn where the caller's columns and the table's own names differ."""
        stated, named = self._given, self._named
        assert stated is not None
        assert named is not None
        first = named.width - stated.width
        shared = stated.place.keys() & named.place.keys()
        if any(named.place[role] not in (stated.place[role], stated.place[role] + first) for role in shared):
            order = ",".join(sorted(stated.place, key=stated.place.__getitem__))
            text = f"{os.fspath(self._path)}: columns say {order}, its own names {','.join(self._names)}"
            warnings.warn(f"{text}; the columns are taken", EventFileWarning, stacklevel=2)

    def check_end(self, offset: int) -> None:
        """Raise EventFileError if a table without rows has lines of text, but none that names columns."""
        named = None if self._from_comment else self._named
        if self._no_row is not None and named is not None and self._given is None:
            text = f"no line is a row of {named.width} numbers; the first after the names is {self._no_row!r}"
            raise EventFileError(self._path, text, offset=offset)
        if self._given is self._named is self._size is self._unknown is None:
            text = "the file holds no table: it is blank, or all comments, and no line names columns"
            raise EventFileError(self._path, text, offset=0)
        if self._unknown is None or named is not None:
            return
        if self._given is not None:
            text = f"no line is a row of {self._given.width} numbers; the first is {self._unknown!r}"
            raise EventFileError(self._path, text, offset=offset)
        raise EventFileError(self._path, f"{self._say_names()}; {HOW}", offset=offset)

    def _take_comment(self, text: str) -> None:
        bare = _BARE_SIZE.fullmatch(text)
        if bare and self._size is None:
            self._take_size(int(bare[1]), int(bare[2]))
        self._look_for_size(text)
        if self._named is None or self._from_comment:
            try:
                named = Columns.of_names(_split_names(text))
            except EventStreamError:
                named = None
            if named is not None:
                self._named, self._names, self._from_comment = named, _split_names(text), True

    def _look_for_size(self, text: str) -> None:
        """Read the sensor's size from a line of words; width and height may be on two lines."""
        text = text[:_LONGEST_NAMES]
        for side, pattern in _SIDES.items():
            if match := pattern.search(text):
                self._sides.setdefault(side, int(match[1]))
        if len(self._sides) == 2:
            self._take_size(self._sides["width"], self._sides["height"])
        if _SIZE_WORD.search(text):
            for pattern in _SIZES:
                if match := pattern.search(text):
                    self._take_size(int(match[1]), int(match[2]))

    def _take_size(self, width: int, height: int) -> None:
        if self._size is None and 0 < width <= 2**15 and 0 < height <= 2**15:
            self._size = (width, height)

    def _is_size(self, following: str) -> bool:
        """Whether a line of two numbers is a size: the rows have another number of cells."""
        width = self._given.width if self._given else len(LOOSE.cells(following))
        return width != 2

    def _take_names(self, names: list[str], text: str, offset: int) -> None:
        self._preface += 1
        if self._preface > _LONGEST_PREFACE:
            raise EventFileError(self._path, f"no row of numbers in {self._preface} lines", offset=offset)
        self._look_for_size(text)
        try:
            named = Columns.of_names(names)
        except EventStreamError as error:
            if self._given is None:
                raise EventFileError(self._path, str(error), offset=offset) from None
            named = None
        if named is not None and (self._named is None or self._from_comment):
            self._named, self._from_comment = named, False
        elif named is None and self._named is not None and not self._from_comment:
            self._no_row = self._no_row or text[:60]
        elif named is None and self._unknown is None:
            self._unknown = text[:60]
        self._names = names

    def _say_names(self) -> str:
        if self._unknown is not None:
            return f"the line {self._unknown!r} names no columns of events"
        return "the columns have no names"

    def _guess(self, rows: Sequence[str]) -> Columns | None:
        """Rows ``t x y p`` after a size, if they can be nothing else."""
        assert self._size is not None
        width, height = self._size
        cells = [LOOSE.cells(row) for row in rows[:1000] if row.strip() and not _COMMENT.match(row.strip())]
        if not all(len(row) == 4 and all(map(_NUMBER.fullmatch, row[:3])) for row in cells):
            return None
        if not all(word_value(row[3]) in (0, 1, -1) for row in cells):
            return None
        table = [[float(cell) for cell in row[:3]] for row in cells]
        inside = all(row[1] < width and row[2] < height for row in table)
        seconds = any(re.search("[.eE]", row[0]) for row in cells)
        t, last = ([row[k] for row in table] for k in (0, 2))
        if not inside or t != sorted(t):
            return None
        if not seconds and (last == sorted(last) or not self._bare_size):
            return None  # could be x y t p
        return Columns({"t": 0, "x": 1, "y": 2, "p": 3}, 4, "s" if seconds else None)

    def _divide(self, columns: Columns, row: str, offset: int) -> tuple[Columns, Dialect]:
        """How rows are divided so that there are as many cells as columns, or one more, the row's number."""
        for dialect in _dialects(row):
            cells = dialect.cells(row)
            for known in (columns, self._after_index(columns, cells, row)):
                if known is None or not _fits(known, cells):
                    continue
                # Where every separator counts, cells at the end of a row may be empty.
                if len(cells) == known.width or (dialect.separator is not None and len(cells) < known.width):
                    return known, dialect
        text = f"the line {row.strip()[:60]!r} is not {columns.width} numbers"
        if self._given is not None and len(LOOSE.cells(row)) > columns.width:
            text += "; name every column (columns=, --columns), with - for one to pass over"
        raise EventFileError(self._path, text, offset=offset)

    @staticmethod
    def _agrees(columns: Columns, names: list[str]) -> bool:
        """Whether two tables give their columns the same names."""
        try:
            named = Columns.of_names(names)
        except EventStreamError:
            return False
        return named is not None and named.place == columns.place

    def _after_index(self, columns: Columns, cells: list[str], row: str) -> Columns | None:
        """The columns after a leading row number: pandas' index, without a name or with its own."""
        if len(cells) != columns.width + 1 or not cells[0].isdecimal():
            return None
        # In a row of commas the first may be a decimal one.
        unnamed = self._named is columns and len(self._names) == columns.width and "," not in row
        indexed = len(self._names) == len(cells) and (
            is_idle(self._names[0]) or (columns is self._given and self._agrees(columns, self._names[1:]))
        )
        if not (unnamed or indexed):
            return None
        place = {role: k + 1 for role, k in columns.place.items()}
        return replace(columns, place=place, width=columns.width + 1)


def _unquote(cell: str) -> str:
    return cell[1:-1] if len(cell) > 1 and cell[0] in "\"'" and cell[-1] == cell[0] else cell


def _split_names(text: str) -> list[str]:
    """Names of a line, in quotes or not, perhaps after ``columns:`` or ``format is``."""
    if len(text) > _LONGEST_NAMES:
        return _SEPARATORS.split(text)
    text = re.sub(r"\([^()]*\)", lambda match: match[0].replace(",", " "), _PREFIX.sub("", text))
    separator = next((mark for mark in ";\t|," if mark in text), None)
    if separator is None:
        # A unit in brackets belongs to the name before it.
        separator, text = " ", re.sub(r"\s+(?=[\[(])", "", text)
    try:
        names = next(csv.reader([text], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        names = text.split(separator)
    names = [_unquote(name.strip()) for name in names]
    while names and not names[-1]:
        names.pop()
    return names


def _is_numbered(names: list[str]) -> bool:
    """The header that pandas gives a table without names: perhaps nothing, and 0, 1, 2, 3, ..."""
    column_names = names[1:] if names and not names[0] else names
    return len(column_names) > 3 - (len(column_names) < len(names)) and column_names == [
        str(k) for k in range(len(column_names))
    ]


def _dialects(row: str) -> list[Dialect]:
    """Ways to divide a row, the likeliest first."""
    dialects = [Dialect(mark, comma=mark != "," and "," in row) for mark in ";\t|," if mark in row]
    if "," in row and len(row.split()) > 1 and not re.search(r"(?<!\d),|,(?!\d)", row):
        dialects.insert(0, Dialect(blanks=True, comma=True))  # every comma is between digits
    return [*dialects, LOOSE]


def _fits(columns: Columns, cells: list[str]) -> bool:
    """Whether the columns of t, x and y hold numbers, and that of p a polarity."""
    for role, k in columns.place.items():
        cell = cells[k] if k < len(cells) else ""
        if not (_NUMBER.fullmatch(cell) or (role == "p" and word_value(cell) is not None)):
            return False
    return True
