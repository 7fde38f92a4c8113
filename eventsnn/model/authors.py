"""The text format in which the program of the HM2-BP authors stores trained weights.

Layout: numbers separated by blanks, layer after layer. Of each layer with weights: the weights, in the order
post-synaptic, pre-synaptic (dense; sources channel by channel, row by row) or channel, source channel, y, x
(convolution); of a layer with lateral inhibition the weights between its neurons; one bias for each neuron or
channel. Pooling layers have nothing.

Source: the program released with Jin, Zhang & Li, NeurIPS 2018, and the weights published with it.
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model.layers import Conv, Dense, Input, Pool
from eventsnn.model.network import Network


def published_cnn() -> Network:
    """The authors' network for MNIST, 28x28-15C5-P2-40C5-P2-300-10, with random weights."""
    return Network(
        Input(28, 28),
        Conv(15, 5, threshold=5.0),
        Pool(2, threshold=2.0),
        Conv(40, 5, threshold=12.0),
        Pool(2, threshold=4.0),
        Dense(300, name="hidden", threshold=10.0),
        Dense(10, name="output", threshold=10.0, lateral_inhibition=1.0),
    )


def import_weights(path: str | os.PathLike[str], network: Network) -> Network:
    """The network with the weights of an authors' text file, plain or gzipped.

    Parameters
    ----------
    path : path
    network : Network
        What the file was written for: a chain of layers.

    Raises
    ------
    NetworkError
        Naming the file: it cannot be read, holds something else than numbers, another count of them than the
        network needs, biases that are not 0, or lateral weights that are not those of the network.
    """
    source = Path(path)
    numbers = _read_numbers(source)
    wanted = sum(size for _, _, size in _parts(network))
    if len(numbers) != wanted:
        raise NetworkError(
            f"{source}: holds {len(numbers)} numbers, and network {network!r} needs {wanted} "
            "(weights, lateral weights, biases); give the network that the file was written for"
        )
    weights: dict[str, np.ndarray] = {}
    at = 0
    for name, kind, size in _parts(network):
        part = numbers[at : at + size]
        at += size
        if kind == "weights":
            weights[name] = part.astype(np.float32).reshape(network.weight_shapes()[name])
        elif kind == "biases" and part.any():
            raise NetworkError(
                f"{source}: layer {name!r} has biases that are not 0, which cannot be imported"
            )
        elif kind == "lateral":
            _check_lateral(source, network, name, part)
    return network.with_weights(weights)


def _parts(network: Network) -> list[tuple[str, str, int]]:
    """(layer, what, count of numbers) in the file's order."""
    blocks = []
    for layer in network.layers:
        name = str(layer.name)
        if layer.weight_shape is None:
            continue
        blocks.append((name, "weights", int(np.prod(network.weight_shapes()[name]))))
        if layer.lateral_inhibition:
            blocks.append((name, "lateral", layer.neurons**2))
        blocks.append((name, "biases", layer.channels))
    return blocks


def _read_numbers(path: Path) -> np.ndarray:
    """All numbers of a file, float64 array (n,)."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise NetworkError(f"{path}: the gzip file is damaged or cut ({error})") from None
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        numbers = np.array(data.split(), dtype=np.float64)
    except ValueError as error:
        raise NetworkError(f"{path}: is not a text file of numbers ({error})") from None
    if not np.isfinite(numbers).all():
        raise NetworkError(f"{path}: number {int(np.argmin(np.isfinite(numbers)))} is not finite")
    return numbers


def _check_lateral(path: Path, network: Network, name: str, numbers: np.ndarray) -> None:
    size = network[name].neurons
    expected = -network[name].lateral_inhibition * (1.0 - np.eye(size))
    lateral = numbers.reshape(size, size)
    # The authors' program never reads the diagonal.
    off = ~np.eye(size, dtype=bool)
    if not np.allclose(lateral[off], expected[off], rtol=1e-5, atol=1e-6):
        raise NetworkError(
            f"{path}: the lateral weights of {name!r} are {lateral[off].min():g} .. {lateral[off].max():g}, "
            f"and its lateral_inhibition stands for {-network[name].lateral_inhibition:g}"
        )
