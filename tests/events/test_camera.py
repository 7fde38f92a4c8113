from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eventsnn._ext import camera as kernel
from eventsnn.data import NMNIST, load_idx
from eventsnn.encode import SaccadeCamera
from eventsnn.encode.pixels import Pattern, Pixels
from eventsnn.errors import SimulationError
from eventsnn.events import EventStream, MotionPath, Saccade
from eventsnn.reference import camera as camera_twin
from tests.real_data import real_data

# A pixel without peculiarities, for expectations worked out by hand.
PLAIN = {
    "scale": 1.0,
    "black_level": 0.25,
    "blur_px": 0.6,
    "threshold_on": 0.18,
    "threshold_off": 0.185,
    "mismatch": 0.0,
    "refractory_ms": 1.7,
    "low_pass_ms": 0.0,
    "noise_hz": 0.0,
}
RIGHTWARDS = MotionPath.minimum_jerk((Saccade(0.0, 100.0, 5.0, 0.0),))


def detect(light, times_us, rise, fall, refractory_us, capacity=100_000):
    """Run the kernel; return sorted (t, pixel, polarity) and the count."""
    pixels = np.zeros(capacity, np.int32)
    t = np.zeros(capacity, np.int64)
    p = np.zeros(capacity, np.uint8)
    state = np.stack((light[0] * rise, light[0] * fall, -np.ones(light.shape[1])))
    n = kernel.detect_changes(light, times_us, rise, fall, refractory_us, state, pixels, t, p)
    kept = min(n, capacity)
    return sorted(zip(t[:kept].tolist(), pixels[:kept].tolist(), p[:kept].tolist(), strict=True)), n


def test_event_times_of_linear_light():
    # Light 1 + t (t in s) crosses exp(k theta) at t = exp(k theta) - 1, then goes back the same way.
    theta = 0.2
    times_us = np.array([0.0, 1e6, 2e6])
    light = np.array([[1.0], [2.0], [1.0]], np.float32)
    events, _ = detect(light, times_us, np.exp([theta]), np.exp([-theta]), 0.0)
    up = [int(1e6 * (np.exp(k * theta) - 1)) for k in (1, 2, 3)]
    # On the way back the reference is exp(3 theta); OFF events follow at exp(2 theta), exp(theta), 1.
    down = [int(2e6 - 1e6 * (np.exp(k * theta) - 1)) for k in (2, 1)]
    # abs=1: truncation to whole microseconds may fall on either side of a rounding error.
    assert [t for t, _, _ in events][:5] == pytest.approx(up + down, abs=1)
    assert [p for _, _, p in events][:5] == [1, 1, 1, 0, 0]


def test_change_in_the_silent_time_is_reported_at_its_end():
    # A jump of 2.5 thresholds within 1 us: the second event waits for the refractory period.
    times_us = np.array([0.0, 1.0, 10_000.0])
    light = np.exp([[0.0], [0.5], [0.5]]).astype(np.float32)
    events, _ = detect(light, times_us, np.exp([0.2]), np.exp([-0.2]), 1700.0)
    assert [p for _, _, p in events] == [1, 1]
    assert events[0][0] == 0
    assert events[1][0] == 1700


