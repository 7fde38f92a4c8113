"""From a recording to the input of the engines: the readable form of ``cython_ext/io/prepare.pyx``."""

from __future__ import annotations

import numpy as np

from eventsnn.events.stream import EventStream


def to_arrays(stream: EventStream, origin_us: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(times in ms from the origin, input neurons), sorted by (time, neuron).

    `origin_us` is 0 for what was drawn, or comes from `eventsnn.data.augment.Augmentation.apply`; the
    recording's own without it.
    """
    times = stream.times_ms(stream.origin_us if origin_us is None else origin_us)
    inputs = stream.input_indices()
    order = np.lexsort((inputs, times))
    return times[order], inputs[order]
