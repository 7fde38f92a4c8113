from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eventsnn._ext import camera as kernel
from eventsnn.data import NMNIST, load_idx
from eventsnn.errors import SimulationError
from eventsnn.events import EventStream, Saccade, SaccadeCamera, camera_twin
from tests.real_data import real_data

QUIET = {"noise_hz": 0.0, "mismatch": 0.0}


def detect(light, times_us, rise, fall, refractory_us, capacity=100_000):
    """Run the kernel; return sorted (t, pixel, polarity) and the count."""
    pixels = np.zeros(capacity, np.int32)
    t = np.zeros(capacity, np.int64)
    p = np.zeros(capacity, np.uint8)
    state = np.empty((3, light.shape[1]))
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


def bar() -> np.ndarray:
    """A vertical bar of ink, columns 12..15 of 28."""
    image = np.zeros((28, 28), np.uint8)
    image[6:22, 12:16] = 255
    return image


def test_dark_bar_moving_right():
    camera = SaccadeCamera(saccades=(Saccade(0.0, 100.0, 5.0, 0.0),), offset_px=(0.0, 0.0), **QUIET)
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
    camera = SaccadeCamera(**QUIET)
    moved = SaccadeCamera(offset_px=(camera.offset_px[0] + 2, camera.offset_px[1] - 1), **QUIET)
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
    stream = SaccadeCamera(noise_hz=10.0).record(blank, np.random.default_rng(0))
    expected = 10.0 * 0.310 * 34 * 34
    assert len(stream) == pytest.approx(expected, abs=4 * np.sqrt(expected))  # 4 sigma of a Poisson number
    assert 0.45 < stream.on_fraction < 0.55
    assert stream.t_last < 310_000


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
        ({"scale": 0.0}, "scale must be positive: got 0.0"),
        ({"blur_px": float("nan")}, "blur_px must be positive: got nan"),
        ({"noise_hz": -1.0}, "noise_hz must not be negative: got -1.0"),
        ({"black_level": 1.0}, "black_level must lie between 0 and 1: got 1.0"),
        ({"saccades": (Saccade(0, 10, 1, 1), Saccade(5, 10, 1, 1))}, "saccades must follow one another"),
        ({"duration_ms": 200.0}, "duration_ms = 200.0 is before the last saccade's end"),
    ],
)
def test_bad_parameters(change, text):
    with pytest.raises(SimulationError, match=text):
        SaccadeCamera(**change)


def test_bad_images():
    for image in (np.zeros((28, 28)), np.zeros((1, 28, 28), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(SimulationError, match="2-D, dtype uint8"):
            SaccadeCamera().record(image, np.random.default_rng(0))


def same_pixel_intervals(stream: EventStream) -> np.ndarray:
    """Microseconds between successive events of one pixel and polarity."""
    inputs = stream.input_indices()
    order = np.lexsort((stream.events["t"], inputs))
    return np.diff(stream.events["t"][order])[np.diff(inputs[order]) == 0]


def test_imitates_real_recordings():
    source = NMNIST(real_data("nmnist-1k"))
    images, labels = load_idx(real_data("mnist"), "train")
    camera = SaccadeCamera()
    real, simulated = [], []
    for index in range(0, 1000, 8):
        number = int(Path(source.paths[index]).stem) - 1  # N-MNIST's files are numbered as MNIST's images
        assert labels[number] == source.labels[index]
        real.append(source.stream(index))
        simulated.append(camera.record(images[number], np.random.default_rng([0, number])))
    counts = np.array([[len(stream) for stream in part] for part in (real, simulated)])
    # Bounds: over all 1000 recordings the fit gives 4133 and 4133 events, r = 0.995, 4.66 and 4.42 ms.
    assert counts[1].mean() == pytest.approx(counts[0].mean(), rel=0.03)
    assert np.corrcoef(counts)[0, 1] > 0.985
    assert np.mean([stream.on_fraction for stream in simulated]) == pytest.approx(0.5, abs=0.01)
    medians = [
        np.median(np.concatenate([same_pixel_intervals(s) for s in part])) for part in (real, simulated)
    ]
    assert medians[1] == pytest.approx(medians[0], rel=0.08)
