"""Lyon's cochlea against its twin, closed forms, and the package `lyon`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsnn.encode import Cochlea, SpeechEncoder, read_sound
from eventsnn.errors import SimulationError
from eventsnn.reference import cochlea as cochlea_twin
from tests.real_data import real_data

SMALL = Cochlea(step=1.5, decimation=7)


def make_sound(seed: int, n: int) -> np.ndarray:
    """Noise with pauses, loud and soft."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.3, n) * np.repeat(rng.choice([0.0, 0.01, 1.0], n // 50 + 1), 50)[:n]


@pytest.mark.parametrize(
    ("rate", "step", "channels"),
    [(8000, 0.206, 78), (8000, 0.25, 64), (12500, 0.25, 78), (16000, 0.275, 78), (20000, 0.297, 78)],
)
def test_number_of_channels(rate: int, step: float, channels: int) -> None:
    assert Cochlea(rate, step).channels == channels
    assert len(Cochlea(rate, step).frequencies) == channels


def test_frequencies_are_steps_of_the_bandwidth() -> None:
    # The place n(f) = -(Q / step) * asinh(f / 1000) is the integral of -1 / (step * bandwidth).
    cochlea = Cochlea()
    place = -cochlea.ear_q / cochlea.step * np.arcsinh(cochlea.frequencies / 1000.0)
    np.testing.assert_allclose(np.diff(place), 1.0, rtol=1e-9)
    assert cochlea.frequencies[0] == pytest.approx(3843, abs=0.5)
    assert cochlea.frequencies[-1] == pytest.approx(73, abs=0.5)


def test_a_tone_is_loudest_at_its_place() -> None:
    cochlea = Cochlea(gain_control=False)
    for frequency in (200.0, 1000.0, 2500.0):
        tone = np.sin(2 * np.pi * frequency * np.arange(4000) / 8000)
        peak = cochlea.frequencies[np.argmax(cochlea(tone)[20:].sum(axis=0))]
        # Within two bandwidths: the peak of a travelling wave lies a little off the place of the pole.
        assert abs(peak - frequency) < 2 * np.hypot(frequency, 1000.0) / cochlea.ear_q


def test_gain_control_evens_out_loudness() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, 8000)
    for adapts, low, high in ((False, 9.9, 10.1), (True, 1.0, 4.0)):
        cochlea = Cochlea(gain_control=adapts)
        # Without it there are filters and rectifiers only: ten times the sound is ten times the output.
        assert low < cochlea(10 * noise)[50:].mean() / cochlea(noise)[50:].mean() < high


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 200),
    st.sampled_from([1, 2, 7, 40]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.9, 1.5, 8.0]),
)
def test_kernel_gives_the_bits_of_the_twin(seed, n, decimation, differ, gain_control, step) -> None:
    cochlea = Cochlea(step=step, decimation=decimation, differ=differ, gain_control=gain_control)
    sound = make_sound(seed, n)
    np.testing.assert_array_equal(cochlea(sound), cochlea_twin.cochleagram(cochlea, sound))


def test_kernel_gives_the_bits_of_the_twin_at_full_size() -> None:
    sound = make_sound(3, 800)
    ours = Cochlea()(sound)
    assert ours.shape == (10, 78)
    assert (ours > 0).mean() > 0.5
    np.testing.assert_array_equal(ours, cochlea_twin.cochleagram(Cochlea(), sound))


@pytest.mark.parametrize("at_once", [1, 80, 161, 400])
def test_parts_make_no_difference(monkeypatch, at_once: int) -> None:
    sound = make_sound(4, 1000)
    whole = Cochlea()(sound)
    monkeypatch.setattr("eventsnn.encode.cochlea.SAMPLES_AT_ONCE", at_once)
    np.testing.assert_array_equal(Cochlea()(sound), whole)


def test_a_sound_shorter_than_a_frame_is_silence() -> None:
    assert Cochlea()(np.ones(79)).shape == (0, 78)
    assert len(SpeechEncoder().encode(np.ones(79))) == 0


