"""Sources are given data only where these are other data: Bokeh would send them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("bokeh")

from bokeh.models import ColumnDataSource

from eventsnn.view.sources import is_same, set_data

NAN = np.array([1.0, np.nan])
IMAGE = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([], [], True),
        ([], np.empty(0), True),
        (np.empty(0, np.int32), np.empty(0), False),
        (NAN, NAN.copy(), True),
        (NAN, np.array([1.0, 2.0]), False),
        (NAN, NAN.astype(np.float32), False),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a", "c"], False),
        (["a"], ["a", "b"], False),
        ([1.0], np.array([1.0]), False),
        ([IMAGE], [IMAGE.copy()], True),
        ([IMAGE], [IMAGE + 1.0], False),
        ([IMAGE], [IMAGE.T], False),
        ([IMAGE], [], False),
    ],
)
def test_is_same(one: Any, other: Any, same: bool) -> None:
    assert is_same(one, other) == is_same(other, one) == same


def test_what_is_the_same_is_not_sent() -> None:
    source, sent = ColumnDataSource({"t": [], "n": []}), []
    source.on_change("data", lambda attribute, old, new: sent.append(dict(new)))
    set_data(source, {"t": np.empty(0), "n": []})
    assert not sent
    set_data(source, {"t": np.array([1.0]), "n": [2]})
    set_data(source, {"t": np.array([1.0]), "n": [2]})
    assert len(sent) == 1
    set_data(source, {"t": np.array([1.0]), "n": [3]})
    assert sent[1]["n"] == [3]
    set_data(source, {"t": [1.0]})
    assert list(source.data) == ["t"]
