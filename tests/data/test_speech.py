"""Corpora of spoken words: which files, part and speakers; the same spikes as encoding by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import CORPORA, Packed, Speech, pack
from eventsnn.encode import Cochlea, SpeechEncoder, read_sound
from eventsnn.errors import EventFileError, TrainingError
from tests.events.test_audio import make_sphere, write_wav
from tests.real_data import real_data


def noise(seed: int, n: int = 800) -> np.ndarray:
    return (np.random.default_rng(seed).normal(0, 8000, n).clip(-32768, 32767)).astype("<i2")


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Two speakers say 3 and 7, takes 0, 4, 5 and 12."""
    names = [f"{digit}_{who}_{take}" for digit in (7, 3) for who in ("theo", "ada") for take in (0, 4, 5, 12)]
    for seed, name in enumerate(names):
        write_wav(tmp_path / "recordings" / f"{name}.wav", noise(seed).tobytes())
    (tmp_path / "recordings" / "notes.txt").write_text("no sound")
    write_wav(tmp_path / "recordings" / "music.wav", bytes(10))
    return tmp_path


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """TI46's layout, two of 16 speakers: training and test, letters, digits and other words."""
    for seed, (speaker, word, session) in enumerate(
        [(s, w, k) for s in ("f1", "m8") for w in ("0A", "0Z", "00", "09", "EN", "GO") for k in ("se", "s1")]
    ):
        part = "TRAIN" if session == "se" else "TEST"
        path = tmp_path / "TI46" / part / speaker.upper() / f"{word}{speaker}{session}t0.WAV".upper()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_sphere(noise(seed, 1250)))
    return tmp_path / "TI46"


def test_parts_and_speakers(digits: Path) -> None:
    everything = Speech(digits)
    assert len(everything) == 16
    assert everything.classes == tuple("0123456789")
    assert everything.labels.tolist() == [3] * 8 + [7] * 8
    assert [u.speaker for u in everything.utterances] == ["ada"] * 4 + ["theo"] * 4 + ["ada"] * 4 + [
        "theo"
    ] * 4
    assert everything.sensor_size == (78, 1, 1)

    def takes(**choice) -> set[str]:
        return {Path(path).stem for path in Speech(digits, **choice).paths}

    test = {f"{digit}_{who}_{take}" for digit in (3, 7) for who in ("ada", "theo") for take in (0, 4)}
    assert takes(part="test") == test
    assert takes(part="train") == takes() - test
    assert takes(speakers=["ada"]) == takes(without=["theo"]) == {name for name in takes() if "ada" in name}
    assert takes(speakers=["ada"], part="test") == {name for name in test if "ada" in name}


def test_recordings_are_encoded_sounds(digits: Path) -> None:
    data = Speech(digits, part="test")
    for index, path in enumerate(data.paths):
        expected = SpeechEncoder().encode(read_sound(path).samples)
        assert len(expected) > 10
        assert data.stream(index) == expected
    events, label = data[3]
    assert label == 3
    np.testing.assert_array_equal(events, data.stream(3).events)
    # A coarser ear.
    coarse = Speech(digits, encoder=SpeechEncoder(Cochlea(step=0.4)))
    assert coarse.sensor_size == (coarse.stream(0).sensor_size) == (40, 1, 1)


def test_packed_is_the_same(digits: Path, tmp_path: Path) -> None:
    data = Speech(digits, part="train")
    pack(data, tmp_path / "train.esp")
    packed = Packed(tmp_path / "train.esp")
    assert packed.classes == data.classes
    assert [Path(path).name for path in packed.paths] == [Path(path).name for path in data.paths]
    np.testing.assert_array_equal(packed.labels, data.labels)
    assert all(packed.stream(index) == data.stream(index) for index in range(len(data)))


def test_training_reads_sounds_directly(digits: Path, tmp_path: Path) -> None:
    net = es.Network(es.Input(78), es.Dense(8), es.Dense(10), seed=1)
    options = {"epochs": 1, "batch_size": 4, "valid_fraction": 0.0, "seed": 3}
    data = Speech(digits)
    pack(data, tmp_path / "all.esp")
    runs = [
        es.train(net, source, out=tmp_path / name, **options).network
        for name, source in (("sounds", data), ("packed", Packed(tmp_path / "all.esp")))
    ]
    for name, weights in runs[0].weights.items():
        np.testing.assert_array_equal(weights, runs[1].weights[name])


