"""The plain-Python engine against the compiled ones on real recordings: same spikes, same times?"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from common import describe_machine, find_nmnist

import eventsnn as es


def main() -> None:
    """Compare recording by recording and print the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=20)
    options = parser.parse_args()

    data = es.data.NMNIST(find_nmnist())
    network = es.Network(
        es.Input(34, 34, 2),
        es.Dense(800, threshold=15.0),
        es.Dense(10, threshold=15.0, lateral_inhibition=1.0),
        seed=1,
    )
    largest, spikes, same_bits, seconds = 0.0, 0, True, 0.0
    for index in np.linspace(0, len(data) - 1, options.recordings).astype(int):
        stream = data.stream(int(index))
        start = time.perf_counter()
        twin = es.simulate(network, stream, engine="twin")
        seconds += time.perf_counter() - start
        for engine in ("queue", "sweep"):
            run = es.simulate(network, stream, engine=engine)
            for name in network.names:
                if not np.array_equal(run[name].neurons, twin[name].neurons):
                    raise SystemExit(
                        f"{data.paths[index]}: engine {engine}, layer {name}: other spikes than the twin's"
                    )
                difference = np.abs(run[name].times - twin[name].times).max(initial=0.0)
                largest = max(largest, float(difference))
                same_bits &= bool(difference == 0.0)
        spikes += sum(len(twin[name]) for name in network.names)
    print(
        json.dumps(
            {
                "recordings": options.recordings,
                "spikes": spikes,
                "largest_difference_ms": largest,
                "same_bits": same_bits,
                "twin_seconds_per_recording": seconds / options.recordings,
                **describe_machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