@given(st.data(), st.integers(1, 4), st.integers(2, 12), st.sampled_from([0.0, 300.0, 1700.0, 5000.0]))
def test_kernel_detects_as_twin(data, n_pixels, n_steps, refractory_us):
    light = data.draw(hnp.arrays(np.float32, (n_steps, n_pixels), elements=st.floats(0.25, 1.0, width=32)))
    steps = data.draw(hnp.arrays(np.float64, n_steps, elements=st.floats(1.0, 20_000.0)))
    thresholds = data.draw(hnp.arrays(np.float64, (2, n_pixels), elements=st.floats(0.05, 0.8)))
    rise, fall = np.exp(thresholds[0]), np.exp(-thresholds[1])
    times_us = np.cumsum(steps)
    expected = sorted(camera_twin.detect_changes(light, times_us, rise, fall, refractory_us))
    events, n = detect(light, times_us, rise, fall, refractory_us)
    assert events == expected
    # Too short outputs: the same count, and the part that fits.
    part, count = detect(light, times_us, rise, fall, refractory_us, capacity=n // 2)
    assert count == n
    assert set(part) <= set(expected)


@given(
    st.data(),
    st.integers(1, 4),
    st.integers(2, 12),
    st.sampled_from([0.0, 5000.0]),
    st.sampled_from([0.0, 1500.0]),
)
def test_pixels_see_frames_in_parts_as_at_once(data, n_pixels, n_steps, refractory_us, low_pass_us):
    light = data.draw(hnp.arrays(np.float32, (n_steps, n_pixels), elements=st.floats(0.25, 1.0, width=32)))
    times_us = np.cumsum(data.draw(hnp.arrays(np.float64, n_steps, elements=st.floats(1.0, 20_000.0))))
    # Thresholds down to 0.02: a step has up to 69 events, more than there is room for at first.
    thresholds = data.draw(hnp.arrays(np.float64, (2, n_pixels), elements=st.floats(0.02, 0.8)))
    cuts = [0, *sorted(data.draw(st.sets(st.integers(1, n_steps - 1)))), n_steps]
    pattern = Pattern(np.exp(thresholds[0]), np.exp(-thresholds[1]), np.empty(0))

    def expose(cuts):
        cells = Pixels(pattern, low_pass_us, refractory_us)
        for start, stop in itertools.pairwise(cuts):
            cells.see(light[start:stop], times_us[start:stop])
        pixels, t, p = cells.events()
        return sorted(zip(t.tolist(), pixels.tolist(), p.tolist(), strict=True))

    assert expose(cuts) == expose([0, n_steps])
    if low_pass_us == 0:
        twin = camera_twin.detect_changes(light, times_us, pattern.rise, pattern.fall, refractory_us)
        assert expose(cuts) == sorted(twin)


def bar() -> np.ndarray:
    """A vertical bar of ink, columns 12..15 of 28."""
    image = np.zeros((28, 28), np.uint8)
    image[6:22, 12:16] = 255
    return image


def test_dark_bar_moving_right():
    camera = SaccadeCamera(motion=RIGHTWARDS, offset_px=(0.0, 0.0), **PLAIN)
    events = camera.record(bar(), np.random.default_rng(0)).events
    off, on = events["x"][events["p"] == 0], events["x"][events["p"] == 1]
    # The bar covers columns 15..18 first, 20..23 at last: its front darkens 19..23, its rear frees 15..19.
    # That is 4 columns apart, less what the blur takes from the outermost columns, dark or free only by half.
    assert off.mean() - on.mean() == pytest.approx(3.5, abs=0.25)
    assert np.isin(off, range(18, 26)).all()
    assert np.isin(on, range(13, 22)).all()
    # 16 rows at full length; each passed by log(1 / 0.25) = 1.39, that is 7 thresholds of 0.18 or 0.185.
    row = events[events["y"] == 17]
    assert np.bincount(row["x"][row["p"] == 0]).max() == 7


def test_moving_the_camera_moves_the_events():
    camera = SaccadeCamera(**PLAIN)
    moved = SaccadeCamera(offset_px=(camera.offset_px[0] + 2, camera.offset_px[1] - 1), **PLAIN)
    here = camera.record(bar(), np.random.default_rng(0)).events
    there = moved.record(bar(), np.random.default_rng(0)).events
    shifted = here.copy()
    shifted["x"] += 2
    shifted["y"] -= 1
    # Weights are float32; a few thresholds may be reached one microsecond apart.
    assert len(there) == len(here) > 1000
    assert sorted(zip(there["x"], there["y"], there["p"], strict=True)) == sorted(
        zip(shifted["x"], shifted["y"], shifted["p"], strict=True)
    )
    np.testing.assert_allclose(there["t"], shifted["t"], atol=2)


def test_refractory_period_holds():
    stream = SaccadeCamera(noise_hz=0.0, refractory_ms=3.0).record(bar(), np.random.default_rng(0))
    pixel = stream.events["y"].astype(int) * 34 + stream.events["x"]
    order = np.lexsort((stream.events["t"], pixel))
    gaps = np.diff(stream.events["t"][order])[np.diff(pixel[order]) == 0]
    assert len(gaps) > 500
    assert gaps.min() in (2999, 3000)  # both ends are cut to whole microseconds


def test_background_noise_of_a_blank_screen():
    blank = np.zeros((28, 28), np.uint8)
    assert len(SaccadeCamera(noise_hz=0.0).record(blank, np.random.default_rng(0))) == 0
    even = SaccadeCamera(noise_hz=10.0, noise_bias=0.0, noise_spread=0.0)
    stream = even.record(blank, np.random.default_rng(0))
    expected = 10.0 * 0.310 * 34 * 34
    assert len(stream) == pytest.approx(expected, abs=4 * np.sqrt(expected))  # 4 sigma of a Poisson number
    assert 0.45 < stream.on_fraction < 0.55
    assert stream.t_last < 310_000
    # Over the pixels their numbers vary as Poisson numbers do, and more with a pattern of rates.
    numbers = np.bincount(stream.events["y"] * 34 + stream.events["x"].astype(int), minlength=34 * 34)
    assert numbers.var() == pytest.approx(numbers.mean(), rel=0.2)


def test_pattern_and_bias_of_the_noise():
    blank = np.zeros((28, 28), np.uint8)
    camera = SaccadeCamera(noise_hz=100.0, noise_bias=0.8, noise_spread=0.5)
    stream = camera.record(blank, np.random.default_rng(0))
    n = len(stream)
    assert stream.on_fraction == pytest.approx(
        0.9, abs=4 * np.sqrt(0.9 * 0.1 / n)
    )  # half and 0.8 of the rest
    rates = [
        np.bincount(events["y"] * 34 + events["x"].astype(int), minlength=34 * 34)
        for events in (stream.events, camera.record(blank, np.random.default_rng(1)).events)
    ]
    # 31 events a pixel: the logarithm of their number varies by 0.5 and, as a Poisson number, by 0.18.
    assert np.log(np.maximum(rates[0], 1)).std() == pytest.approx(np.hypot(0.5, 0.2), abs=0.05)
    assert np.corrcoef(rates)[0, 1] > 0.8  # the camera's own pattern, whatever the recording


def test_recordings_are_valid_and_depend_on_the_generator_alone():
    camera = SaccadeCamera()
    first = camera.record(bar(), np.random.default_rng(3))
    assert first == camera.record(bar(), np.random.default_rng(3))
    assert first != camera.record(bar(), np.random.default_rng(4))
    assert EventStream.from_structured(first, first.sensor_size) == first  # passes all checks
    keys = list(zip(first.events["t"], first.events["y"], first.events["x"], first.events["p"], strict=True))
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"scale": 0.0}, r"scale must be a finite number >= 1e-06 and <= 1e\+06, got 0.0"),
        ({"blur_px": float("nan")}, "blur_px must be a finite number >= 1e-06 and <= 1000, got nan"),
        ({"noise_hz": -1.0}, r"noise_hz must be a finite number >= 0 and <= 1e\+06, got -1.0"),
        ({"black_level": 1.0}, "black_level must be a finite number >= 1e-06 and <= 0.999999, got 1.0"),
        ({"low_pass_ms": -1.0}, r"low_pass_ms must be a finite number >= 0 and <= 1e\+09, got -1.0"),
        ({"noise_bias": 1.5}, r"noise_bias must be a finite number >= 0 and <= 1, got 1.5"),
        ({"duration_ms": 200.0}, "duration_ms = 200.0 is before the motion's last point, 310.0 ms"),
    ],
)
def test_bad_parameters(change, text):
    with pytest.raises(SimulationError, match=text):
        SaccadeCamera(**change)


