"""The simulated event camera against the real recordings, digit by digit; and how fast it is on one core.

    EVENTSNN_DATA=... python benchmarks studies/camera_against_real

Every real recording is compared with the simulated one of the same digit. The camera's constants were fitted
on every other recording (fit_camera.py); "check" are those that the fit did not see, "fit" those it might
use, "all" both. Bars hold for each of the three. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import comparison, emit, options, row, use_cores

from eventsnn.encode import SaccadeCamera
from eventsnn.events import EventStream
from studies.real_digits import RealDigits, load_real_digits

BIN_US = 10_000
N_BINS = 32
# Figure, bar, and whether it is to be reached or kept below.
BARS: tuple[tuple[str, float, bool], ...] = (
    ("count_correlation", 0.98, True),
    ("rate_correlation", 0.98, True),
    ("map_correlation", 0.94, True),
    ("active_pixels_off_by", 0.03, False),
    ("on_share_off_by", 0.01, False),
)


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's r of each row of `a` with that of `b`."""
    a, b = (part - part.mean(axis=1, keepdims=True) for part in (a, b))
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def tables(streams: list[EventStream]) -> tuple[np.ndarray, np.ndarray]:
    """Counts by polarity and pixel (n, 2, 1156), and by polarity and 10 ms (n, 2, 32); float64."""
    maps, rates = [], []
    for stream in streams:
        events = stream.events
        p = events["p"].astype(np.int64)
        maps.append(np.bincount(stream.input_indices(), minlength=2 * 1156))
        when = np.minimum(events["t"] // BIN_US, N_BINS - 1)
        rates.append(np.bincount(p * N_BINS + when, minlength=2 * N_BINS))
    n = len(streams)
    return np.array(maps, float).reshape(n, 2, -1), np.array(rates, float).reshape(n, 2, -1)


def median_interval_ms(streams: list[EventStream]) -> float:
    """Median time between successive events of one pixel and polarity, milliseconds."""
    gaps = []
    for stream in streams:
        inputs = stream.input_indices()
        order = np.lexsort((stream.events["t"], inputs))
        gaps.append(np.diff(stream.events["t"][order])[np.diff(inputs[order]) == 0])
    return float(np.median(np.concatenate(gaps))) / 1000.0


def compare(real: list[EventStream], simulated: list[EventStream]) -> dict[str, float]:
    """All figures of two sets of recordings of the same digits."""
    maps, rates = tables(real)
    other_maps, other_rates = tables(simulated)
    n = len(real)
    counts, other_counts = maps.sum(axis=(1, 2)), other_maps.sum(axis=(1, 2))
    active, other_active = ((part.sum(axis=1) > 0).sum(axis=1) for part in (maps, other_maps))
    shares = [part[:, 1].sum(axis=1) / part.sum(axis=(1, 2)) for part in (maps, other_maps)]
    mean_rates = [part.sum(axis=1).mean(axis=0)[None] for part in (rates, other_rates)]
    flat_rates, flat_maps = (
        [part.reshape(n, -1) for part in pair] for pair in ((rates, other_rates), (maps, other_maps))
    )
    return {
        "recordings": n,
        "events_real": counts.mean(),
        "events_simulated": other_counts.mean(),
        "count_correlation": np.corrcoef(counts, other_counts)[0, 1],
        "rate_correlation": correlations(rates.sum(axis=1), other_rates.sum(axis=1)).mean(),
        "rate_correlation_by_polarity": correlations(*flat_rates).mean(),
        "mean_rate_correlation": correlations(*mean_rates)[0],
        "map_correlation": correlations(maps.sum(axis=1), other_maps.sum(axis=1)).mean(),
        "map_correlation_by_polarity": correlations(*flat_maps).mean(),
        "active_pixels_real": active.mean(),
        "active_pixels_simulated": other_active.mean(),
        "active_pixels_off_by": abs(other_active.mean() / active.mean() - 1.0),
        "on_share_real": shares[0].mean(),
        "on_share_simulated": shares[1].mean(),
        "on_share_off_by": abs(shares[1].mean() - 0.5),
        "median_interval_real_ms": median_interval_ms(real),
        "median_interval_simulated_ms": median_interval_ms(simulated),
    }


def record(digits: RealDigits, seed: int) -> tuple[list[EventStream], float]:
    """Simulated recordings of the digits, and digits per second of processor time."""
    camera = SaccadeCamera()
    camera.record(digits.images[0], np.random.default_rng(0))  # makes what all recordings share
    start = time.process_time()
    streams = [
        camera.record(image, np.random.default_rng([seed, int(number)]))
        for image, number in zip(digits.images, digits.numbers, strict=True)
    ]
    return streams, len(streams) / (time.process_time() - start)


def main() -> None:
    """Compare, time, print."""
    given = options(__doc__, None, seed={"type": int, "default": 0})
    use_cores(1)
    digits = load_real_digits()
    if given.quick:
        digits = digits.part(np.arange(min(40, len(digits.numbers))))
    simulated, speed = record(digits, given.seed)
    speeds = [speed, *(record(digits, given.seed)[1] for _ in range(given.repeats - 1))]

    found: dict[str, dict[str, Any]] = {}
    for name, chosen in (("check", ~digits.for_fit), ("fit", digits.for_fit), ("all", digits.numbers >= 0)):
        where = np.flatnonzero(chosen)
        figures = compare([digits.streams[i] for i in where], [simulated[i] for i in where])
        found[name] = {key: round(float(value), 4) for key, value in figures.items()}
    comparisons = [
        comparison(f"{name}, {part}", found[part][name], bar, at_least=at_least)
        for part in found
        for name, bar, at_least in BARS
    ]
    speed_row = row(
        "eventsnn", "28 x 28 image, 34 x 34 sensor, one core", "digits/s of processor time", speeds
    )
    comparisons.append(comparison("digits/s", speed_row["median"], 100.0))
    emit("camera_against_real", rows=[speed_row], comparisons=comparisons, figures=found, seed=given.seed)


if __name__ == "__main__":
    main()
