"""Potentials on a grid that no memory holds are refused with their size, and nothing is written."""

import pytest

import eventsnn as es
from eventsnn.errors import TraceError


@pytest.mark.parametrize(("t_stop", "step"), [(1e7, 1e-5), (1e12, 1.0), (1e9, 0.01)])
def test_a_grid_that_is_too_large_is_refused(tmp_path, t_stop, step):
    network = es.Network(es.Input(2), es.Dense(3), seed=1)
    with pytest.raises(TraceError, match=r"take [0-9,.]+ GiB; record fewer layers"):
        es.simulate(
            network,
            ([1.0], [0]),
            t_stop=t_stop,
            record=("potential",),
            potential_step=step,
            trace=tmp_path / "t.h5",
        )
    assert list(tmp_path.glob("*.h5")) == []