@pytest.mark.parametrize("differ", [True, False])
@pytest.mark.parametrize("gain_control", [True, False])
@pytest.mark.parametrize(
    ("rate", "step", "decimation"), [(8000, 0.206, 80), (12500, 0.25, 125), (8000, 0.25, 1)]
)
def test_equals_the_lyon_package(differ, gain_control, rate, step, decimation) -> None:
    pytest.importorskip("lyon", reason="the package lyon is not installed (pip install lyon)")
    from lyon.calc import LyonCalc

    # With decimation 1 the package takes every sample for a frame of its own, and so must the comparison.
    sound = make_sound(5, 4000 if decimation > 1 else 400)
    theirs = LyonCalc().lyon_passive_ear(
        sound, rate, decimation, step_factor=step, differ=differ, agc=gain_control
    )
    ours = Cochlea(rate, step, decimation, differ=differ, gain_control=gain_control)(sound)
    assert ours.shape == theirs.shape
    # Other order of operations in the design of the filters: a few units in the last place of the largest.
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12 * np.abs(theirs).max())


def test_a_spoken_digit_equals_the_lyon_package() -> None:
    pytest.importorskip("lyon", reason="the package lyon is not installed (pip install lyon)")
    from lyon.calc import LyonCalc

    sound = read_sound(real_data("fsdd", "recordings", "3_theo_7.wav"))
    theirs = LyonCalc().lyon_passive_ear(sound.samples, sound.rate, 80, step_factor=0.206)
    np.testing.assert_allclose(Cochlea()(sound.samples), theirs, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"sample_rate": 0}, "sample_rate"),
        ({"step": float("nan")}, "step"),
        ({"decimation": 2.5}, "decimation"),
        ({"ear_q": 0.4}, "no channel is left"),
        ({"step": 100.0}, "no channel is left"),
    ],
)
def test_parameters_are_checked(fields, text) -> None:
    with pytest.raises(SimulationError, match=text):
        Cochlea(**fields)


@pytest.mark.parametrize("signal", [np.zeros((2, 80)), np.array(["a"]), [0.0, np.inf], [np.nan] * 80])
def test_signals_are_checked(signal) -> None:
    with pytest.raises(SimulationError, match="signal"):
        SMALL(signal)


def test_speech_encoder() -> None:
    encoder = SpeechEncoder.for_rate(8000)
    assert encoder == SpeechEncoder()
    assert encoder.channels == 78
    sound = make_sound(1, 4000)
    signal = encoder.signal(sound)
    assert signal.shape == (78, 500)
    np.testing.assert_array_equal(
        signal[:, 10:20], np.repeat(2000 * Cochlea()(sound)[1][:, None], 10, axis=1)
    )
    stream = encoder.encode(sound)
    assert stream.sensor_size == (78, 1, 1)
    spikes, _ = cochlea_twin.ben_spiker(signal, np.array(encoder.bsa.kernel), 0.6, False)
    np.testing.assert_array_equal(np.bincount(stream.events["x"], minlength=78), spikes.sum(axis=1))
    assert len(stream) > 100
    assert stream.t_last <= 500_000


@pytest.mark.parametrize("rate", [8000, 12500, 16000, 20000])
def test_every_known_rate_has_78_channels_and_frames_of_10_ms(rate: int) -> None:
    cochlea = SpeechEncoder.for_rate(rate).cochlea
    assert cochlea.channels == 78
    assert 1000.0 * cochlea.decimation / cochlea.sample_rate == 10.0


def test_speech_encoder_checks() -> None:
    with pytest.raises(SimulationError, match=r"44100 Hz.*resample"):
        SpeechEncoder.for_rate(44100)
    for fields in ({"gain": 0.0}, {"hold": 0}, {"hold": 1.5}):
        with pytest.raises(SimulationError, match=next(iter(fields))):
            SpeechEncoder(**fields)
