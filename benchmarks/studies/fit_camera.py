"""Fit the constants of the simulated event camera to real N-MNIST recordings, digit by digit.

    EVENTSNN_DATA=... python benchmarks studies/fit_camera --digits 60 --iterations 4 > fit.json

Least squares by Gauss-Newton steps (Levenberg-Marquardt damping). What is compared are counts of events by
polarity, 5 ms and pixel, smoothed a little over time and space, and by polarity and 5 ms alone, of the
recording and of its noise-free simulation. Free are the image's position every 5 ms, contrast thresholds,
blur, black level, refractory period, scale and low-pass. Derivatives are central differences over steps that
are wide beside what a single event makes of them.

Background events come afterwards, from the pixels that see nothing of the digit. Recordings of the checking
half (see real_digits.py) are never looked at. Starts from the constants in the package, or from those of
`--start`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit, logit

from eventsnn.encode import SaccadeCamera
from eventsnn.events import EventStream, MotionPath
from studies.real_digits import RealDigits, load_real_digits

BIN_MS = 5.0
N_BINS = 62
POINTS_MS = np.arange(0.0, 310.1, BIN_MS)
N = len(POINTS_MS)
# Name of the constant, from constant to free number, back, and width of the difference.
CONSTANTS = (
    ("threshold_on", np.log, np.exp, 0.05),
    ("threshold_off", np.log, np.exp, 0.05),
    ("blur_px", np.log, np.exp, 0.1),
    ("black_level", logit, expit, 0.1),
    ("refractory_ms", np.log, np.exp, 0.08),
    ("scale", np.log, np.exp, 0.01),
    ("low_pass_ms", np.log, np.exp, 0.3),
)
WIDTHS = np.array([0.25] * (2 * N) + [width for *_, width in CONSTANTS])
BATCH = 10
# Background events of the whole sensor per millisecond, nearly all ON: what the last fit found.
BACKGROUND = SaccadeCamera().noise_hz * 34 * 34 / 1000.0
# Smoothed over a pixel or two, every second one says it all.
OVER_SPACE = gaussian_filter1d(np.eye(34, dtype=np.float32), 1.0, axis=0, mode="constant")[::2]
OVER_TIME = gaussian_filter1d(np.eye(N_BINS, dtype=np.float32), 0.7, axis=0, mode="nearest")
# With this weight the rates of the whole sensor are as far off at the end as the counts by pixel.
RATE_WEIGHT = 0.06
# Weight of (second difference of position)^2 per digit: keeps the image still where no events speak.
STIFFNESS = 0.3


def to_camera(free: np.ndarray) -> SaccadeCamera:
    """The noise-free camera of the free numbers: positions in x, in y, then the constants."""
    x, y = free[:N], free[N : 2 * N]
    constants = {
        name: float(back(value)) for (name, _, back, _), value in zip(CONSTANTS, free[2 * N :], strict=True)
    }
    return SaccadeCamera(
        offset_px=(float(x[0]), float(y[0])),
        motion=MotionPath(POINTS_MS, x - x[0], y - y[0]),
        noise_hz=0.0,
        step_ms=2.5,
        **constants,
    )


def to_free(camera: SaccadeCamera) -> np.ndarray:
    """Inverse of `to_camera`."""
    path = camera.motion
    x = camera.offset_px[0] + np.interp(POINTS_MS, path.times_ms, path.dx_px)
    y = camera.offset_px[1] + np.interp(POINTS_MS, path.times_ms, path.dy_px)
    # A constant of 0 has no logarithm; it starts small.
    values = [there(max(getattr(camera, name), 1e-2)) for name, there, *_ in CONSTANTS]
    return np.concatenate((x, y, values))


def features(streams: list[EventStream], background: float = 0.0) -> np.ndarray:
    """Smoothed counts and weighted rates (digits, features) float32, less `background` ON events per ms."""
    counts = np.zeros((len(streams), 2 * N_BINS * 34 * 34), np.float32)
    for row, stream in zip(counts, streams, strict=True):
        events = stream.events
        when = np.minimum(events["t"] // int(1000 * BIN_MS), N_BINS - 1)
        cell = ((events["p"].astype(np.int64) * N_BINS + when) * 34 + events["y"]) * 34 + events["x"]
        row[:] = np.bincount(cell, minlength=len(row))
    grid = counts.reshape(-1, 2, N_BINS, 34, 34)
    rates = grid.sum(axis=(3, 4)) - background * BIN_MS * np.array([0, 1])[:, None]
    small = (OVER_SPACE @ grid @ OVER_SPACE.T).reshape(len(streams) * 2, N_BINS, -1)
    parts = (OVER_TIME @ small, RATE_WEIGHT * rates)
    return np.hstack([part.reshape(len(streams), -1).astype(np.float32) for part in parts])


def simulate(free: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Features of simulated recordings of the images."""
    camera, rng = to_camera(free), np.random.default_rng(0)
    return features([camera.record(image, rng) for image in images])


def stiffness() -> np.ndarray:
    """Second differences (2 (N - 2), free numbers) of the positions."""
    second = np.diff(np.eye(N), 2, axis=0)
    zero = np.zeros_like(second)
    rest = np.zeros((2 * (N - 2), len(CONSTANTS)))
    return np.hstack([np.block([[second, zero], [zero, second]]), rest])


