"""Local times from timestamps on the file's clock and four bytes more, to the bit"""

import numpy as np
import pytest

from eventsnn.trace.clock import split, unite


@pytest.mark.parametrize("start", [0.0, 1.0, 299.9, 3e6, 12_345_678.9])
def test_times_come_back_to_the_bit(start: float) -> None:
    rng = np.random.default_rng(1)
    local = np.concatenate(
        [
            np.arange(3000) / 1000.0,  # events on a microsecond grid
            rng.uniform(0.0, 300.0, 3000),
            2.0 ** np.arange(-20, 12),
            np.nextafter(2.0 ** np.arange(-20, 12), 0.0),
            [0.0, 1e-3],
        ]
    )
    timestamps, low, far = split(local, start)
    np.testing.assert_array_equal(timestamps, start + local)
    found = unite(timestamps, low, start)
    told = np.ones(len(local), bool)
    told[far] = False
    assert (found[told].view(np.int64) == local[told].view(np.int64)).all()
    # 2^-32 of the file's clock is where the lower bits no longer suffice.
    assert (local[far] < 2.0**-30 * (start + 1.0)).all()
    assert not (far < 3000).any() or start > 1e7


def test_times_too_short_are_named() -> None:
    local = np.array([0.0, 1e-12, 1e-300, 5.0])
    _, _, far = split(local, 1e6)
    assert far.tolist() == [1, 2]
    assert split(local, 0.0)[2].size == 0


def test_no_times() -> None:
    timestamps, low, far = split(np.empty(0), 4.0)
    assert (len(timestamps), len(low), len(far), len(unite(timestamps, low, 4.0))) == (0, 0, 0, 0)
