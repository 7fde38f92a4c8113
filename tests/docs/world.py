"""The files that the examples on the pages name: small ones, made anew."""

from __future__ import annotations

import gzip
import shutil
import struct
import wave
from pathlib import Path

import numpy as np

import eventsnn as es
from eventsnn.data import Images, load_digits, pack, write_dataset, write_idx_folder
from eventsnn.encode import Bernoulli
from eventsnn.trace import TraceWriter

ROOT = Path(__file__).parents[2]
# What the Python blocks of any page may use without having made it.
PRELUDE = """
from pathlib import Path
import numpy as np
import eventsnn as es
net = network = es.Network.load("run/model.h5")
other = network.replace("output", threshold=5.0)
weights = network.weights["output"]
data = es.data.Folder("recordings", split="Train")
recording = data.stream(0)
pixels = np.random.default_rng(1).integers(0, 256, (8, 8))
"""
EXPERIMENT = """
[network]
input = { width = 34, height = 34, polarities = 2 }
[[network.layers]]
name = "hidden"
neurons = 400
[[network.layers]]
name = "output"
neurons = 10
threshold = 8.0
[training]
epochs = 1
"""
# Numbers in the authors' file of their convolutional network: weights and biases of its layers.
PUBLISHED = [(375, 15), (15_000, 40), (192_000, 300), (3_000, 0)]


def make_world(folder: Path) -> None:
    """Data sets, recordings, models and runs under the names that the pages use."""
    for name in ("datasets", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    rng = np.random.default_rng(1)
    _make_images(folder)
    _make_run(folder)
    _make_recordings(folder, rng)
    _make_sounds(folder, rng)
    with gzip.open(folder / "hm2bp_cnn_mnist_checkpoint.txt.gz", "wt") as file:
        for weights, biases in PUBLISHED:
            np.savetxt(file, rng.normal(0, 0.2, weights), fmt="%.4f")
            np.savetxt(file, np.zeros(biases), fmt="%.1f")
        np.savetxt(file, np.ravel(np.eye(10) - 1.0), fmt="%.1f")  # lateral inhibition
        np.savetxt(file, np.zeros(10), fmt="%.1f")


def _make_run(folder: Path) -> None:
    """Recordings of digits, an experiment, runs and a trace; in the networks every output neuron fires."""
    write_idx_folder(folder / "mnist", folder / "recordings", camera=es.SaccadeCamera(), seed=1)
    for name in ("00008", "00021"):
        source = next((folder / "recordings/Test/3").glob("*.bin"))
        shutil.copyfile(source, folder / f"recordings/Test/3/{name}.bin")
    shutil.copytree(folder / "recordings" / "Train", folder / "mine")
    (folder / "experiment.toml").write_text(EXPERIMENT)
    experiment = es.Experiment.load(folder / "experiment.toml")
    data = es.data.Folder(folder / "recordings", split="Train")
    network = experiment.run(data, out=folder / "run").network
    for run in ("first", "second"):
        shutil.copytree(folder / "run", folder / "runs" / run)
    maps = (es.Conv(3, kernel=5, stride=3, name="conv1"), es.Conv(9, kernel=3, name="conv2"), es.Dense(10))
    (folder / "cnn").mkdir()
    es.Network(es.Input(34, 34, 2), *maps, seed=1).save(folder / "cnn" / "model.h5")
    test = es.data.Folder(folder / "recordings", split="Test")
    eager = network.replace("output", threshold=0.5).with_weights(
        {**network.weights, "output": np.abs(network.weights["output"])}
    )
    for run in ("run", "first", "second"):
        (folder / run).mkdir(exist_ok=True)
        eager.save(folder / run / "model.h5")
    with TraceWriter(folder / "t.h5", eager) as writer:
        for number in range(20):
            stream = test.stream(number % len(test))
            writer.append(es.simulate(eager, stream), source=f"{number}.bin")
    es.evaluate(network, test).predictions.save(folder / "run" / "predictions.csv")


def _make_recordings(folder: Path, rng: np.random.Generator) -> None:
    """A camera's files, of which a window of 68 x 68 pixels has events, and a network for half of it."""
    n = 20_000
    t = np.sort(rng.integers(0, 1_200_000, n))
    x, y = rng.integers(300, 368, n), rng.integers(200, 268, n)
    stream = es.EventStream.from_arrays(t, x, y, rng.integers(0, 2, n), sensor_size=(640, 480, 2))
    for name in ("camera.raw", "hour.raw"):
        es.write(folder / name, stream, format="evt3")
    table = np.column_stack([t / 1e6, x % 240, y % 180, stream.events["p"]])[:2000]
    np.savetxt(folder / "events.txt", table, fmt="%.6f,%d,%d,%d")
    layers = (es.Dense(50, name="hidden"), es.Dense(10, name="output", threshold=5))
    es.Network(es.Input(34, 34, 2), *layers, seed=1).save(folder / "model.h5")


def _make_images(folder: Path) -> None:
    """MNIST's and EMNIST's files with a few small digits, and recordings of them like N-MNIST's."""
    digits = load_digits()
    images = np.kron(digits.images[:40], np.ones((3, 3)))
    images = np.pad(np.clip(images, 0, 255), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    labels = digits.labels[:40].astype(np.uint8)
    for place, names in {
        "mnist": ("train", "t10k"),
        "data/mnist": ("train", "t10k"),
        "emnist-letters": ("emnist-letters-train", "emnist-letters-test"),
        "emnist": ("emnist-balanced-train", "emnist-balanced-test"),
    }.items():
        (folder / place).mkdir(parents=True)
        for name, part in zip(names, (slice(10, 40), slice(0, 10)), strict=True):
            _write_idx(folder / place / f"{name}-images-idx3-ubyte.gz", images[part])
            _write_idx(folder / place / f"{name}-labels-idx1-ubyte.gz", labels[part])
    np.savez(folder / "bars.npz", images=images[:4], labels=labels[:4])
    (folder / "path.csv").write_text("0,0,0\n50,3,0\n100,0,0\n")
    for place in ("N-MNIST", "data/nmnist"):
        write_idx_folder(folder / "mnist", folder / place, camera=es.SaccadeCamera(), seed=1, limit=12)
    shutil.copytree(folder / "N-MNIST", folder / "nmnist-1k")
    camera = es.SaccadeCamera()
    write_dataset(images[:4], labels[:4], folder / "few", camera=camera, seed=1)
    pack(Images(images, labels, coder=Bernoulli(steps=50)), folder / "set.esp")


def _write_idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(f">2xBB{array.ndim}I", 8, array.ndim, *array.shape)
    with gzip.open(path, "wb") as file:
        file.write(head + array.tobytes())


def _make_sounds(folder: Path, rng: np.random.Generator) -> None:
    """Spoken digits of three speakers, as tones."""
    place = folder / "free-spoken-digit-dataset" / "recordings"
    place.mkdir(parents=True)
    for speaker in ("jackson", "theo"):
        for take in (0, 7):
            for digit in range(10):
                sound = 0.3 * np.sin(np.arange(1600) * (0.3 + 0.1 * digit)) + 0.01 * rng.normal(size=1600)
                with wave.open(str(place / f"{digit}_{speaker}_{take}.wav"), "wb") as file:
                    file.setparams((1, 2, 8000, 0, "NONE", ""))
                    file.writeframes((sound * 32767).astype("<i2").tobytes())
    shutil.copyfile(place / "7_jackson_7.wav", folder / "7_jackson_32.wav")
