"""Live sources: growing files, datagrams, and the thread that works ahead."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time

import numpy as np
import pytest

from eventsnn._util.threads import Prefetch
from eventsnn.errors import EventFileError, EventStreamError
from eventsnn.events import EVENT_DTYPE, EventStream, write
from eventsnn.events.formats.base import Options
from eventsnn.events.live import HEADER, MAGIC, ByteSource, UDPSource, send_events

SENSOR = (34, 34, 2)


def make(n: int = 300, seed: int = 1) -> EventStream:
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(0, 34, n), rng.integers(0, 34, n), rng.integers(0, 2, n)
    return EventStream.from_arrays(np.sort(rng.integers(0, 90_000, n)), x, y, p, sensor_size=SENSOR)


def join(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, EVENT_DTYPE), *arrays])


@pytest.mark.parametrize("name", ["nmnist", "evt3"])
def test_a_growing_file_gives_its_events_whatever_the_pieces(tmp_path, name):
    stream = make()
    write(tmp_path / "whole", stream, format=name)
    data = (tmp_path / "whole").read_bytes()
    cuts = [0, 1, 7, 200, 201, len(data)]
    path = tmp_path / "growing"
    path.touch()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            for start, end in itertools.pairwise(cuts):
                file.write(data[start:end])
                time.sleep(0.02)

    writer = threading.Thread(target=grow)
    source = ByteSource(path, Options(SENSOR), format=name, idle=1.0)
    writer.start()
    found = list(source)
    writer.join()
    source.close()
    assert np.array_equal(join(found), stream.events)
    assert any(len(part) == 0 for part in found)  # whoever listens can look at the clock


def test_formats_that_cannot_be_read_while_they_are_written(tmp_path):
    write(tmp_path / "x.npz", make())
    with pytest.raises(EventFileError, match="format 'npz' cannot be read while it is written"):
        ByteSource(tmp_path / "x.npz", Options(SENSOR))
    with pytest.raises(EventFileError, match="standard input: its format cannot be told"):
        ByteSource("-", Options(SENSOR))
    with pytest.raises(EventFileError, match="no such file"):
        ByteSource(tmp_path / "none.bin", Options(SENSOR), format="nmnist")


def test_datagrams_arrive_in_order():
    stream = make()
    source = UDPSource(0, SENSOR, idle=1.0)
    assert send_events(("127.0.0.1", source.port), stream, size=70) == 300
    found = list(source)
    source.close()
    assert np.array_equal(join(found), stream.events)
    assert source.dropped == 0


def datagram(number: int, *events: tuple[int, int, int, int]) -> bytes:
    body = b"".join(
        t.to_bytes(8, "little", signed=True)
        + x.to_bytes(2, "little", signed=True)
        + y.to_bytes(2, "little", signed=True)
        + bytes([p, 0, 0, 0])
        for t, x, y, p in events
    )
    return HEADER.pack(MAGIC, number) + body


def test_what_is_lost_outside_or_no_datagram_is_counted():
    source = UDPSource(0, SENSOR)
    found = source.decode(datagram(0, (5, 1, 2, 1), (4, 3, 33, 0)))
    assert found[["t", "x", "y", "p"]].tolist() == [(4, 3, 33, 0), (5, 1, 2, 1)]
    assert len(source.decode(datagram(7, (9, 1, 1, 1)))) == 1
    assert source.dropped == 5
    bad = datagram(8, (9, 34, 1, 1), (9, -1, 1, 1), (9, 1, 34, 1), (9, 1, 1, 2), (-1, 1, 1, 1), (9, 0, 0, 0))
    assert len(source.decode(bad)) == 1
    assert source.anomalies.outside == 5
    for data in (b"", b"hello", b"x" * 32, datagram(14)[:-1], datagram(14, (1, 1, 1, 1))[:-1]):
        assert len(source.decode(data)) == 0
    assert source.anomalies.ignored == 5
    assert len(source.decode(datagram(0, (9, 1, 1, 1)))) == 1  # the sender began again
    assert source.dropped == 5
    source.close()


def test_datagrams_in_another_order_are_no_losses_and_copies_are_left_out():
    source = UDPSource(0, SENSOR)
    parts = [datagram(n, (n * 10, 1, 1, 1), (n * 10 + 5, 1, 1, 1)) for n in range(0, 40, 2)]
    order = [0, 1, 3, 2, 6, 5, 4, 7, 8, 7, 12, 9, 10, 11, *range(13, 20)]
    found = [source.decode(parts[k]) for k in order]
    assert sum(map(len, found)) == 40
    assert source.dropped == 0
    assert source.anomalies.ignored == 2  # number 7 came twice
    source.decode(datagram(50, (400, 1, 1, 1)))
    assert source.dropped == 10
    source.decode(datagram(44, (401, 1, 1, 1), (402, 1, 1, 1)))
    assert source.dropped == 8
    source.close()


def test_a_forged_datagram_from_the_far_future_is_left_out():
    source = UDPSource(0, SENSOR)
    found = [source.decode(datagram(0, (1000, 1, 1, 1)))]
    found.append(source.decode(datagram(1, (10**15, 1, 1, 1))))
    found += [source.decode(datagram(1 + n, (2000 + n, 1, 1, 1))) for n in range(5)]
    assert [events["t"].tolist() for events in found] == [[1000], [], *([2000 + n] for n in range(5))]
    assert source.anomalies.ignored == 1
    # Three in a row that agree are a sender whose clock was set.
    later = [source.decode(datagram(6 + n, (10**12 + n, 1, 1, 1))) for n in range(4)]
    assert [events["t"].tolist() for events in later] == [
        [],
        [],
        [10**12 + n for n in range(3)],
        [10**12 + 3],
    ]
    assert source.anomalies.ignored == 1
    source.close()


def test_a_port_that_is_taken():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(EventStreamError, match="cannot be had"):
            UDPSource(other.getsockname()[1], SENSOR)
    with pytest.raises(EventStreamError, match="cannot be had"):
        UDPSource(70000, SENSOR)


def test_ahead_gives_the_items_and_then_the_error():
    def items():
        yield from range(50)
        raise EventFileError("x", "broken")

    found = []

    def take() -> None:
        with Prefetch(items(), depth=3) as ahead:
            found.extend(ahead)

    with pytest.raises(EventFileError, match="broken"):
        take()
    assert found == list(range(50))


def test_ahead_is_no_further_ahead_than_asked_and_stops_when_left():
    made = []

    def items():
        for n in range(1000):
            made.append(n)
            yield n

    with Prefetch(items(), depth=3) as ahead:
        assert next(iter(ahead)) == 0
        time.sleep(0.1)
        assert len(made) <= 6
    assert len(made) <= 6
    assert "eventsnn-ahead" not in [thread.name for thread in threading.enumerate()]


def test_closing_ends_a_source(tmp_path):
    path = tmp_path / "a.bin"
    path.touch()
    source = ByteSource(path, Options(SENSOR), format="nmnist")
    parts = iter(source)
    assert len(next(parts)) == 0
    source.close()
    assert list(parts) == []
    assert os.path.exists(path)
