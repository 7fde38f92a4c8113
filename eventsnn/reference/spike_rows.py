"""The rows of a trace that hold the spikes of some samples, spike by spike.

The oracle of ``cython_ext/io/spike_rows.pyx``; `eventsnn.trace.clock` says why there are lower bits.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence


def fill_rows(
    times: Sequence[float], neurons: Sequence[int], ptr: Sequence[int], starts: Sequence[float], id_code: str
) -> tuple[list[float], list[int], list[int], list[tuple[int, int, int]], list[bool]]:
    """Timestamps, neurons, lower bits, the checksums of each sample, and whether it has far times.

    Sample s begins at ``starts[s]`` ms on the clock of the file; its spikes are ``[ptr[s], ptr[s + 1])``.
    `id_code` is the code of `struct` for a neuron in the file: "H" or "I".
    """
    timestamps = [0.0] * len(times)
    low, crcs, far = [0] * len(times), [], []
    for s, start in enumerate(starts):
        is_far = False
        for k in range(ptr[s], ptr[s + 1]):
            timestamps[k] = start + times[k]
            low[k] = _bits(times[k]) & 0xFFFFFFFF
            # The local time is the number nearest to timestamp - start among those with these lower bits.
            is_far |= abs(_bits(timestamps[k] - start) - _bits(times[k])) >= 2**31
        part = slice(ptr[s], ptr[s + 1])
        columns = (("d", timestamps[part]), (id_code, neurons[part]), ("I", low[part]))
        crcs.append(tuple(zlib.crc32(struct.pack(f"<{len(c)}{code}", *c)) for code, c in columns))
        far.append(is_far)
    return timestamps, list(neurons), low, crcs, far  # type: ignore[return-value]


def _bits(time: float) -> int:
    """The 64 bits of a float64 as a number, in which neighbours differ by 1 (of one sign)."""
    bits: int = struct.unpack("<q", struct.pack("<d", time))[0]
    return bits
