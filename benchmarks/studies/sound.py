"""Speech to spikes: milliseconds of cochlea and encoder, and how well the spikes hold the cochleagram.

Over the first recordings of a folder of WAV files (FSDD's): processor time per recording of the cochlea and
of the BSA encoder, best of three rounds; the signal-to-error ratio of the decoded spikes; and, where the
package `lyon` is installed, its time and the largest difference of its cochleagrams.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import describe_machine

from eventsnn.encode import SpeechEncoder, read_sound


def milliseconds(work: Callable[[Any], Any], inputs: Sequence[Any]) -> float:
    """Processor time per input, the best of three rounds."""
    rounds = []
    for _ in range(3):
        start = time.process_time()
        for each in inputs:
            work(each)
        rounds.append((time.process_time() - start) / len(inputs) * 1e3)
    return min(rounds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=50)
    given = parser.parse_args(arguments)
    sounds = [read_sound(path) for path in sorted(given.folder.glob("*.wav"))[: given.recordings]]
    encoder = SpeechEncoder.for_rate(sounds[0].rate)
    samples = [sound.samples for sound in sounds]
    signals = [encoder.signal(sound) for sound in samples]
    decoded = [encoder.bsa.decode(encoder.bsa.encode(signal), signal.shape[1]) for signal in signals]
    error = sum(((a - b) ** 2).sum() for a, b in zip(signals, decoded, strict=True))
    found: dict[str, Any] = {
        "recordings": len(sounds),
        "cochlea_ms": milliseconds(encoder.cochlea, samples),
        "bsa_ms": milliseconds(encoder.bsa.encode, signals),
        "signal_to_error_db": 10.0 * np.log10(sum((signal**2).sum() for signal in signals) / error),
        "largest_value": max(encoder.cochlea(sound).max() for sound in samples),
        **against_lyon(encoder, sounds[0].rate, samples),
    }
    print(json.dumps({**found, **describe_machine()}))


def against_lyon(encoder: SpeechEncoder, rate: int, samples: Sequence[np.ndarray]) -> dict[str, float]:
    """Time of the package `lyon`, and its largest difference; empty if it is not installed."""
    try:
        from lyon.calc import LyonCalc
    except ImportError:
        return {}
    cochlea, calculator = encoder.cochlea, LyonCalc()

    def theirs(sound: np.ndarray) -> np.ndarray:
        result: np.ndarray = calculator.lyon_passive_ear(
            sound, rate, cochlea.decimation, step_factor=cochlea.step
        )
        return result

    pairs = [(cochlea(sound), theirs(sound)) for sound in samples]
    return {
        "lyon_ms": milliseconds(theirs, samples),
        "lyon_largest_difference": max(np.abs(a[: len(b)] - b[: len(a)]).max() for a, b in pairs),
    }


if __name__ == "__main__":
    main()