def test_bad_images():
    for image in (np.zeros((28, 28), int), np.zeros((1, 28, 28), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(SimulationError, match="2-D, dtype uint8 or float"):
            SaccadeCamera().record(image, np.random.default_rng(0))
    for value in (1.5, -0.1, np.nan):
        with pytest.raises(SimulationError, match=r"ink as float must lie in 0 .. 1"):
            SaccadeCamera().record(np.full((4, 4), value), np.random.default_rng(0))


def test_ink_as_float_is_ink_as_bytes():
    camera = SaccadeCamera(**PLAIN)
    image = bar()
    here = camera.record(image, np.random.default_rng(0))
    assert camera.record(image / 255.0, np.random.default_rng(0)) == here
    assert len(camera.record(image / 510.0, np.random.default_rng(0))) < len(here)


def low_pass(light, times_us, tau_us):
    seen = np.empty_like(light)
    kernel.low_pass(light, times_us, tau_us, light[0].astype(np.float64), seen)
    return seen


@given(st.data(), st.integers(1, 4), st.integers(2, 12), st.sampled_from([50.0, 1500.0, 40_000.0]))
def test_low_pass_as_twin(data, n_pixels, n_steps, tau_us):
    light = data.draw(hnp.arrays(np.float32, (n_steps, n_pixels), elements=st.floats(0.25, 1.0, width=32)))
    steps = data.draw(hnp.arrays(np.float64, n_steps, elements=st.floats(1.0, 20_000.0)))
    times_us = np.cumsum(steps)
    # The two group their terms differently: float32 results may differ in the last bits.
    np.testing.assert_allclose(
        low_pass(light, times_us, tau_us), camera_twin.low_pass(light, times_us, tau_us), rtol=1e-6
    )


def test_low_pass_of_a_ramp_lags_by_its_time_constant():
    times_us = np.linspace(0.0, 100_000.0, 101)
    ramp = np.linspace(0.25, 1.0, 101, dtype=np.float32)[:, None]
    seen = low_pass(ramp, times_us, 5000.0)
    # After 20 time constants a ramp is followed 5 ms behind: 5 steps.
    np.testing.assert_allclose(seen[-1], ramp[-6], rtol=1e-5)
    # It does not matter how finely a straight line is cut.
    coarse = low_pass(ramp[::25].copy(), times_us[::25].copy(), 5000.0)
    np.testing.assert_allclose(coarse, seen[::25], rtol=1e-5)


def test_slow_pixels_report_late_and_less():
    fast = SaccadeCamera(motion=RIGHTWARDS, duration_ms=400.0, **PLAIN)
    slow = SaccadeCamera(motion=RIGHTWARDS, duration_ms=400.0, **{**PLAIN, "low_pass_ms": 8.0})
    early, late = (camera.record(bar(), np.random.default_rng(0)) for camera in (fast, slow))
    assert np.median(late.events["t"]) - np.median(early.events["t"]) == pytest.approx(8000, abs=2000)
    assert len(late) <= len(early)


def test_a_path_of_any_form():
    # There and back in straight lines; what darkened a pixel on the way frees it on the way back.
    path = MotionPath([0.0, 50.0, 100.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0])
    camera = SaccadeCamera(motion=path, offset_px=(0.0, 0.0), duration_ms=120.0, **PLAIN)
    events = camera.record(bar(), np.random.default_rng(0)).events
    there, back = events[events["t"] < 50_000], events[events["t"] >= 50_000]
    assert len(there) > 300
    assert len(back) > 300
    assert (
        events["t"].max() < 103_000
    )  # nothing moves any more, and pixels report at most a refractory time late
    off = {(x, y) for x, y, p in zip(there["x"], there["y"], there["p"], strict=True) if p == 0}
    on = {(x, y) for x, y, p in zip(back["x"], back["y"], back["p"], strict=True) if p == 1}
    assert off == on


def moving_frames(times_ms: np.ndarray) -> np.ndarray:
    """A dark square that moves to the right by a pixel each 10 ms, drawn with soft edges."""
    column = np.arange(28)[None, None, :]
    row = np.arange(28)[None, :, None]
    left = 5.0 + times_ms[:, None, None] / 10.0
    across = np.clip(np.minimum(column - left + 1, left + 6 - column), 0, 1)
    return across * ((row >= 10) & (row < 18))


def test_frames_show_what_a_moving_image_shows():
    times_ms = np.linspace(0.0, 80.0, 81)
    path = MotionPath([0.0, 80.0], [0.0, 8.0], [0.0, 0.0])
    moving = SaccadeCamera(motion=path, offset_px=(0.0, 0.0), duration_ms=80.0, **PLAIN)
    frames = moving_frames(times_ms)
    by_frames = moving.record_frames(frames, times_ms, np.random.default_rng(0))
    by_path = moving.record(frames[0], np.random.default_rng(0))
    assert by_frames.sensor_size == (34, 34, 2)
    assert by_frames.t_last < 80_000
    assert len(by_frames) == pytest.approx(
        len(by_path), rel=0.1
    )  # soft edges are a little wider between pixels
    maps = [np.bincount(stream.input_indices(), minlength=2312) for stream in (by_frames, by_path)]
    assert np.corrcoef(maps)[0, 1] > 0.95
    # uint8 or float is one and the same.
    coarse = (255 * frames).astype(np.uint8)
    assert moving.record_frames(coarse, times_ms, np.random.default_rng(0)) == moving.record_frames(
        coarse / 255.0, times_ms, np.random.default_rng(0)
    )


def test_blocks_change_no_event(monkeypatch):
    times_ms = np.linspace(0.0, 100.0, 41)
    frames = moving_frames(times_ms)
    camera = SaccadeCamera(noise_hz=5.0)
    whole = camera.record_frames(frames, times_ms, np.random.default_rng(0))
    digit = camera.record(bar(), np.random.default_rng(0))
    assert len(whole) > 100
    assert len(digit) > 1000
    for block, weights in (
        (1, 1),
        (5 * 34 * 34, 7 * 2 * 34 * 28),
    ):  # 1 frame or step at a time; 5, and weights of 7
        monkeypatch.setattr("eventsnn.encode.camera._BLOCK", block)
        monkeypatch.setattr("eventsnn.encode.camera._WEIGHTS", weights)
        assert camera.record_frames(frames, times_ms, np.random.default_rng(0)) == whole
        assert camera.record_frames(iter(frames), times_ms, np.random.default_rng(0)) == whole
        assert camera.record(bar(), np.random.default_rng(0)) == digit


def test_memory_does_not_grow_with_the_number_of_frames():
    camera = SaccadeCamera(width=64, height=64, **PLAIN)

    def peak(n: int) -> int:
        frame = np.zeros((64, 64), np.float32)
        tracemalloc.start()
        try:
            camera.record_frames((frame for _ in range(n)), np.arange(float(n)), np.random.default_rng(0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # tables that stay
    assert peak(2000) < peak(400) + 200_000  # 1600 frames at once would be 26 MB in each form


def test_still_frames_make_noise_only_for_as_long_as_they_last():
    frames = np.stack([bar()] * 3)
    camera = SaccadeCamera(**PLAIN)
    assert len(camera.record_frames(frames, [0.0, 500.0, 2000.0], np.random.default_rng(0))) == 0
    noisy = SaccadeCamera(**{**PLAIN, "noise_hz": 5.0})
    stream = noisy.record_frames(frames, [0.0, 500.0, 2000.0], np.random.default_rng(0))
    expected = 5.0 * 2.0 * 34 * 34
    assert len(stream) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert 1_990_000 < stream.t_last < 2_000_000


@pytest.mark.parametrize(
    ("frames", "times", "text"),
    [
        (np.zeros((28, 28)), [0.0, 1.0], "frames must be 3-D"),
        (np.zeros((1, 28, 28)), [0.0], "two frames or more are needed"),
        (np.zeros((1, 28, 28)), 0.0, r"got 1 frame, times of shape \(\)"),
        (iter(np.zeros((2, 28, 28))), [0.0], r"two frames or more are needed: got times_ms of shape \(1,\)"),
        (iter(np.zeros((2, 28, 28))), 0.0, r"two frames or more are needed: got times_ms of shape \(\)"),
        (iter(np.zeros((2, 28, 28))), [0.0, 1.0, 2.0], "got 3 times, but 2 frames"),
        (iter(np.zeros((3, 28, 28))), [0.0, 1.0], "got 2 times, but more frames"),
        (iter([]), [0.0, 1.0], "got 2 times, but 0 frames"),
        (iter([np.zeros((28, 28)), np.zeros((28, 27))]), [0.0, 1.0], "frame 1 has .* frame 0"),
        (iter([np.zeros((28, 28)), np.zeros(28)]), [0.0, 1.0], "2-D, dtype uint8 or float"),
        (np.zeros((3, 28, 28)), [0.0, 1.0], r"got 3 frames, times of shape \(2,\)"),
        (np.zeros((2, 28, 28)), [1.0, 2.0], "times_ms must begin with 0 and increase"),
        (np.zeros((2, 28, 28)), [0.0, 0.0], "times_ms must begin with 0 and increase"),
        (np.zeros((2, 28, 28)), [0.0, np.inf], "times_ms must begin with 0 and increase"),
        (np.zeros((2, 28, 28)), ["a", "b"], "times_ms must be numbers"),
        (np.full((2, 28, 28), 2.0), [0.0, 1.0], r"ink as float must lie in 0 .. 1"),
    ],
)
def test_bad_frames(frames, times, text):
    with pytest.raises(SimulationError, match=text):
        SaccadeCamera().record_frames(frames, times, np.random.default_rng(0))


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's r, row by row."""
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def test_imitates_real_recordings():
    source = NMNIST(real_data("nmnist-1k"))
    images, labels = load_idx(real_data("mnist"), "train")
    camera = SaccadeCamera()
    # N-MNIST's files are numbered as MNIST's images, from 1. The constants were fitted on odd file numbers.
    numbers = np.array([int(Path(path).stem) - 1 for path in source.paths])
    checked = np.flatnonzero(numbers % 2 == 1)[::4]
    assert (labels[numbers[checked]] == source.labels[checked]).all()
    real = [source.stream(int(index)) for index in checked]
    simulated = [
        camera.record(images[number], np.random.default_rng([0, number])) for number in numbers[checked]
    ]
    counts = np.array([[len(stream) for stream in part] for part in (real, simulated)])
    maps, rates = (
        [np.array([function(stream) for stream in part], float) for part in (real, simulated)]
        for function in (
            lambda stream: np.bincount(stream.input_indices() % 1156, minlength=1156),
            lambda stream: np.bincount(np.minimum(stream.events["t"] // 10_000, 31), minlength=32),
        )
    )
    # The project's bars; over all 1000 recordings: 0.998, 0.983, 0.972, 2.1 % and 0.501.
    assert np.corrcoef(counts)[0, 1] >= 0.98
    assert correlations(*rates).mean() >= 0.98
    assert correlations(*maps).mean() >= 0.94
    active = [(part > 0).sum(axis=1).mean() for part in maps]
    # 125 recordings: the mean of their differences has a standard error of 0.3 %.
    assert active[1] == pytest.approx(active[0], rel=0.035)
    assert np.mean([stream.on_fraction for stream in simulated]) == pytest.approx(0.5, abs=0.01)
    assert counts[1].mean() == pytest.approx(counts[0].mean(), rel=0.03)