def test_ti46(letters: Path) -> None:
    data = Speech(letters, "ti46-letters")
    assert data.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert [(u.word, u.speaker, u.part) for u in data.utterances] == [
        (word, speaker, part) for word in "AZ" for speaker in ("f1", "m8") for part in ("test", "train")
    ]
    assert data.labels.tolist() == [0] * 4 + [25] * 4
    assert data.encoder.cochlea == Cochlea(12500.0, 0.25, 125)
    assert data.sensor_size == (78, 1, 1)
    assert len(data.stream(0)) > 10
    digits = Speech(letters, "ti46-digits", part="train", speakers=["m8"])
    assert digits.classes == tuple("0123456789")
    assert digits.labels.tolist() == [0, 9]


def test_corpora_are_described_by_their_examples() -> None:
    for corpus in CORPORA.values():
        assert corpus.parse(Path(corpus.example)) is not None
    assert CORPORA["ti46-letters"].parse(Path("00f1set0.wav")) is None
    assert CORPORA["ti46-letters"].parse(Path("0Af9set0.wav")) is None


def test_unreadable_sounds(digits: Path) -> None:
    bad = digits / "recordings" / "3_ada_4.wav"
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(EventFileError, match=r"3_ada_4.wav: is cut"):
        [Speech(digits).read_or_none(index) for index in range(16)]
    data = Speech(digits, bad_files="skip")
    assert sum(data.read_or_none(index) is None for index in range(16)) == 1
    assert [path for path, _ in data.skipped] == [str(bad)]
    # The first file tells the sample rate; if it cannot be read the next one does.
    first = digits / "recordings" / "3_ada_0.wav"
    first.write_bytes(b"")
    assert len(Speech(digits, bad_files="skip")) == 16
    with pytest.raises(EventFileError, match="3_ada_0"):
        Speech(digits)
    write_wav(first, bytes(100), rate=16000)
    other = Speech(digits)  # now it is the others that have another rate
    with pytest.raises(EventFileError, match="has 8000 samples a second, and the encoder is for 16000"):
        other.stream(5)
    write_wav(first, bytes(100), rate=44100)
    with pytest.raises(EventFileError, match=r"3_ada_0.wav: .*44100 Hz"):
        Speech(digits)


def test_what_cannot_be_is_refused(digits: Path, tmp_path: Path) -> None:
    for choice, text in (
        ({"corpus": "timit"}, "corpus must be one of fsdd"),
        ({"part": "valid"}, "part must be one of train, test"),
        ({"speakers": ["eve"]}, "no speaker 'eve' in .*; there are ada, theo"),
        ({"without": ["eve"]}, "no speaker 'eve'"),
        ({"bad_files": "shrug"}, "bad_files"),
    ):
        with pytest.raises(TrainingError, match=text):
            Speech(digits, **choice)
    with pytest.raises(EventFileError, match="no sound file is left"):
        Speech(digits, without=["ada", "theo"])
    with pytest.raises(EventFileError, match=r"no files of ti46-letters among its 17 .wav files.*0Gm3s1t0"):
        Speech(digits, "ti46-letters")
    with pytest.raises(EventFileError, match="no such folder"):
        Speech(tmp_path / "none")
    with pytest.raises(EventFileError, match="is a file"):
        Speech(digits / "recordings" / "music.wav")
    write_wav(digits / "copy" / "3_ada_0.wav", bytes(10))
    with pytest.raises(EventFileError, match="is there twice"):
        Speech(digits)


def test_spoken_digits() -> None:
    data = Speech(real_data("fsdd"))
    assert len(data) == 3000
    assert np.bincount(data.labels).tolist() == [300] * 10
    assert len({u.speaker for u in data.utterances}) == 6
    test = Speech(real_data("fsdd"), part="test")
    assert len(test) == 300
    # Measured with the package lyon in this setting: 3499 +- 1245 spikes in 50 other recordings.
    events = [len(test.stream(index)) for index in range(0, 300, 15)]
    assert 2500 < np.mean(events) < 4500
