"""The speech encoder's normalisation of unknown speakers: silence, loudness, tempo, order."""

from __future__ import annotations

import numpy as np
import pytest

from eventsnn.encode import BSA, Cochlea, SpeechEncoder
from eventsnn.encode.loudness import find_speech, measure_level, set_level
from eventsnn.encode.speech import stretch_frames
from eventsnn.errors import SimulationError

FRAME = 80


def square_wave(amplitudes: list[float], dc: float = 0.0) -> np.ndarray:
    """Frames whose samples alternate between plus and minus an amplitude: its level is 20 log10 of that."""
    return np.repeat(amplitudes, FRAME) * np.tile([1.0, -1.0], len(amplitudes) * FRAME // 2) + dc


def word(amplitude: float = 0.3, n: int = 3200) -> np.ndarray:
    """A tone that falls from 2 kHz to 500 Hz."""
    t = np.arange(n) / n
    return amplitude * np.sin(2 * np.pi * np.cumsum(2000.0 - 1500.0 * t) / 8000.0)


@pytest.mark.parametrize("dc", [0.0, 0.5])
def test_silence_is_cut_at_both_ends_and_kept_within(dc: float) -> None:
    # 0.001 is 60 dB below 1, 0.05 is 26 dB below it, 0.01 is 40 dB below it.
    sound = square_wave([0.001, 0.05, 1.0, 0.001, 1.0, 0.01, 0.001], dc)
    assert find_speech(sound, FRAME, 30.0) == (FRAME, 5 * FRAME)
    assert find_speech(sound, FRAME, 20.0) == (2 * FRAME, 5 * FRAME)
    assert find_speech(sound, FRAME, 50.0) == (FRAME, 6 * FRAME)
    assert find_speech(sound, FRAME, 70.0) == (0, 7 * FRAME)
    # What is left over after the last whole frame is no speech.
    assert find_speech(np.append(sound, 1.0), FRAME, 70.0) == (0, 7 * FRAME)


def test_level_is_that_of_the_speech_alone() -> None:
    # Mean power of the loud frames (0.04 + 0.01 + 0.01) / 3 = 0.02; the quiet one, 40 dB below, is left out.
    sound = square_wave([0.002, 0.2, 0.1, 0.1])
    assert measure_level(sound, FRAME) == pytest.approx(10.0 * np.log10(0.02), rel=1e-12)
    # -20 dB is a mean square of 0.01: half the power.
    np.testing.assert_allclose(set_level(sound, FRAME, -20.0), sound / np.sqrt(2.0), rtol=1e-12)


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(1000), np.full(1000, 0.1), np.ones(FRAME - 1)])
def test_without_speech_nothing_changes(sound: np.ndarray) -> None:
    assert find_speech(sound, FRAME, 30.0) == (0, len(sound))
    assert measure_level(sound, FRAME) == -np.inf
    np.testing.assert_array_equal(set_level(sound, FRAME, -20.0), sound)
    SpeechEncoder(trim_db=30.0, level_db=-20.0, frames=7, sections=3, pool=5).encode(sound)


def test_stretching_interpolates_between_the_middles_of_frames() -> None:
    ramp = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    # Two frames of a word in four: their middles are at 0.5 and 2.5.
    np.testing.assert_allclose(stretch_frames(ramp, 2), [[0.5, 5.0], [2.5, 5.0]])
    # Eight: middles at -0.25 (held), 0.25, 0.75, ...
    np.testing.assert_allclose(
        stretch_frames(ramp, 8)[:, 0], [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0], atol=1e-15
    )
    np.testing.assert_array_equal(stretch_frames(ramp, 4), ramp)
    np.testing.assert_array_equal(stretch_frames(ramp[:1], 3), np.repeat(ramp[:1], 3, axis=0))
    np.testing.assert_array_equal(stretch_frames(ramp[:0], 3), np.zeros((3, 2)))


def test_defaults_are_the_published_front_end() -> None:
    sound = word()
    expected = BSA().encode(np.repeat(Cochlea()(sound).T * 2000.0, 10, axis=1))
    assert SpeechEncoder().encode(sound) == expected


def test_loudness_silence_and_tempo_leave_the_spikes_alike() -> None:
    encoder = SpeechEncoder(trim_db=30.0, level_db=-30.0, frames=40)
    spikes = encoder.encode(word())
    assert len(spikes) > 200
    assert encoder.encode(word(0.3 / 64.0)) == spikes  # a power of two: the same mantissas
    silent = np.zeros(10 * FRAME)
    assert encoder.encode(np.concatenate([silent, word(), silent])) == spikes
    # Half the tempo: the same channels, nearly as many spikes, the same length.
    slow = encoder.encode(word(n=6400))
    np.testing.assert_allclose(
        np.bincount(slow.events["x"], minlength=78) / len(slow),
        np.bincount(spikes.events["x"], minlength=78) / len(spikes),
        atol=0.02,
    )
    assert len(slow) == pytest.approx(len(spikes), rel=0.15)
    assert slow.events["t"].max() <= 400_000


def test_sections_are_rows_and_pooled_channels_share_columns() -> None:
    sound = word()  # 40 frames, 400 steps
    plain = SpeechEncoder().encode(sound)
    encoder = SpeechEncoder(sections=4, pool=3)
    assert encoder.channels == 26
    assert SpeechEncoder(pool=4).channels == 20  # 19 of 4 and one of 2
    stream = encoder.encode(sound)
    assert stream.sensor_size == encoder.sensor_size == (26, 4, 1)
    np.testing.assert_array_equal(stream.events["t"], plain.events["t"])
    np.testing.assert_array_equal(stream.events["x"], plain.events["x"] // 3)
    # The first section is steps 0 .. 99, whose spikes come at 1 .. 100 ms.
    expected = np.searchsorted([100_000, 200_000, 300_000], plain.events["t"], side="left")
    np.testing.assert_array_equal(stream.events["y"], expected)
    assert set(expected) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"trim_db": 0.0}, "speech: trim_db must be a finite number > 0 and <= 200, got 0.0"),
        ({"trim_db": "loud"}, "speech: trim_db must be a finite number"),
        ({"level_db": 3.0}, "speech: level_db must be a finite number >= -200 and <= 0, got 3.0"),
        ({"frames": 0}, "speech: frames must be a whole number of frames, from 1 to 100000, got 0"),
        ({"frames": 40.5}, "speech: frames must be a whole number"),
        ({"sections": 0}, "speech: sections must be a whole number of sections, from 1 to 1000, got 0"),
        ({"pool": 79}, "speech: pool must be a whole number of channels, from 1 to 78, got 79"),
    ],
)
def test_bad_settings(setting: dict, text: str) -> None:
    with pytest.raises(SimulationError, match=text):
        SpeechEncoder(**setting)
