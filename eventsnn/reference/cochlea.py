"""Plain-Python twins of the kernels in cython_ext/encode/cochlea.pyx: the same bits, slowly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn.encode.cochlea import Cochlea
from eventsnn.encode.signals import Floats

STATE_LIMIT = 0.9


def cochleagram(cochlea: Cochlea, signal: Floats) -> Floats:
    """Result of `Cochlea` for a signal (samples,): (frames, channels)."""
    decimation = int(cochlea.decimation)
    frames = len(signal) // decimation
    signal = signal[: frames * decimation]
    value = np.maximum(_cascade(signal, cochlea.sections()), 0.0)
    # The Auditory Toolbox silences the ear's own sections once per frame, and so do we.
    value[::decimation, :2] = 0.0
    for target, epsilon in cochlea.gains().tolist():
        value = _gain_control(value, target, epsilon)
    if cochlea.differ:
        value[:, 1:] = np.maximum(value[:, :-1] - value[:, 1:], 0.0)
    if decimation > 1:
        value = _smooth(value, *cochlea.smoothing().tolist())
    return value[decimation - 1 :: decimation, 2:]


def _cascade(signal: Floats, sections: Floats) -> Floats:
    """Output of each section, which is the input of the next; transposed direct form II."""
    out = np.empty((len(signal), len(sections)))
    into = signal.tolist()
    for i, (b0, b1, b2, a1, a2) in enumerate(sections.tolist()):
        z1 = z2 = 0.0
        for k, x in enumerate(into):
            y = b0 * x + z1
            z1 = b1 * x - a1 * y + z2
            z2 = b2 * x - a2 * y
            into[k] = y
        out[:, i] = into
    return out


def _gain_control(value: Floats, target: float, epsilon: float) -> Floats:
    """One stage: gain 1 - state; the state follows the outputs of a channel and its neighbours."""
    out = np.empty_like(value)
    state = np.zeros(value.shape[1])
    for k, row in enumerate(value):
        out[k] = row * (1.0 - state)
        # The first and the last channel stand in for the neighbour that they lack.
        below = np.append(state[:1], state[:-1])
        above = np.append(state[1:], state[-1:])
        state = np.minimum(
            out[k] * (epsilon / target) + (1.0 - epsilon) / 3.0 * (below + state + above), STATE_LIMIT
        )
    return out


def _smooth(value: Floats, gain: float, a1: float, a2: float) -> Floats:
    """Low-pass filter of each channel, g / (z^2 + a1 z + a2): two samples late."""
    out = np.empty_like(value)
    s1 = s2 = np.zeros(value.shape[1])
    for k, row in enumerate(value):
        out[k] = s1
        s1, s2 = s2 - a1 * out[k], gain * row - a2 * out[k]
    return out


def ben_spiker(
    signal: Floats, kernel: Floats, threshold: float, multiplicative: bool
) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Spikes of `BSA` for a signal (channels, steps), and the unexplained part of the signal."""
    taps = len(kernel)
    unexplained = np.pad(signal, ((0, 0), (0, taps)))
    spikes = np.zeros(signal.shape, np.uint8)
    for c, i in np.ndindex(signal.shape):
        part = unexplained[c, i : i + taps]
        # cumsum adds from left to right, as the kernel does; np.sum in pairs, Python's sum with a correction.
        with_spike = np.cumsum(np.abs(part - kernel))[-1]
        without = np.cumsum(np.abs(part))[-1]
        if with_spike <= without * threshold if multiplicative else with_spike < without - threshold:
            spikes[c, i] = 1
            part -= kernel
    return spikes, unexplained
