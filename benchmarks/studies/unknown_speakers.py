"""Spoken digits of unknown speakers: what each step of the speech encoder's normalisation is worth.

A cheap classifier takes the place of the network: least squares on a Gaussian kernel (kernel ridge
regression) of the square roots of the spike counts of the input neurons, trained on five speakers and tested
on the sixth. It knows of a recording what neurons know that count spikes. The encoder's settings were chosen
on the first three speakers.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from eventsnn.data import Speech
from eventsnn.encode import Cochlea, SpeechEncoder, read_sound
from eventsnn.encode.loudness import find_speech, measure_level

DEVELOPMENT = ("george", "jackson", "lucas")
"""Speakers on whose accuracy settings are chosen; those of the others are reported only."""
RIDGE = 0.1

_NORMAL = {"trim_db": 30.0, "level_db": -40.0, "frames": 40}
VARIANTS: dict[str, dict[str, object]] = {
    "as published": {},
    "trim_db 30": {"trim_db": 30.0},
    "level_db -40": {"level_db": -40.0},
    "trim_db 30, level_db -40": {"trim_db": 30.0, "level_db": -40.0},
    "trim_db 30, level_db -40, frames 40": _NORMAL,
    "sections 2": {"sections": 2},
    "sections 8": {"sections": 8},
    "sections 8, pool 3": {"sections": 8, "pool": 3},
    "sections 8, pool 3, trim_db 30": {"sections": 8, "pool": 3, "trim_db": 30.0},
    "sections 8, pool 3, level_db -40": {"sections": 8, "pool": 3, "level_db": -40.0},
    "sections 8, pool 3, trim_db 30, level_db -40": _NORMAL | {"sections": 8, "pool": 3, "frames": None},
    "all: sections 8, pool 3, trim_db 30, level_db -40, frames 40": _NORMAL | {"sections": 8, "pool": 3},
    "all, but sections 2": _NORMAL | {"sections": 2, "pool": 3},
    "all, but sections 4": _NORMAL | {"sections": 4, "pool": 3},
    "all, but sections 16": _NORMAL | {"sections": 16, "pool": 3},
    "all, but pool 1": _NORMAL | {"sections": 8},
    "all, but pool 6": _NORMAL | {"sections": 8, "pool": 6},
    "all, but level_db -25": _NORMAL | {"sections": 8, "pool": 3, "level_db": -25.0},
    "all, but level_db -50": _NORMAL | {"sections": 8, "pool": 3, "level_db": -50.0},
    "all, but trim_db 20": _NORMAL | {"sections": 8, "pool": 3, "trim_db": 20.0},
    "all, but trim_db 40": _NORMAL | {"sections": 8, "pool": 3, "trim_db": 40.0},
    "all, but a cochlea without gain control, gain 200": _NORMAL
    | {"sections": 8, "pool": 3, "cochlea": Cochlea(gain_control=False), "gain": 200.0},
}
"""Settings of the encoder, by what the table calls them."""


def count_spikes(encoder: SpeechEncoder, sounds: list[np.ndarray]) -> np.ndarray:
    """Spikes of each input neuron, (sounds, inputs)."""
    inputs = int(np.prod(encoder.sensor_size))
    return np.array([np.bincount(encoder.encode(s).input_indices(), minlength=inputs) for s in sounds])


def describe_speaker(sounds: list[np.ndarray], rate: int) -> dict[str, float]:
    """How loud a speaker is, and how long the silence and the words are: medians."""
    frame = rate // 100
    ends = np.array([find_speech(sound, frame, _NORMAL["trim_db"]) for sound in sounds])
    lengths = np.array([len(sound) for sound in sounds])
    ms = 1000.0 / rate
    return {
        "level_db": float(np.median([measure_level(sound, frame) for sound in sounds])),
        "silence_before_ms": float(np.median(ends[:, 0])) * ms,
        "silence_after_ms": float(np.median(lengths - ends[:, 1])) * ms,
        "word_ms": float(np.median(ends[:, 1] - ends[:, 0])) * ms,
    }


def classify(features: np.ndarray, labels: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Classes of the tested samples, from the others."""
    known = features[~tested]
    deviation = known.std(axis=0)
    scaled = (features - known.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    squares = (scaled**2).sum(axis=1)
    distances = squares[:, None] + squares[~tested] - 2.0 * scaled @ scaled[~tested].T
    kernel = np.exp(-distances / features.shape[1])
    wanted = np.eye(labels.max() + 1)[labels[~tested]]
    weights = np.linalg.solve(kernel[~tested] + RIDGE * np.eye(len(known)), wanted)
    return np.argmax(kernel[tested] @ weights, axis=1)


def main() -> None:
    """Print a line of JSON for each speaker, and one for each variant: accuracy on each speaker, in %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the data set's folder of .wav files")
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), metavar="NAME", help="these variants")
    options = parser.parse_args()
    data = Speech(options.folder)
    sounds = [read_sound(path).samples for path in data.paths]
    speakers = np.array([utterance.speaker for utterance in data.utterances])
    for speaker in np.unique(speakers).tolist():
        spoken = [sounds[i] for i in np.flatnonzero(speakers == speaker)]
        facts = describe_speaker(spoken, int(data.encoder.sample_rate))
        print(json.dumps({"speaker": speaker, **{name: round(x, 1) for name, x in facts.items()}}))
    for name in options.only:
        start = time.process_time()
        counts = count_spikes(SpeechEncoder(**VARIANTS[name]), sounds)  # type: ignore[arg-type]
        encoding = time.process_time() - start
        features = np.sqrt(counts)
        accuracy = {}
        for speaker in np.unique(speakers).tolist():
            tested = speakers == speaker
            correct = classify(features, data.labels, tested) == data.labels[tested]
            accuracy[speaker] = round(100.0 * float(correct.mean()), 1)
        development = [accuracy[speaker] for speaker in DEVELOPMENT if speaker in accuracy]
        result = {
            "variant": name,
            "spikes": round(float(counts.sum(axis=1).mean())),
            **accuracy,
            "development": round(float(np.mean(development)), 1) if development else None,
            "mean": round(float(np.mean(list(accuracy.values()))), 1),
            "encoding_s": round(encoding, 1),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
