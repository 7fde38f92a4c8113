"""A column of a trace: a data set that grows, and how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# A file is written in three strokes with a flush between them, so that what a reader takes for complete is.
DATA, POINTERS, SEAL = 0, 1, 2

# Chunks in rows. A chunk that is not compressed takes its full size once a row of it is written.
CHUNK_ROWS: Final = 4096
CHUNK_ROWS_MANY: Final = 16384
CHUNK_ROWS_COMPRESSED: Final = 16384
CHUNK_POINTERS: Final = 512
CHUNK_BYTES: Final = 2**15


@dataclass(frozen=True)
class Column:
    """One growing dataset.

    Attributes
    ----------
    path : str
    dtype : str
    description : str
    units : str or None
        Physical unit; "1" for dimensionless quantities, None for numbers that are no quantity.
    stage : int
        DATA, POINTERS or SEAL: the stroke in which it is written.
    width : int
        Second dimension; 0 for one-dimensional data.
    compress : bool
        gzip 1 and shuffle. What SONATA readers look at stays uncompressed: libsonata knows no filters.
    covers : tuple of str
        Of a checksum the columns of its group that it is of.
    """

    path: str
    dtype: str
    description: str
    units: str | None = None
    stage: int = DATA
    width: int = 0
    compress: bool = False
    covers: tuple[str, ...] = ()

    @property
    def is_pointer(self) -> bool:
        """True for CSR offsets, which begin with a 0 and have one entry more than there are rows."""
        return not self.width and self.path.endswith(("/sample_ptr", "/post_ptr"))

    @property
    def is_crc(self) -> bool:
        """True for checksums, which the traces of layout 1 have not."""
        return bool(self.covers) or self.path == "/samples/crc"

    @property
    def is_by_sample(self) -> bool:
        """True for columns with a row for each sample (and a first 0, if a pointer)."""
        if self.path.startswith(("/weights/", "/snapshots/")):
            return False
        return (
            bool(self.width)
            or self.path.startswith("/samples/")
            or self.path.endswith(("/sample_ptr", "/sample_crc"))
        )

    def chunks(self, many: bool) -> tuple[int, ...]:
        """Shape of a chunk, in a file of `many` samples or of few."""
        if self.width:
            return (max(1, CHUNK_BYTES // (4 * self.width)), self.width)
        if self.stage != DATA:
            return (CHUNK_POINTERS,)
        if self.compress:
            return (CHUNK_ROWS_COMPRESSED,)
        return (CHUNK_ROWS_MANY if many else CHUNK_ROWS,)


def sample_ptr(group: str) -> Column:
    """Where each sample's rows of a group end."""
    return Column(
        f"{group}/sample_ptr",
        "<u8",
        "rows of sample s are [sample_ptr[s], sample_ptr[s + 1])",
        stage=POINTERS,
    )


def sample_crc(group: str, covers: tuple[str, ...]) -> Column:
    """The checksum of each sample's rows of a group."""
    return Column(
        f"{group}/sample_crc",
        "<u4",
        f"CRC-32 of the rows of sample s: {', '.join(covers)}",
        stage=POINTERS,
        covers=covers,
    )


def row_columns(group: str, name: str, what: str, width: int, units: str = "1") -> list[Column]:
    """A row for each sample, with its checksum."""
    return [
        Column(f"{group}/{name}", "<f8", f"{what} (sample, ...)", units, DATA, width, True),
        sample_crc(group, (name,)),
    ]
