"""The table of spikes: the same bytes whatever the parts, numbers that read back to the bit."""

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import TraceError
from eventsnn.trace.spike_text import HEADER, SpikeText


def make_network() -> es.Network:
    return es.Network(
        es.Input(20), es.Dense(30, threshold=2.0, delay=0.7), es.Dense(5, threshold=1.0), seed=1
    )


def make_input() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return np.sort(rng.uniform(0.0, 20.0, 800)), rng.integers(0, 20, 800).astype(np.int32)


def write(path, places: list[int]) -> bytes:
    times, indices = make_input()
    run, text = es.Simulation(make_network()), SpikeText(path)
    for start, end in zip([0, *places], [*places, len(times)], strict=True):
        text.append(run.feed((times[start:end], indices[start:end])))
    text.append(run.finish())
    text.close()
    return path.read_bytes()


def test_the_bytes_do_not_depend_on_the_parts(tmp_path):
    data = write(tmp_path / "a.csv", [])
    assert data == write(tmp_path / "b.csv", [1, 5, 200, 201, 600])
    lines = [line.split(",") for line in data.decode().splitlines()[1:]]
    whole = es.simulate(make_network(), make_input())
    for name in whole.layers:
        own = [(float(t), int(n)) for t, layer, n in lines if layer == name]
        assert len(own) > 10
        assert own == list(zip(whole[name].times.tolist(), whole[name].neurons.tolist(), strict=True))
    assert [float(t) for t, _, _ in lines] == sorted(float(t) for t, _, _ in lines)


def test_what_is_appended_is_with_the_system_at_once(tmp_path):
    text = SpikeText(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == HEADER
    text.append(es.simulate(make_network(), make_input()))
    assert (tmp_path / "a.csv").read_bytes().count(b"\n") == text.spikes + 1
    assert text.sync() == (tmp_path / "a.csv").stat().st_size
    text.close()


def test_going_on_behind_what_is_kept(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + b"1.5,output,1\n2.5,out")
    SpikeText(path, keep=len(HEADER) + 13).close()
    assert path.read_bytes() == HEADER + b"1.5,output,1\n"
    with pytest.raises(TraceError, match=r"a\.csv: holds 34 bytes, fewer than the 99"):
        SpikeText(path, keep=99)


def test_files_that_cannot_be_written(tmp_path):
    with pytest.raises(TraceError, match="cannot be written"):
        SpikeText(tmp_path / "no folder" / "a.csv")
