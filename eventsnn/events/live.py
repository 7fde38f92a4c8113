"""Live sources of events: a file that grows, standard input, datagrams.

A source yields arrays of EVENT_DTYPE, sorted by time. While nothing arrives it yields an empty array every
few milliseconds, so that the caller can check the clock.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
import weakref
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from eventsnn._util.arguments import check_whole
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events.datagrams import JumpGuard, LossCounter
from eventsnn.events.formats import EventFormat, find_format
from eventsnn.events.formats.base import BLOCK_BYTES, Anomalies, Options, open_file, read_block
from eventsnn.events.formats.decoder import ByteDecoder
from eventsnn.events.stream import EVENT_DTYPE, EventStream, SensorSize

POLL_S = 0.002
"""How long a source waits before it looks again."""

MAGIC = b"eventsnn"
HEADER = struct.Struct("<8sQ")
RECORD = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("pad", "V3")])
"""An event of a datagram, laid out as those of AEDAT 4."""
MOST_RECORDS = 4000
"""Events of one datagram, which may hold 65,507 bytes."""
MOST_DATAGRAMS = 64
"""How many are taken at a time."""
_NOTHING = np.empty(0, EVENT_DTYPE)


class Live(Protocol):
    """A source of events that are still coming."""

    name: str

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None where that is not known (yet)."""

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""

    @property
    def dropped(self) -> int:
        """Events that were sent and did not arrive."""

    def __iter__(self) -> Iterator[np.ndarray]: ...

    def close(self) -> None:
        """Take no more."""


class ByteSource:
    """Bytes of a recording that somebody else is still writing: a growing file, or standard input.

    Parameters
    ----------
    path : path
        A file, or ``-`` for standard input, which ends where its writer closes it.
    options : Options
    format : str, optional
        Name of the format; a file that has begun may tell it.
    idle : float, optional
        A file ends when it has not grown for this many seconds; None waits for ever.
    """

    dropped = 0

    def __init__(
        self,
        path: str | os.PathLike[str],
        options: Options,
        *,
        format: str | None = None,
        idle: float | None = None,
    ) -> None:
        self._stdin = os.fspath(path) == "-"
        self.name = "standard input" if self._stdin else os.fspath(path)
        if self._stdin and format is None:
            raise EventFileError(self.name, "its format cannot be told; pass format=... (--format)")
        if self._stdin and sys.stdin is None:
            raise EventFileError(self.name, "is closed")
        self._decoder = _byte_decoder(find_format(self.name, format), self.name, options)
        self._file = sys.stdin.fileno() if self._stdin else open_file(path)
        self._close = weakref.finalize(self, _nothing if self._stdin else os.close, self._file)
        self._close.atexit = False
        self._idle = idle
        self._open = True

    @property
    def sensor(self) -> SensorSize | None:
        """Width, height, polarities; None until the header is complete."""
        return self._decoder.sensor

    @property
    def anomalies(self) -> Anomalies:
        """Irregularities so far."""
        return self._decoder.anomalies

    def __iter__(self) -> Iterator[np.ndarray]:
        since = time.monotonic()
        while self._open:
            if self._stdin and not select.select([self._file], [], [], POLL_S)[0]:
                yield _NOTHING
                continue
            block = read_block(self.name, self._file, BLOCK_BYTES)
            if block:
                since = time.monotonic()
                yield self._decoder.feed(block)
            elif self._stdin or (self._idle is not None and time.monotonic() - since >= self._idle):
                self.close()
                yield self._decoder.finish()
                return
            else:
                time.sleep(POLL_S)
                yield _NOTHING

    def close(self) -> None:
        """Take no more."""
        self._open = False
        self._close()


def _nothing(_: int) -> None:
    """Do nothing: standard input stays open, because others may read on."""


def _byte_decoder(known: EventFormat, name: str, options: Options) -> ByteDecoder:
    make = getattr(known, "decoder", None)
    if make is None:
        raise EventFileError(name, f"a file of format {known.name!r} cannot be read while it is written")
    decoder: ByteDecoder = make(name, options)
    return decoder


