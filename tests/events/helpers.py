"""Event streams to test with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from eventsnn.errors import EventFileError
from eventsnn.events import EventStream

# Microseconds between events: ties, the usual, beyond one overflow step, beyond the 23 bits of N-MNIST.
INTERVALS = st.one_of(st.just(0), st.integers(1, 1000), st.just(2**13), st.integers(2**23 - 3, 2**23 + 3))


@st.composite
def streams(draw, width: int = 34, height: int = 34, most: int = 20) -> EventStream:
    """A stream of 2 polarities from t >= 0, perhaps empty."""
    pixel = st.tuples(INTERVALS, st.integers(0, width - 1), st.integers(0, height - 1), st.integers(0, 1))
    events = np.array(draw(st.lists(pixel, max_size=most)), np.int64).reshape(-1, 4)
    t = np.cumsum(events[:, 0])
    return EventStream.from_arrays(t, *events[:, 1:].T, sensor_size=(width, height, 2))


def random_stream(n: int, seed: int = 0, sensor_size: tuple[int, int, int] = (34, 34, 2)) -> EventStream:
    """A stream of `n` events over 0.3 s."""
    rng = np.random.default_rng(seed)
    width, height, polarities = sensor_size
    return EventStream.from_arrays(
        np.sort(rng.integers(300_000, size=n)),
        rng.integers(width, size=n),
        rng.integers(height, size=n),
        rng.integers(polarities, size=n),
        sensor_size=sensor_size,
    )


def check_refused(
    read: Callable[[Path], object], path: Path, data: bytes, text: str, offset: int | None
) -> None:
    """A file of these bytes must be refused, with the file's name, the byte and this text."""
    path.write_bytes(data)
    with pytest.raises(EventFileError, match=text) as caught:
        read(path)
    assert (caught.value.path, caught.value.offset) == (str(path), offset)
