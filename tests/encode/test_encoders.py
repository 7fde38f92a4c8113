"""Encoders: closed forms, twins, decoders that undo them, bits that depend on the seed alone."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eventsnn.encode import BSA, Bernoulli, Delta, Latency, Poisson, gaussian_kernel
from eventsnn.errors import SimulationError
from eventsnn.events import EventStream
from eventsnn.reference import cochlea as cochlea_twin

UNIT = st.floats(0.0, 1.0)
IMAGES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=UNIT)
)
SIGNALS = hnp.array_shapes(min_dims=2, max_dims=2, max_side=30).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(-5.0, 5.0, allow_subnormal=False))
)


def inputs(array: np.ndarray) -> tuple[int, int, int]:
    polarities, height, width = (1,) * (3 - array.ndim) + array.shape
    return width, height, polarities


# -- rate


@pytest.mark.parametrize("encoder", [Bernoulli(steps=20_000), Poisson(duration_us=20_000_000)])
def test_rates_are_those_of_the_values(encoder) -> None:
    values = np.array([[[0.0, 0.1, 1.0], [0.5, 0.25, 0.75]]])
    stream = encoder.encode(values, seed=1)
    assert stream.sensor_size == (3, 2, 1)
    decoded = encoder.decode(stream)
    # Six standard errors of a value v, sqrt(v / 3600): a right encoder fails once in 10^8.
    assert (np.abs(decoded - values) <= 6 * np.sqrt(values / 3600)).all()
    assert decoded[0, 0, 0] == 0.0


def test_bernoulli_step_by_step() -> None:
    # The twin: one coin after the other, in the order step, polarity, row, column.
    encoder = Bernoulli(steps=30, scale=0.4, step_us=250)
    values = np.random.default_rng(3).random((2, 3, 4))
    coins = np.random.default_rng([7, 5])
    expected = [
        (x, y, 250 * step, p)
        for step in range(30)
        for p, y, x in np.ndindex(values.shape)
        if coins.random() < 0.4 * values[p, y, x]
    ]
    events = encoder.encode(values, seed=7, index=5).events
    assert [(int(e["x"]), int(e["y"]), int(e["t"]), int(e["p"])) for e in events] == expected


def test_poisson_intervals_are_exponential() -> None:
    times = Poisson(duration_us=100_000_000, rate_hz=100.0).encode([1.0], seed=2).events["t"]
    intervals = np.diff(times) / 1e6
    assert len(times) == pytest.approx(10_000, abs=600)  # six standard deviations
    # An exponential distribution's standard deviation is its mean; the standard error of the ratio is 1 %.
    assert np.std(intervals) / np.mean(intervals) == pytest.approx(1.0, abs=0.06)


@given(IMAGES, st.integers(0, 2**64), st.integers(0, 1000), st.sampled_from([Bernoulli(), Poisson()]))
def test_same_seed_same_bits(values, seed, index, encoder) -> None:
    stream = encoder.encode(values, seed, index)
    assert stream.sensor_size == inputs(values)
    assert stream == encoder.encode(values, seed, index)
    assert stream.t_last is None or stream.t_last < 400_000


@pytest.mark.parametrize("encoder", [Bernoulli(), Poisson()])
def test_other_seeds_and_samples_are_other_draws(encoder) -> None:
    first = encoder.encode(np.full(20, 0.5), 1, 0)
    assert first != encoder.encode(np.full(20, 0.5), 2, 0)
    assert first != encoder.encode(np.full(20, 0.5), 1, 1)


# -- latency


@given(IMAGES, st.sampled_from(["linear", "logarithmic"]), st.sampled_from([0.001, 0.1, 0.5]))
def test_latency_is_undone(values, law, least) -> None:
    encoder = Latency(1000, 101_000, law=law, least=least)
    stream = encoder.encode(values)
    assert len(stream) == np.count_nonzero(values >= least)
    decoded = encoder.decode(stream).reshape(values.shape)
    # Half a microsecond of 100 ms, times the steepest slope of the value, at most log(1 / least) = 6.9.
    np.testing.assert_allclose(decoded, np.where(values >= least, values, 0.0), atol=0.5e-5 * 7)


def test_latency_times() -> None:
    linear = Latency(0, 100_000, least=0.2).encode([1.0, 0.6, 0.2, 0.1])
    assert linear.events["t"].tolist() == [0, 50_000, 100_000]
    assert linear.events["x"].tolist() == [0, 1, 2]
    logarithmic = Latency(0, 30_000, law="logarithmic", least=0.001).encode([0.001, 0.01, 0.1, 1.0])
    assert logarithmic.events["t"].tolist() == [0, 10_000, 20_000, 30_000]
    assert logarithmic.events["x"].tolist() == [3, 2, 1, 0]


# -- BSA


def test_default_kernel() -> None:
    kernel = np.array(gaussian_kernel())
    assert len(kernel) == 24
    assert kernel.sum() == pytest.approx(1.0)
    assert (
        kernel.max() == kernel[12] == pytest.approx(1 / np.sqrt(25 * np.pi), rel=2e-3)
    )  # less its cut tails
    assert kernel[17] / kernel[12] == pytest.approx(np.exp(-1.0))


@settings(deadline=None)
@given(SIGNALS, st.sampled_from(["subtractive", "multiplicative"]), st.sampled_from([None, 0.0, 0.9]))
def test_bsa_gives_the_spikes_of_the_twin(signal, form, threshold) -> None:
    encoder = BSA(threshold, form, step_us=500)
    limit = {"subtractive": 0.6, "multiplicative": 0.955}[form] if threshold is None else threshold
    taps = np.array(encoder.kernel)
    spikes, rest = cochlea_twin.ben_spiker(signal, taps, limit, form == "multiplicative")
    stream = encoder.encode(signal)
    step, channel = np.nonzero(spikes.T)
    np.testing.assert_array_equal(stream.events["t"], 500 * (step + 1))
    np.testing.assert_array_equal(stream.events["x"], channel)
    # What is decoded and what the spikes leave unexplained are the signal.
    steps = signal.shape[1]
    np.testing.assert_allclose(encoder.decode(stream, steps) + rest[:, :steps], signal, atol=1e-9)


@given(
    hnp.arrays(np.int64, (3, 60), elements=st.integers(0, 1)),
    st.sampled_from(["subtractive", "multiplicative"]),
)
def test_bsa_finds_the_spikes_of_which_a_signal_is_made(spikes, form) -> None:
    # Spikes at least a kernel apart, so that each stands alone; the last has room for its whole kernel.
    spikes[:, 36:] = 0
    for row in spikes:
        at = np.flatnonzero(row)
        row[at[(np.diff(at, prepend=-99) < 24)]] = 0
        at = np.flatnonzero(row)
        row[at[(np.diff(at, prepend=-99) < 24)]] = 0
    kernel = np.array(gaussian_kernel())
    signal = np.array([np.convolve(row, kernel)[:60] for row in spikes])
    # The area of a kernel is 1, so a whole one passes 0.6 at once, and a part of it before may pass as well.
    encoder = BSA(threshold=0.999 if form == "subtractive" else 0.001, form=form)
    decoded = encoder.decode(encoder.encode(signal), 60)
    np.testing.assert_allclose(decoded, signal, atol=1e-12)


def test_bsa_follows_a_smooth_signal() -> None:
    t = np.arange(1000)
    signal = 0.1 * (2 + np.sin(2 * np.pi * t / 200) + np.sin(2 * np.pi * t / 333))[None]
    # Measured: 15.0 dB, 21 dB, 5.3 dB; a spike too many or too few in ten costs more than the margin.
    for encoder, decibels in ((BSA(), 14.0), (BSA(0.95), 20.0), (BSA(form="multiplicative"), 5.0)):
        error = (encoder.decode(encoder.encode(signal), 1000) - signal)[0, 50:-50]
        assert 10 * np.log10(np.mean(signal**2) / np.mean(error**2)) > decibels


def test_bsa_time_is_the_end_of_the_step() -> None:
    signal = np.zeros((2, 40))
    signal[1, 5:29] = gaussian_kernel()
    stream = BSA(threshold=0.999, step_us=2000).encode(signal)
    assert stream.events["t"].tolist() == [12_000]
    assert stream.events["x"].tolist() == [1]


# -- delta


@given(SIGNALS, st.sampled_from([0.1, 0.5, 3.0]))
def test_delta_decodes_to_within_a_threshold(signal, threshold) -> None:
    encoder = Delta(threshold, step_us=100)
    stream = encoder.encode(signal)
    decoded = encoder.decode(stream, signal.shape[1], signal[:, 0])
    assert decoded.shape == signal.shape
    assert np.abs(decoded - signal).max() < threshold * (1 + 1e-9)
    # No event that is not needed: the twin, one channel and step after the other.
    events = []
    for c, row in enumerate(signal):
        level = 0
        for i, value in enumerate(row):
            moves = int((value - row[0]) / threshold - level)  # towards zero
            level += moves
            events += [(100 * i, c, int(moves > 0))] * abs(moves)
    ours = zip(
        stream.events["t"].tolist(), stream.events["x"].tolist(), stream.events["p"].tolist(), strict=True
    )
    assert list(ours) == sorted(events, key=lambda event: event[:2])


def test_delta_by_hand() -> None:
    stream = Delta(1.0).encode([[0.0, 0.9, 2.5, 2.5, 1.6, -0.1], [5.0, 5.0, 5.0, 5.0, 5.0, 5.0]])
    assert stream.events["t"].tolist() == [2000, 2000, 5000, 5000]
    assert stream.events["p"].tolist() == [1, 1, 0, 0]
    assert stream.sensor_size == (2, 1, 2)


# -- the door


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Bernoulli(steps=0), "steps"),
        (lambda: Bernoulli(scale=1.1), "scale"),
        (lambda: Bernoulli(step_us=0.5), "step_us"),
        (lambda: Poisson(duration_us=0), "duration_us"),
        (lambda: Poisson(rate_hz=-1.0), "rate_hz"),
        (lambda: Latency(10, 10), "first_us"),
        (lambda: Latency(law="square"), "law"),
        (lambda: Latency(least=0.0), "least"),
        (lambda: BSA(form="additive"), "form"),
        (lambda: BSA(threshold=-1.0), "threshold"),
        (lambda: BSA(1.5, "multiplicative"), "threshold"),
        (lambda: BSA(kernel=()), "kernel"),
        (lambda: BSA(kernel=(0.0, 0.0)), "kernel"),
        (lambda: BSA(step_us=True), "step_us"),
        (lambda: Delta(0.0), "threshold"),
        (lambda: Bernoulli().encode([2.0], 1), "divide bytes by 255"),
        (lambda: Poisson().encode(np.zeros((1, 1, 1, 1)), 1), "shape"),
        (lambda: Latency().encode([float("nan")]), "values"),
        (lambda: Latency().encode([]), "shape"),
        (lambda: Bernoulli().encode([0.5], -1), "seed"),
        (lambda: BSA().encode([1.0, 2.0]), "2 dimensions"),
        (lambda: Delta(1.0).encode([[0.0, float("inf")]]), "infinity"),
        (lambda: Delta(1e-9).encode([[0.0, 1e9]]), "larger"),
        (lambda: BSA().decode(EventStream.from_arrays([1500], [0]), 10), "steps"),
        (lambda: BSA().decode(EventStream.from_arrays([11_000], [0]), 10), "steps"),
        (lambda: Delta(1.0).decode(EventStream.from_arrays([1000], [0]), 10), "polarities"),
        (lambda: Latency().decode(EventStream.from_arrays([100_001], [0])), "outside"),
    ],
)
def test_what_cannot_be_is_refused(make, text) -> None:
    with pytest.raises(SimulationError, match=text):
        make()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Bernoulli(step_ms=0.6), Bernoulli(step_us=600)),
        (Poisson(duration_ms=250), Poisson(duration_us=250_000)),
        (Latency(first_ms=1.5, last_ms=20), Latency(first_us=1500, last_us=20_000)),
        (Delta(0.1, step_ms=4.035), Delta(0.1, step_us=4035)),
        (BSA(step_ms=2), BSA(step_us=2000)),
    ],
)
def test_times_may_be_given_in_ms(one, other):
    assert one == other
    assert dataclasses.asdict(one) == dataclasses.asdict(other)
    assert dataclasses.replace(one) == other


@pytest.mark.parametrize("value", [0.0006, "1", math.nan, math.inf, True])
def test_ms_that_are_no_whole_microseconds(value):
    with pytest.raises(SimulationError, match="bernoulli: step_ms must be whole microseconds, in ms: got"):
        Bernoulli(step_ms=value)
    with pytest.raises(
        SimulationError, match="bernoulli: step_us must be a whole number of microseconds, from 1"
    ):
        Bernoulli(step_ms=-1)


def test_times_in_ms_can_be_read_and_replaced():
    assert (Bernoulli(step_us=600).step_ms, BSA(step_ms=2).step_ms, Delta(1.0).step_ms) == (0.6, 2.0, 1.0)
    assert Poisson(duration_us=1500).duration_ms == 1.5
    latency = Latency(first_ms=3, last_us=8500)
    assert (latency.first_ms, latency.last_ms) == (3.0, 8.5)
    assert dataclasses.replace(Bernoulli(step_ms=2), step_us=600) == Bernoulli(step_ms=0.6)
    assert dataclasses.replace(Bernoulli(step_us=600), step_ms=2) == Bernoulli(step_ms=2)
    assert pickle.loads(pickle.dumps(latency)) == copy.deepcopy(latency) == latency
    with pytest.raises(dataclasses.FrozenInstanceError):
        latency.first_ms = 1.0