class UDPSource:
    """Datagrams of events on a port of this machine.

    A datagram is 16 bytes, ``eventsnn`` and the number of events sent before it (u64), then 16 bytes for each
    event: t (i64, microseconds), x, y (i16), p (u8), 3 unused; little-endian. `send_events` makes them. The
    numbers tell how many events were lost on the way, in whatever order they come; a number of 0 begins a new
    count. A datagram that comes twice is taken once. Events more than 10 s ahead of the clock, which runs on
    from the last event, are held back until three datagrams in a row agree on that time, and else left out:
    one that is forged cannot make all others late. Both are counted in `anomalies.ignored`.

    Parameters
    ----------
    port : int
        0 takes any free one.
    sensor : tuple of 3 int
        Events outside are left out and counted (`anomalies.outside`).
    host : str
        Loopback by default: nothing from outside the machine is heard.
    idle : float, optional
        It ends when nothing has come for this many seconds; None waits for ever.

    Raises
    ------
    EventStreamError
        If the port cannot be had.
    """

    def __init__(
        self, port: int, sensor: SensorSize, *, host: str = "127.0.0.1", idle: float | None = None
    ) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        try:
            self._socket.bind((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise EventStreamError(f"UDP port {port} of {host} cannot be had: {error}") from None
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        self.name = f"udp://{host}:{self.port}"
        self.sensor = sensor
        self.anomalies = Anomalies()
        self._losses, self._jumps = LossCounter(), JumpGuard()
        self._idle = idle
        self._open = True

    @property
    def dropped(self) -> int:
        """Events that were sent and did not arrive."""
        return self._losses.dropped

    def __iter__(self) -> Iterator[np.ndarray]:
        since = time.monotonic()
        while self._open:
            try:
                ready = select.select([self._socket], [], [], POLL_S)[0]
            except (OSError, ValueError):
                return  # closed
            if ready:
                since = time.monotonic()
                yield self._decode_all()
            elif self._idle is not None and time.monotonic() - since >= self._idle:
                return
            else:
                yield _NOTHING

    def _decode_all(self) -> np.ndarray:
        """Events of the datagrams that have arrived: a slow consumer takes more of them at a time."""
        parts = [_NOTHING]
        while len(parts) <= MOST_DATAGRAMS:
            try:
                parts.append(self.decode(self._socket.recv(1 << 16)))
            except OSError:  # no datagram left, or closed
                break
        events = np.concatenate(parts)
        return events[np.argsort(events["t"], kind="stable")]

    def decode(self, data: bytes) -> np.ndarray:
        """Events of a datagram, sorted by time; datagrams of another format are counted in
        `anomalies.ignored`.
        """
        if len(data) < HEADER.size or (len(data) - HEADER.size) % RECORD.itemsize or data[:8] != MAGIC:
            self.anomalies.ignored += 1
            return _NOTHING
        _, number = HEADER.unpack_from(data)
        records = np.frombuffer(data, RECORD, offset=HEADER.size)
        if not self._losses.take(number, len(records), data):
            self.anomalies.ignored += len(records)
            return _NOTHING
        width, height, polarities = self.sensor
        x, y, p = records["x"], records["y"], records["p"]
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (p < polarities) & (records["t"] >= 0)
        self.anomalies.outside += int((~inside).sum())
        records = records[inside]
        events = np.empty(len(records), EVENT_DTYPE)
        for name in EVENT_DTYPE.names or ():
            events[name] = records[name]
        events, refused = self._jumps.take(events[np.argsort(events["t"], kind="stable")])
        self.anomalies.ignored += refused
        return events

    def close(self) -> None:
        """Take no more."""
        self._open = False
        self._socket.close()


def send_events(target: tuple[str, int], events: EventStream, *, sent: int = 0, size: int = 500) -> int:
    """Send events to a `UDPSource` at (host, port), `size` in a datagram.

    `sent` is how many were sent before; returns how many have been by now.
    """
    check_whole("size", size, EventStreamError, 1, MOST_RECORDS, "events")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        for part in events.chunks(size):
            records = np.zeros(len(part), RECORD)
            for name in EVENT_DTYPE.names or ():
                records[name] = part.events[name]
            port.sendto(HEADER.pack(MAGIC, sent) + records.tobytes(), target)
            sent += len(part)
    return sent
