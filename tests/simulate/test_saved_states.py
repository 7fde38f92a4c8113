"""Saved states that were damaged or forged: refused or harmless, no crash, no other spikes in silence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import SimulationError
from eventsnn.simulate.engines import ENGINES
from tests.simulate import saved_states as states


def attempt(name: str, path: Path) -> dict[str, tuple[bytes, bytes]] | None:
    """The rest of the run; None if the state was refused, by an error that names the file or the engine."""
    try:
        return states.go_on(name, path)
    except SimulationError as error:
        if path.name not in str(error) and "engine" not in str(error):
            raise
        return None


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", states.NETWORKS)
def test_forged_states_are_refused_or_run_without_nonsense(name, dtype, tmp_path):
    if dtype not in ENGINES.get(name.split()[0]).dtypes:
        pytest.skip("computes in the other only")
    head, arrays = states.save_one(name, tmp_path / "good.npz", dtype)
    draws = np.random.default_rng(17)
    refused = tried = 0
    for _, new_head, new_arrays in states.changed_states(head, arrays, draws):
        if draws.random() > 0.12:
            continue
        states.write(tmp_path / "forged.npz", new_head, new_arrays)
        refused += attempt(name, tmp_path / "forged.npz") is None
        tried += 1
    assert tried > 80
    assert refused > tried / 2


def test_a_state_whose_content_was_changed_is_refused(tmp_path):
    """A change of any value is found by the checksum, whatever the value."""
    states.save_one("queue", tmp_path / "good.npz")
    want = attempt("queue", tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    draws = np.random.default_rng(3)
    for key, array in arrays.items():
        for what, new in states.changed_arrays(array, draws):
            if new.dtype == array.dtype and new.shape == array.shape and new.tobytes() == array.tobytes():
                continue
            np.savez(tmp_path / "changed.npz", **{**arrays, key: new})
            harmless = [want] if key == "head" else []  # the same bytes in another shape
            assert attempt("queue", tmp_path / "changed.npz") in [None, *harmless], (key, what)


def test_a_file_with_flipped_bits_or_a_lost_end_is_refused_or_the_same(tmp_path):
    states.save_one("sweep", tmp_path / "good.npz")
    want = attempt("sweep", tmp_path / "good.npz")
    good = (tmp_path / "good.npz").read_bytes()
    draws = np.random.default_rng(5)
    path = tmp_path / "changed.npz"
    for k in range(1000):
        raw = bytearray(good)
        if k % 4 == 0:
            del raw[int(draws.integers(len(raw))) :]
        elif k % 4 == 1:
            start = int(draws.integers(len(raw)))
            raw[start : start + 16] = draws.bytes(16)
        else:
            bit = int(draws.integers(8 * len(raw)))
            raw[bit // 8] ^= 1 << bit % 8
        path.write_bytes(raw)
        assert attempt("sweep", path) in (None, want), k


def test_a_header_that_asks_for_terabytes_is_refused(tmp_path):
    path = tmp_path / "huge.npz"
    states.save_one("sweep", path)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"'shape': (3,), }  ", b"'shape': (9**15,)}", 1))
    assert attempt("sweep", path) is None


@pytest.mark.parametrize("head", [b"[" * 100_000, b"3", b"{}", b"\xff", b'{"layout": 3}'])
def test_a_head_that_is_none_is_refused(head, tmp_path):
    np.savez(tmp_path / "odd.npz", head=np.frombuffer(head, np.uint8))
    with pytest.raises(SimulationError, match=r"odd\.npz: .*state"):
        es.Simulation.resume(tmp_path / "odd.npz", states.NETWORKS["sweep"])


def test_what_is_wrong_is_said(tmp_path):
    path = tmp_path / "run.npz"
    head, arrays = states.save_one("queue", path)
    for change, words in (
        ({"state/u": arrays["state/u"][:-1]}, r"state/u has shape .*, not"),
        ({"state/i": np.full_like(arrays["state/i"], np.nan)}, "state/i holds NaN or infinity"),
        ({"state/cursors": arrays["state/cursors"] + 1000}, "state/cursors holds"),
        ({"state/cursors": arrays["state/cursors"].astype(np.int32)}, "of dtype int32, not int64"),
        ({"foo": np.zeros(1)}, "foo does not belong"),
        ({"counts/output": arrays["counts/output"] - 1000}, "counts/output holds"),
    ):
        states.write(path, head, {**arrays, **change})
        with pytest.raises(SimulationError, match=rf"run\.npz: the saved state is damaged .*{words}"):
            states.go_on("queue", path)
    states.write(path, {**head, "events": -1}, arrays)
    with pytest.raises(SimulationError, match="field 'events' is -1"):
        states.go_on("queue", path)
    np.savez(path, head=np.frombuffer(json.dumps({**head, "checksum": "0"}).encode(), np.uint8), **arrays)
    with pytest.raises(SimulationError, match="its content does not have its checksum"):
        states.go_on("queue", path)


@pytest.mark.parametrize("name", [name for name in states.NETWORKS if "windows" not in name])
def test_a_state_that_fires_in_the_past_is_refused(name, tmp_path):
    """Its spikes would reach the next layer before the time of that one's state: memory before its arrays."""
    path = tmp_path / "run.npz"
    head, arrays = states.save_one(name, path, "float32" if name.startswith("clocked") else "float64")
    first = "state/" if name.startswith("queue") else "state/0/"
    own = {key.removeprefix(first): array.copy() for key, array in arrays.items() if key.startswith(first)}
    if name.startswith("twin"):
        size = len(own["u"])
        own |= {"start": np.zeros(size), "d": np.ones(size), "fires": np.ones(size, bool)}
    elif name.startswith("clocked"):
        arrays["state/next"] = arrays["state/next"] - 5
        own["v"][0], own["until"][0] = 1e3, 0
    else:
        own["u"].flat[np.flatnonzero(own["end"].ravel()[:4] < own["now"].flat[0])] = 1e3
        if "refractory" not in own:
            own["now"][...], own["end"][...] = 0.0, -np.inf
    states.write(path, head, arrays | {first + key: array for key, array in own.items()})
    with pytest.raises(
        SimulationError, match=r"run\.npz: .*damaged.* (fire|reached) at .* ms, which is past"
    ):
        states.go_on(name, path)


def test_blocks_of_neurons_that_stopped_at_different_times_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    network = es.Network(es.Input(4), es.Dense(40, threshold=1.0), es.Dense(3), seed=1)
    run = es.Simulation(network)
    run.feed(([1.0, 2.0, 3.0], [0, 1, 2]))
    run.save(path)
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    head = json.loads(arrays.pop("head").tobytes())
    del head["checksum"]
    arrays["state/0/now"][1] -= 1.0
    states.write(path, head, arrays)
    with pytest.raises(SimulationError, match="state/0/now is not the same for all blocks"):
        es.Simulation.resume(path, network)
