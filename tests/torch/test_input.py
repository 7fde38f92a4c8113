"""What a module takes: recordings, batches of spikes, padded arrays; and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

import eventsnn as es
from eventsnn.errors import EventSNNError
from eventsnn.torch import SpikeBatch, SpikingNetwork, as_batch
from tests.torch.examples import recordings
from tests.train.toy import toy_network

PADDED = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0, 1]]), torch.tensor([2]))
BATCH = SpikeBatch(
    torch.tensor([1.0, 2.0], dtype=torch.float64),
    torch.tensor([0, 1], dtype=torch.int32),
    torch.tensor([0, 2]),
)


def test_forms_of_input_are_the_same():
    data, _ = recordings(4)
    network = toy_network()
    batch = as_batch(data, network)
    assert batch.recordings == 4
    lengths = torch.diff(batch.ptr)
    times, neurons = torch.full((4, 200), -1.0, dtype=torch.float64), torch.full((4, 200), -7)
    for k, n in enumerate(lengths.tolist()):
        part = slice(int(batch.ptr[k]), int(batch.ptr[k + 1]))
        order = torch.randperm(n)
        times[k, :n], neurons[k, :n] = batch.times[part][order], batch.neurons[part][order].to(torch.int64)
    for other in (as_batch((times, neurons, lengths), network), as_batch([s.events for s in data], network)):
        assert all(torch.equal(a, b) for a, b in zip(batch, other, strict=True))


def test_files_are_recordings(tmp_path):
    data, _ = recordings(2)
    for k, stream in enumerate(data):
        es.write(tmp_path / f"{k}.bin", stream)
    network = toy_network()
    found = as_batch([tmp_path / "0.bin", str(tmp_path / "1.bin")], network)
    assert all(torch.equal(a, b) for a, b in zip(found, as_batch(data, network), strict=True))


def test_what_comes_after_the_duration_is_left_out():
    network = toy_network().with_settings(replace(toy_network().settings, duration_ms=1.5))
    found = as_batch(BATCH, network)
    assert (found.times.tolist(), found.ptr.tolist()) == ([1.0], [0, 1])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (3, "takes a list of recordings, a SpikeBatch or .*: got int"),
        (recordings(1)[0][0], "got EventStream; put a single recording into a list"),
        ([], "at least one recording"),
        ([3.5], "recording 0 is no EventStream, structured array or path but float"),
        ([es.EventStream.from_arrays([0], [0], sensor_size=(9, 9, 1))], "sensor"),
        ((PADDED[0][0], *PADDED[1:]), r"shape \(recordings, most\)"),
        ((PADDED[0].to(torch.int64), *PADDED[1:]), "times that are floating-point"),
        ((*PADDED[:2], torch.tensor([3])), "lengths must be 0 to 2"),
        (BATCH._replace(times=BATCH.times.float()), "float64 times, int32 neurons and int64 ptr"),
        (BATCH._replace(ptr=torch.tensor([0, 1])), "ptr must rise from 0 to the number of spikes"),
        (BATCH._replace(times=BATCH.times.flip(0)), "recording 0, spike 1: out of order"),
        (BATCH._replace(times=-BATCH.times), "recording 0, spike 0: time -1.0 ms is not 0 or later"),
        (BATCH._replace(neurons=BATCH.neurons + 60), "recording 0, spike 0: input neuron 60 is not one of"),
    ],
)
def test_input_that_does_not_fit(data, text):
    with pytest.raises(EventSNNError, match=text):
        SpikingNetwork(toy_network())(data)


def test_recordings_without_spikes():
    batch = SpikeBatch(BATCH.times[:0], BATCH.neurons[:0], torch.zeros(3, dtype=torch.int64))
    module = SpikingNetwork(toy_network())
    found = module(batch)
    assert not found.any()
    assert found.shape == (2, 3)
    found.sum().backward()
