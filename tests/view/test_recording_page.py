"""What a recording's page shows, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.view import recording_page
from eventsnn.view.recording_page import RecordingPage, RecordingView
from eventsnn.view.spool import Spool

SENSOR = (20, 12, 2)
START_US = 5_000


def make_events(count: int = 4000) -> es.EventStream:
    rng = np.random.default_rng(4)
    t = np.sort(rng.integers(START_US, START_US + 100_000, count))
    t[0], t[-1] = START_US, START_US + 100_000
    places = [rng.integers(0, size, count) for size in SENSOR]
    return es.EventStream.from_arrays(t, *places, sensor_size=SENSOR)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "r.csv"
    es.write(path, make_events())
    return path


@pytest.fixture
def page(path: Path) -> Iterator[RecordingPage]:
    spool = Spool(es.open_events(path, sensor=SENSOR))
    while not spool.is_complete:
        spool.advance(1.0)
    yield RecordingPage(spool)
    spool.close()


def test_window_holds_its_events_and_no_others(page: RecordingPage) -> None:
    events = make_events().events
    page.select(20.0, 35.5)
    times, places = page.events()
    inside = (events["t"] >= START_US + 20_000) & (events["t"] < START_US + 35_500)
    np.testing.assert_array_equal(times, (events["t"][inside] - START_US) / 1000.0)
    for name in "xyp":
        np.testing.assert_array_equal(places[name], events[name][inside])


def test_frame_is_the_last_event_of_each_pixel(page: RecordingPage) -> None:
    events = make_events().events
    page.select(0.0, 50.0)
    expected = np.zeros(SENSOR[1::-1], np.float32)
    for event in events[events["t"] < START_US + 50_000]:
        expected[event["y"], event["x"]] = 1.0 if event["p"] else -1.0
    np.testing.assert_array_equal(page.frame(), expected)
    assert set(np.unique(expected)) == {-1.0, 0.0, 1.0} or (expected != 0).all()


def test_large_sensors_have_smaller_frames(page: RecordingPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_page, "MOST_PIXELS", (7, 7))
    page.select(0.0, 100.1)
    assert page.block == 3
    assert page.frame().shape == (4, 7)
    assert np.count_nonzero(page.frame()) == 28


def test_rate_counts_every_event(page: RecordingPage) -> None:
    edges, rate = page.rate()
    assert edges[0] == 0.0
    assert edges[-1] >= page.duration_ms == 100.0
    assert (rate * np.diff(edges)).sum() == pytest.approx(4000, rel=1e-12)


def test_space_time_is_thinned_evenly(page: RecordingPage, monkeypatch: pytest.MonkeyPatch) -> None:
    page.select(0.0, 200.0)
    times, places, count = page.space_time()
    assert len(times) == len(places) == count == 4000
    monkeypatch.setattr(recording_page, "MOST_POINTS", 1000)
    times, _, count = page.space_time()
    assert (len(times), count) == (1000, 4000)
    assert times[0] == 0.0
    assert times[-1] > 95.0


def test_player_goes_to_the_end_and_stays(page: RecordingPage) -> None:
    page.set_speed(0.5)
    assert page.play(100.0)
    assert page.view.start_ms == 50.0
    assert not page.play(1000.0)
    assert page.view.start_ms == page.duration_ms


def test_steps_by_windows(page: RecordingPage) -> None:
    page.set_length(30.0)
    assert page.step(1.0)
    assert page.view.start_ms == 30.0
    assert page.step(-2.0)
    assert page.view.start_ms == 0.0
    assert not page.step(-1.0)
    page.set_length(-1.0)
    assert page.view.length_ms == 30.0


def test_reading_goes_on_part_by_part(path: Path) -> None:
    spool = Spool(es.open_events(path, sensor=SENSOR))
    page = RecordingPage(spool)
    assert page.rate()[1].sum() == 0
    assert page.frame().any() == np.False_
    assert page.describe() == "20 x 12 x 2; 0 events in 0.0 ms, reading on"
    while spool.advance(0.0):
        pass
    assert page.describe() == "20 x 12 x 2; 4,000 events in 100.0 ms"
    spool.close()


class DamagedRecording:
    """A recording whose second part cannot be read."""

    sensor_size = SENSOR

    def __iter__(self) -> Iterator[es.EventStream]:
        yield make_events()
        raise es.EventFileError("r.raw", "what is this", offset=100)

    def close(self) -> None:
        """Nothing is open."""


def test_damage_is_told_and_what_came_before_is_shown() -> None:
    spool = Spool(DamagedRecording())
    while spool.advance(1.0):
        pass
    assert spool.is_complete
    assert spool.problem == "r.raw, byte 100: what is this"
    assert RecordingPage(spool).describe() == "20 x 12 x 2; 4,000 events in 100.0 ms"
    spool.close()


def test_recording_without_events(tmp_path: Path) -> None:
    path = tmp_path / "none.bin"
    es.write(path, es.EventStream.from_arrays([], [], [], [], sensor_size=(34, 34, 2)))
    spool = Spool(es.open_events(path))
    while spool.advance(1.0):
        pass
    page = RecordingPage(spool)
    assert page.frame().shape == (34, 34)
    assert page.space_time()[2] == 0
    assert not page.play(10.0)
    spool.close()


def test_address() -> None:
    view = RecordingView(12.5, 30.0, 0.3)
    assert RecordingView.from_query(view.to_query()) == view
    for bad in ({"from": "x"}, {"length": "0"}, {"speed": "-1"}, {"from": "nan"}, {"length": "inf"}):
        assert RecordingView.from_query(bad) == RecordingView()


def test_document(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("bokeh")
    from bokeh.document import Document
    from bokeh.events import SelectionGeometry

    from eventsnn.view.recording_document import RecordingDocument

    spool = Spool(es.open_events(path, sensor=SENSOR))
    shown = RecordingDocument(Document(), spool, str(path), {"from": "10", "length": "5"})
    assert "10.000 .. 15.000 ms" in shown._about.text
    box = {"type": "rect", "x0": 40.0, "x1": 60.0, "y0": 0.0, "y1": 1.0}
    shown.rate._trigger_event(SelectionGeometry(shown.rate, geometry=box, final=True))
    assert "40.000 .. 60.000 ms" in shown._about.text
    assert (shown._chosen.left, shown._chosen.right) == (40.0, 60.0)
    shown.obey("next")
    assert shown.page.view.start_ms == 60.0
    shown.obey("play")
    assert shown._play.label == "pause"
    shown._before -= 1.0  # a second ago
    shown.tick()
    assert 120.0 > shown.page.view.start_ms > 60.0 + 100.0 - 61.0
    spool.close()
