"""The published MNIST network of HM2-BP's authors, on the clock and in exact time.

    EVENTSNN_DATA=... python benchmarks studies/published_weights hm2bp_cnn_mnist_checkpoint.txt.gz

Prints a row for the clock, one for exact time and one for exact time with a refractory period of 3 ms: the
mean spikes of a test image in every layer (over the first ``--spikes`` images), and how many of the first
``--images`` test images are classified correctly, in the authors' coding.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import find_data

import eventsnn as es
from eventsnn.model.authors import import_weights, published_cnn


def count_spikes(network: es.Network, data: es.data.Images, engine: str, images: int) -> list[float]:
    """Mean number of spikes of every layer over the first images."""
    counts = []
    for index in range(images):
        run = es.simulate(network, data.stream(index), engine=engine)
        counts.append([run[layer.name].counts.sum() for layer in network.layers])
    return np.mean(counts, axis=0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="the authors' text file of trained weights")
    parser.add_argument("--images", type=int, default=300, help="test images that are classified")
    parser.add_argument("--spikes", type=int, default=40, help="test images whose spikes are counted")
    options = parser.parse_args()
    published = import_weights(options.weights, published_cnn())
    longer = published
    for layer in published.layers:
        longer = longer.replace(layer.name, refractory=3)
    data = es.data.Images.open(find_data("mnist"), "test")
    print(
        "| engine |", " | ".join(layer.name for layer in published.layers), f"| correct of {options.images} |"
    )
    for name, network, engine in (
        ("clocked", published, "clocked"),
        ("exact", published, "sweep"),
        ("exact, refractory 3 ms", longer, "sweep"),
    ):
        part = data.subset(range(options.images))
        accuracy = es.evaluate(network, part, engine=engine).accuracy
        means = " | ".join(f"{mean:,.0f}" for mean in count_spikes(network, data, engine, options.spikes))
        print(f"| {name} | {means} | {round(accuracy * options.images)} |", flush=True)


if __name__ == "__main__":
    main()
