"""Files of our own that are damaged, changed, or point elsewhere: refused, or read as they were written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import EventFileError, EventSNNError, NetworkError, TrainingError
from eventsnn.trace import Trace, TraceWriter
from eventsnn.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tests.events.helpers import random_stream

ROOT = Path(__file__).parents[1]
POSIX = os.name == "posix"


def network() -> es.Network:
    return es.Network(es.Input(4, 4, 2), es.Dense(6, threshold=0.5), es.Dense(3, threshold=0.3), seed=1)


@pytest.mark.skipif(not POSIX, reason="reads in processes that are forked")
@pytest.mark.parametrize("kind", ["model", "checkpoint", "pack"])
def test_mutations(kind: str) -> None:
    """A few of what ``python -m tests.mutations`` does by the thousand."""
    command = [sys.executable, "-m", "tests.mutations", kind, "--n", "60", "--seed", "7"]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout


def test_no_bit_of_a_model_flips_unseen(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    network().save(path, training="{}")
    data, right = path.read_bytes(), network()
    rng = np.random.default_rng(5)
    refused = 0
    for at in rng.choice(8 * len(data), 400, replace=False).tolist():
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            found = es.Network.load(path)
        except NetworkError as error:
            refused += str(path) in str(error)
            continue
        assert found.to_table() == right.to_table()
        assert all(np.array_equal(found.weights[key], right.weights[key]) for key in right.weights)
    assert refused > 380  # the rest are in the trailer, without which the file is read as before


def test_a_model_of_an_earlier_version_has_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    network().save(path)
    with h5py.File(path, "r+") as file:
        file["weights/hidden"][0, 0] = 7.0
    with pytest.raises(NetworkError, match=r"its checksum is wrong: .* remove the attribute 'crc32'"):
        es.Network.load(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["crc32"]
    assert es.Network.load(path).weights["hidden"][0, 0] == 7.0


def make_model(folder: Path) -> Path:
    network().save(folder / "m.h5")
    return folder / "m.h5"


def make_trace(folder: Path) -> Path:
    with TraceWriter(folder / "t.h5", network()) as writer:
        writer.append(es.simulate(network(), random_stream(200, sensor_size=(4, 4, 2))))
    return folder / "t.h5"


def make_checkpoint(folder: Path) -> Path:
    arrays = {"weights/a": np.arange(192.0)}
    save_checkpoint(folder / "c.h5", Checkpoint(1, 1, arrays, [{"epoch": 1}], {"epoch": 1}, {}))
    return folder / "c.h5"


def make_recording(folder: Path) -> Path:
    es.write(folder / "r.h5", random_stream(200, sensor_size=(4, 4, 2)))
    return folder / "r.h5"


def read_trace(path: Path) -> object:
    with Trace(path) as trace:
        return trace.record(0)


KINDS = {
    "model": (make_model, es.Network.load, "weights/hidden", NetworkError),
    "trace": (make_trace, read_trace, "spikes/hidden/local_low", es.errors.TraceError),
    "the network of a trace": (make_trace, read_trace, "network/weights/hidden", EventSNNError),
    "checkpoint": (make_checkpoint, load_checkpoint, "arrays/weights/a", TrainingError),
    "recording": (make_recording, es.read, "eventsnn/words", EventFileError),
}
WAYS = ("external storage", "external link", "soft link", "hard link", "virtual", "claims more")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_points_elsewhere_is_refused(tmp_path: Path, kind: str, way: str) -> None:
    make, load, name, error = KINDS[kind]
    path = make(tmp_path)
    load(path)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(256)) * 40)
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other")
    with h5py.File(path, "r+") as file:
        shape, dtype, attributes = file[name].shape, file[name].dtype, dict(file[name].attrs)
        if way == "soft link":
            file["aside"] = file[name]
        del file[name]
        if way == "external storage":
            size = int(np.prod(shape)) * dtype.itemsize
            file.create_dataset(name, shape, dtype, external=[(str(secret), 0, size)])
        elif way == "external link":
            file[name] = h5py.ExternalLink(str(other), name)
        elif way == "soft link":
            file[name] = h5py.SoftLink("/aside")
        elif way == "hard link":
            file[name] = file["/"]
        elif way == "virtual":
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(other), name, shape, dtype)
            file.create_virtual_dataset(name, layout)
        else:
            file.create_dataset(name, (10**12, *shape[1:]), dtype)
        if way not in ("external link", "soft link", "hard link"):
            file[name].attrs.update(attributes)
        file.attrs.pop("crc32", None)
    with pytest.raises(error) as caught:
        load(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recordings_of_other_programs_must_not_lie_in_other_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "far.h5", "w") as file:
        for name in "xyp":
            file[f"events/{name}"] = np.zeros(10, np.uint16)
        file["events/t"] = np.arange(10)
    with h5py.File(tmp_path / "near.h5", "w") as file:
        file["events"] = h5py.ExternalLink("far.h5", "/events")
    assert len(es.read(tmp_path / "far.h5", sensor=(4, 4, 2))) == 10
    with pytest.raises(EventFileError, match="events lies in another file"):
        es.read(tmp_path / "near.h5", sensor=(4, 4, 2), format="dsec")
