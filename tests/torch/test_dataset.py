"""Data sets for PyTorch's DataLoader, in this process and in workers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader

import eventsnn as es
from eventsnn.data import Folder, Packed, pack
from eventsnn.errors import TrainingError
from eventsnn.torch import EventDataset, SpikingNetwork, collate
from eventsnn.train.batches import BatchLoader
from tests.train.toy import SENSOR, toy_data, toy_network, write_toy_folder

AUGMENTED = es.Augmentation(shift=1, drop=0.1)


def read(dataset, **options):
    options = {"batch_size": 5, "collate_fn": collate, **options}
    loader = DataLoader(dataset, **options)
    return [(*(each.clone() for each in spikes), labels.clone()) for spikes, labels in loader]


def assert_equal(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(params=["memory", "folder", "packed"])
def data(request, tmp_path):
    if request.param == "memory":
        return toy_data(17)
    folder = Folder(write_toy_folder(tmp_path / "toy", 17), sensor=SENSOR)
    if request.param == "folder":
        return folder
    pack(folder, tmp_path / "toy.esp")
    return Packed(tmp_path / "toy.esp")


def test_batches_are_those_of_training(data):
    found = read(EventDataset(data, toy_network(), augmentation=AUGMENTED, seed=4))
    loader = BatchLoader(data, 60, AUGMENTED, 4)
    for k, (times, neurons, ptr, labels) in enumerate(found):
        batch = loader.prepare(np.arange(5 * k, min(17, 5 * k + 5)), 0)
        for ours, theirs in ((batch.times, times), (batch.neurons, neurons), (batch.ptr, ptr)):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(batch.labels, labels)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_change_no_bit(data, method):
    dataset = EventDataset(data, toy_network(), augmentation=AUGMENTED)
    options = {"num_workers": 2, "multiprocessing_context": method}
    assert_equal(read(dataset), read(dataset, **options))


def test_epochs_are_drawn_anew_also_in_workers_that_stay():
    dataset = EventDataset(toy_data(12), toy_network(), augmentation=AUGMENTED)
    loader = DataLoader(
        dataset,
        4,
        collate_fn=collate,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    found = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        found.append([(*spikes, labels) for spikes, labels in loader])
        assert_equal(found[-1], read(dataset, batch_size=4))
    assert_equal(found[0], found[2])
    assert not torch.equal(found[0][0][0][:20], found[1][0][0][:20])


def test_single_items_can_be_collated():
    dataset = EventDataset(toy_data(6), toy_network())
    spikes, labels = collate([dataset[k] for k in (4, 0, -1)])
    other, same = collate(dataset.__getitems__([4, 0, 5]))
    assert torch.equal(labels, same)
    assert all(torch.equal(a, b) for a, b in zip(spikes, other, strict=True))
    with pytest.raises(IndexError, match="recording 6 of 6"):
        dataset[6]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_loader_without_collate_is_told_of_it(workers):
    loader = DataLoader(EventDataset(toy_data(6), toy_network()), batch_size=3, num_workers=workers)
    with pytest.raises(TrainingError, match=r"collate_fn=eventsnn\.torch\.collate"):
        next(iter(loader))


def test_classes_are_matched_by_name(tmp_path):
    write_toy_folder(tmp_path)
    network = toy_network().with_classes(["2", "0", "1"])
    folder = Folder(tmp_path, sensor=SENSOR)
    labels = EventDataset(folder, network).labels
    np.testing.assert_array_equal(labels, np.array([1, 2, 0])[folder.labels])


def test_a_list_of_pairs_as_tonic_has_it():
    source = toy_data(4)
    pairs = [source[k] for k in range(4)]
    assert_equal(read(EventDataset(pairs, toy_network())), read(EventDataset(source, toy_network())))


def test_data_that_do_not_fit():
    with pytest.raises(TrainingError, match="the data set: its sensor is"):
        EventDataset(toy_data(4), es.Network(es.Input(3), es.Dense(3), seed=1))
    with pytest.raises(TrainingError, match="network must be a Network"):
        EventDataset(toy_data(4), "network")


def test_training_in_a_fork_after_the_parent_has_used_its_threads():
    """A forked process has none of the threads of its parent, and makes its own."""
    import multiprocessing

    module = SpikingNetwork(toy_network(), threads=2)
    spikes, _ = collate(EventDataset(toy_data(4), toy_network()).__getitems__([0, 1, 2]))
    expected = module(spikes).detach()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child():
        sender.send(module(spikes).detach().tolist())

    process = context.Process(target=child)
    process.start()
    assert receiver.poll(60)
    assert receiver.recv() == expected.tolist()
    process.join()
