"""Reading ahead: the same items in the same order, and the same bits."""

from __future__ import annotations

import threading

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader

import eventsnn as es
from eventsnn.errors import SimulationError
from eventsnn.torch import CountLoss, EventDataset, SpikingNetwork, collate
from eventsnn.torch.batch import ReadyBatch
from tests.torch.examples import make_network
from tests.train.toy import toy_data, toy_network


def make_loader(network: es.Network, n: int = 22, **options) -> DataLoader:
    dataset = EventDataset(toy_data(n), network, augmentation=es.Augmentation(shift=1, drop=0.1))
    generator = torch.Generator().manual_seed(3)
    return DataLoader(dataset, 5, shuffle=True, collate_fn=collate, generator=generator, **options)


def train(network: es.Network, ahead: bool, threads: int, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(7)
    module, loss = SpikingNetwork(network, threads=threads), CountLoss(4, 1, 0)
    loader = make_loader(network, **options)
    adam = torch.optim.Adam(module.parameters(), lr=0.01)
    for epoch in range(3):
        loader.dataset.set_epoch(epoch)
        for spikes, labels in module.read_ahead(loader) if ahead else loader:
            adam.zero_grad()
            loss(module(spikes, labels), labels).backward()
            adam.step()
    return module.state_dict()


def assert_same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("threads", [1, 2])
def test_changes_no_bit(threads):
    network = toy_network()
    assert_same(train(network, True, threads), train(network, False, threads))
    assert not torch.equal(*(next(iter(train(network, True, 1, n=n).values())) for n in (22, 21)))


def test_changes_no_bit_with_dropout():
    """Neurons are drawn from PyTorch's generator, which shuffling must not share with another thread."""
    layers = es.Dense(12, threshold=1.0, dropout=0.4), es.Dense(3, threshold=1.0)
    network = es.Network(es.Input(6, 5, 2), *layers, seed=2)
    assert_same(train(network, True, 2), train(network, False, 2))


def test_changes_no_bit_with_workers():
    network = toy_network()
    options = {"num_workers": 1, "multiprocessing_context": "fork"}
    assert_same(train(network, True, 2, **options), train(network, False, 2))


def batches(module: SpikingNetwork, loader: DataLoader) -> list[ReadyBatch]:
    return [spikes for spikes, _ in module.read_ahead(loader)]


def test_batches_are_made_ready_for_their_network_as_it_is():
    network = toy_network()
    module = SpikingNetwork(network, threads=2)
    first = batches(module, make_loader(network))[0]
    assert first.is_ready(module._model.packed)
    assert first.prepared.prepared is not None
    plain = module(es.torch.SpikeBatch(*first))
    assert torch.equal(module(first), plain)
    module.double()  # other tables
    assert not first.is_ready(module._model.packed)
    assert torch.equal(module(first), plain.double())
    rebuilt = type(first)(*(each.clone() for each in first))  # as Lightning does
    assert torch.equal(module(rebuilt), plain.double())


def test_a_batch_that_is_changed_later_is_used_as_it_is_then():
    network = toy_network()
    module = SpikingNetwork(network, threads=2)
    first = batches(module, make_loader(network))[0]
    first.times.mul_(3.0)
    assert torch.equal(module(first), module(es.torch.SpikeBatch(*first)))
    first.neurons[0] = network.input.neurons
    with pytest.raises(SimulationError, match="input neuron"):
        module(first)


def test_derivatives_by_times_of_a_ready_batch():
    network = make_network("dense")
    module = SpikingNetwork(network, output="first", threads=2).double()
    times = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64, requires_grad=True)
    batch = es.torch.SpikeBatch(times, torch.tensor([0, 3, 5], dtype=torch.int32), torch.tensor([0, 3]))
    found = []
    for (ready,) in module.read_ahead([(batch,)]):
        module(ready).sum().backward()
        found.append(times.grad.clone())
    times.grad = None
    module(batch).sum().backward()
    assert torch.equal(found[0], times.grad)


def test_items_of_other_forms():
    network = toy_network()
    module = SpikingNetwork(network)
    spikes, labels = next(iter(make_loader(network)))
    items = [spikes, [spikes, labels, "name"], (labels, spikes), (), {"spikes": spikes}, 5]
    found = list(module.read_ahead(items))
    assert isinstance(found[0], ReadyBatch)
    assert type(found[1]) is list
    assert isinstance(found[1][0], ReadyBatch)
    assert found[1][1:] == [labels, "name"]
    assert all(one is other for one, other in zip(found[2:], items[2:], strict=True))


def test_can_be_gone_through_again_and_left():
    network = toy_network()
    module, loader = SpikingNetwork(network), make_loader(network)
    ahead = module.read_ahead(loader)
    assert len(ahead) == len(loader) == 5
    for _ in ahead:
        break
    assert len(list(ahead)) == 5
    assert not [each for each in threading.enumerate() if each.name == "eventsnn-ahead"]


def test_errors_come_in_their_turn():
    network = toy_network()
    module = SpikingNetwork(network)
    good, _ = next(iter(make_loader(network)))
    bad = good._replace(times=-good.times - 1.0)
    seen = []
    with pytest.raises(SimulationError, match="recording 0, spike 0: time -"):
        seen.extend(module.read_ahead([good, good, bad, good]))
    assert len(seen) == 2
    with pytest.raises(SimulationError, match="read_ahead takes a loader"):
        module.read_ahead(5)