def misfit(free: np.ndarray, digits: RealDigits) -> float:
    """Sum of squares that the fit makes small."""
    total = STIFFNESS * len(digits.streams) * float(((stiffness() @ free) ** 2).sum())
    for start in range(0, len(digits.streams), BATCH):
        rows = slice(start, start + BATCH)
        gap = simulate(free, digits.images[rows]) - features(digits.streams[rows], BACKGROUND)
        total += float((gap**2).sum(dtype=np.float64))
    return total


def normal_equations(free: np.ndarray, digits: RealDigits) -> tuple[np.ndarray, np.ndarray]:
    """J'J and J'r over all digits, batch by batch, for the Jacobian is large."""
    smooth = stiffness()
    weight = STIFFNESS * len(digits.streams)
    left, right = weight * smooth.T @ smooth, -weight * smooth.T @ (smooth @ free)
    for start in range(0, len(digits.streams), BATCH):
        images = digits.images[start : start + BATCH]
        gap = (features(digits.streams[start : start + BATCH], BACKGROUND) - simulate(free, images)).ravel()
        jacobian = np.empty((len(free), gap.size), np.float32)
        for k, width in enumerate(WIDTHS):
            step = np.zeros(len(free))
            step[k] = width
            ahead, behind = simulate(free + step, images), simulate(free - step, images)
            jacobian[k] = ((ahead - behind) / (2 * width)).ravel()
        left += jacobian @ jacobian.T
        right += jacobian @ gap
    return left, right


def describe(free: np.ndarray) -> dict[str, object]:
    """The free numbers with their names, as `--start` takes them."""
    camera = to_camera(free)
    constants = {name: getattr(camera, name) for name, *_ in CONSTANTS}
    return {**constants, "x_px": free[:N].round(4).tolist(), "y_px": free[N : 2 * N].round(4).tolist()}


def fit(free: np.ndarray, digits: RealDigits, iterations: int) -> tuple[np.ndarray, list[float]]:
    """Damped Gauss-Newton steps; return the free numbers and the misfit after each step."""
    damping, course = 1e-4, [misfit(free, digits)]
    for _ in range(iterations):
        left, right = normal_equations(free, digits)
        while damping < 1e3:
            step = np.linalg.solve(left + damping * np.diag(np.diag(left)), right)
            tried = free + np.clip(step, -1.0, 1.0)
            found = misfit(tried, digits)
            if found < course[-1]:
                free, damping = tried, max(damping / 4, 1e-4)
                course.append(found)
                break
            damping *= 6
        found_so_far = {"misfit": course[-1], "damping": damping, **describe(free)}
        print(json.dumps(found_so_far), file=sys.stderr, flush=True)
    return free, course


def fit_noise(free: np.ndarray, digits: RealDigits) -> dict[str, float]:
    """Background events: from pixels where even a blurred digit makes none, nor next to them."""
    camera, rng = to_camera(free), np.random.default_rng(0)
    seen, on, off = np.zeros((3, 34, 34))
    for image, stream in zip(digits.images, digits.streams, strict=True):
        simulated = camera.record(image, rng).events
        busy = np.zeros((34 + 6, 34 + 6), bool)
        for dy in range(7):
            for dx in range(7):
                busy[simulated["y"] + dy, simulated["x"] + dx] = True
        quiet = ~busy[3:-3, 3:-3]
        seen += quiet
        for p, counts in ((1, on), (0, off)):
            events = stream.events[stream.events["p"] == p]
            counts += (
                np.bincount(events["y"] * 34 + events["x"].astype(np.int64), minlength=1156).reshape(34, 34)
                * quiet
            )
    n = on + off
    known = seen >= len(digits.streams) / 2
    rate = n[known] / seen[known]
    # Spread of the rates over the pixels beyond that of Poisson numbers, as that of a log-normal law.
    beyond = max(rate.var() - (n[known] / seen[known] ** 2).mean(), 0.0)
    return {
        "noise_hz": float(rate.mean() / 0.310),
        "noise_bias": float((on - off)[known].sum() / n[known].sum()),
        "noise_spread": float(np.sqrt(np.log1p(beyond / rate.mean() ** 2))),
        "quiet_pixels": int(known.sum()),
    }


def load_start(path: Path | None) -> np.ndarray:
    """Free numbers of the package's constants, or of an earlier output of this program."""
    if path is None:
        return to_free(SaccadeCamera())
    found = json.loads(path.read_text())
    x, y = np.array(found["x_px"]), np.array(found["y_px"])
    return np.concatenate((x, y, [there(found[name]) for name, there, *_ in CONSTANTS]))


def main() -> None:
    """Fit and print the constants."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--digits", type=int, default=60, help="of the fitting half, as many of each class")
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    half = load_real_digits()
    half = half.part(half.for_fit)
    rng = np.random.default_rng(options.seed)
    chosen = np.concatenate(
        [
            rng.choice(np.flatnonzero(half.labels == label), options.digits // 10, replace=False)
            for label in range(10)
        ]
    )
    # Every batch holds all classes, so that its Jacobian is no better off than the others'.
    digits = half.part(chosen.reshape(10, -1).T.ravel())
    free, course = fit(load_start(options.start), digits, options.iterations)
    noise = fit_noise(free, half)
    print(json.dumps({**describe(free), **noise, "misfits": course, "numbers": digits.numbers.tolist()}))


if __name__ == "__main__":
    main()
