"""The module as PyTorch's users know modules: parameters, state, types, copies, errors."""

from __future__ import annotations

import copy
import io
import pickle
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import eventsnn as es
from eventsnn import HM2BP, EventProp
from eventsnn.errors import EventSNNError, SimulationError, TrainingError
from eventsnn.model import Connection, Dense, Input, Network, Readout, Reservoir
from eventsnn.torch import CountLoss, SpikingNetwork
from tests.torch.examples import LAYERS, make_network, make_padded, recordings
from tests.train.toy import toy_network

KINDS = (*LAYERS, "recurrent")


def learn(module, steps=3):
    """A few steps of Adam; the loss of each."""
    data, labels = recordings()
    optimiser, losses = torch.optim.Adam(module.parameters(), lr=0.05), []
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(module(data), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def sparse_network():
    layers = Dense(40, threshold=1.0), Dense(3, threshold=1.0)
    inner = Connection("hidden", "hidden", probability=0.2, delay=1.0)
    return Network(Input(6, 5, 2), *layers, connections=[inner], seed=2)


NETWORKS = {
    "chain": lambda: toy_network(threshold=0.3),
    "sparse, recurrent": sparse_network,
    "learned constants": lambda: toy_network(lateral_inhibition=0.0, threshold=0.3).replace(
        "output", learn=("tau_m",)
    ),
}


@pytest.fixture(params=NETWORKS)
def module(request):
    network = NETWORKS[request.param]()
    return SpikingNetwork(network, output="first" if "constants" in request.param else None)


def test_what_comes_out_is_what_the_simulation_says(module):
    learn(module)
    data, _ = recordings()
    network, found = module.to_network(), module(data)
    assert found.detach().numpy().any()
    for stream, row in zip(data, found.detach().numpy(), strict=True):
        end = float(stream.events["t"][-1]) / 1000.0
        record = es.simulate(
            network, stream, dtype="float32", t_stop=end if network.is_recurrent else None
        ).output
        if module.output == "counts":
            np.testing.assert_array_equal(row, record.counts)
        else:
            first = [min(record.of(k), default=end + 10.0) for k in range(3)]
            np.testing.assert_allclose(row, first, atol=1e-4)


@pytest.mark.parametrize("output", ["counts", "first", "times"])
@pytest.mark.parametrize("kind", ["dense", "conv, pool"])
def test_outputs(kind, output):
    network, (times, neurons, lengths) = make_network(kind), make_padded()
    found = SpikingNetwork(network, output=output, dtype=torch.float64)((times, neurons, lengths))
    for k, n in enumerate(lengths.tolist()):
        t, sources = times[k, :n].numpy(), neurons[k, :n].numpy()
        order = np.lexsort((sources, t))
        spikes = es.simulate(network, (t[order], sources[order]), engine="twin").output
        for neuron in range(3):
            train, row = spikes.of(neuron), found[k, neuron].detach().numpy()
            if output == "counts":
                assert row == len(train)
            elif output == "first":
                assert row == pytest.approx(train[0] if len(train) else 72.0, abs=1e-9)
            else:
                np.testing.assert_allclose(row[: len(train)], train, atol=1e-9)
                assert np.isinf(row[len(train) :]).all()


def test_parameters_are_the_memory_that_kernels_read(module):
    for key, block in module._model.blocks.items():
        parameter = module.weights[key]
        assert parameter.data_ptr() == block.ctypes.data
        with torch.no_grad():
            parameter.mul_(2.0)
        assert np.shares_memory(parameter.detach().numpy(), block)
    before = module.state_dict()
    learn(module, 1)
    after = module.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    for key, block in module._model.blocks.items():
        assert module.weights[key].data_ptr() == block.ctypes.data


def test_names_and_shapes_of_the_state():
    module = SpikingNetwork(make_network("recurrent"), output="first")
    shapes = {name: tuple(each.shape) for name, each in module.state_dict().items()}
    assert shapes == {
        "weights.hidden": (9, 12),
        "weights.output": (3, 9),
        "weights.hidden->hidden": (9, 9),
        "weights.input->output": (3, 12),
        "constants.hidden->hidden/delay": (),
    }
    assert [tuple(module.weights[key].shape) for key in module.weights] == [
        (1, 12, 32),
        (1, 9, 32),
        (1, 9, 32),
        (1, 12, 32),
    ]
    assert module.weight("input->output").shape == (3, 12)
    network = module.to_network()
    for key in network.weights:
        np.testing.assert_array_equal(module.weight(key).detach(), network.weights[key])
        np.testing.assert_array_equal(module.state_dict()[f"weights.{key}"], network.weights[key])


def test_names_of_layers_may_be_those_of_methods():
    network = Network(Input(4), Dense(5, name="train"), Dense(3, name="a.b"), seed=1)
    module = SpikingNetwork(network)
    assert sorted(name for name, _ in module.named_parameters()) == ["weights.a_b", "weights.train"]
    other = SpikingNetwork(network.with_weights({k: 0.0 * w for k, w in network.weights.items()}))
    other.load_state_dict(module.state_dict())
    np.testing.assert_array_equal(other.to_network().weights["a.b"], network.weights["a.b"])
    assert other.train() is other


def assert_same(one, two):
    data, _ = recordings()
    assert torch.equal(one(data), two(data))
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_state_dict_there_and_back(module):
    start = copy.deepcopy(module)
    learn(module)
    state = {name: each.clone() for name, each in module.state_dict().items()}
    assert any(not torch.equal(each, start.state_dict()[name]) for name, each in state.items())
    for assign in (False, True):
        other = copy.deepcopy(start)
        assert not other.load_state_dict(state, assign=assign).missing_keys
        assert_same(module, other)
        learn(other, 1)  # what it has loaded is what its kernels read
        assert not torch.equal(next(iter(other.state_dict().values())), next(iter(state.values())))


def test_a_state_that_does_not_fit_is_refused():
    module = SpikingNetwork(toy_network())
    state = module.state_dict()
    with pytest.raises(RuntimeError, match=r"Missing key.*weights.output"):
        module.load_state_dict({"weights.hidden": state["weights.hidden"]})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*weights.more"):
        module.load_state_dict({**state, "weights.more": torch.zeros(1)})
    with pytest.raises(RuntimeError, match=r"weights.hidden has shape \(2, 2\), here it is \(40, 60\)"):
        module.load_state_dict({**state, "weights.hidden": torch.zeros(2, 2)})


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_copies(module, how):
    learn(module)
    if how == "deepcopy":
        other = copy.deepcopy(module)
    elif how == "pickle":
        other = pickle.loads(pickle.dumps(module))
    else:
        file = io.BytesIO()
        torch.save(module, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    assert_same(module, other)
    before = {name: each.clone() for name, each in module.state_dict().items()}
    learn(other, 1)
    for name, each in module.state_dict().items():
        assert torch.equal(each, before[name])
    assert any(not torch.equal(each, before[name]) for name, each in other.state_dict().items())


def test_double_and_back():
    module = SpikingNetwork(toy_network())
    state, (data, _) = module.state_dict(), recordings()
    parameters = list(module.parameters())
    module(data).sum().backward()
    outer = torch.nn.Sequential(module).double()
    assert module.dtype == module(data).dtype == torch.float64
    assert list(module.parameters()) == parameters  # an optimiser that has them keeps them
    assert all(each.dtype == each.grad.dtype == torch.float64 for each in parameters)
    outer.float()
    assert module.dtype == torch.float32
    assert all(torch.equal(each, state[name]) for name, each in module.state_dict().items())
    learn(module)


def test_double_keeps_learned_constants():
    module = SpikingNetwork(make_network("learned constants"), output="first")
    with torch.no_grad():
        module.constants["hidden/tau_m"].fill_(0.5)
    module.double()
    tau = make_network("learned constants").layers[0].tau_m
    assert module.to_network().layers[0].tau_m == pytest.approx(tau * np.exp(0.5))
    assert module.constants["hidden/tau_m"].dtype == torch.float64


@pytest.mark.parametrize(
    ("move", "text"),
    [
        (lambda m: m.cuda(), "runs on the CPU only"),
        (lambda m: m.to("cuda"), "runs on the CPU only"),
        (lambda m: torch.nn.Sequential(torch.nn.Linear(2, 2), m).to("meta"), "cannot be moved to meta"),
        (lambda m: m.half(), "dtype must be 'float32' or 'float64', got 'float16'"),
        (lambda m: m.to(torch.bfloat16), "dtype must be 'float32' or 'float64'"),
        (lambda m: m.share_memory(), "cannot be shared among processes"),
    ],
)
def test_what_it_cannot_be(move, text):
    with pytest.raises(SimulationError, match=text):
        move(SpikingNetwork(toy_network()))


def test_learned_constants_stay_where_they_can_be():
    module = SpikingNetwork(make_network("learned constants"), output="first")
    with torch.no_grad():
        module.constants["hidden/delay"].fill_(-5.0)
        module.constants["hidden/tau_s"].fill_(50.0)
    layer = module.to_network().layers[0]
    assert (layer.delay, layer.tau_s) == (0.0, pytest.approx(50.0))  # ten times as large at most
    module(make_padded())


def test_stand_ins_leave_the_parameters_alone():
    module = SpikingNetwork(toy_network())
    state, (data, _) = module.state_dict(), recordings()
    found = module(data)
    other = {name: 3.0 * each.detach() for name, each in module.named_parameters()}
    assert not torch.equal(torch.func.functional_call(module, other, (data,)), found)
    assert torch.equal(module(data), found)
    assert all(torch.equal(each, state[name]) for name, each in module.state_dict().items())


def test_memory_that_was_exchanged_is_taken_back():
    module = SpikingNetwork(toy_network())
    weights = module.weights["hidden"]
    weights.data = 2.0 * weights.data
    assert torch.equal(module.weight("hidden"), 2.0 * torch.tensor(toy_network().weights["hidden"]))
    data, _ = recordings()
    module(data)
    assert weights.data_ptr() == module._model.blocks["hidden"].ctypes.data
    vector = torch.nn.utils.parameters_to_vector(module.parameters())
    torch.nn.utils.vector_to_parameters(0.5 * vector, module.parameters())
    np.testing.assert_array_equal(module.to_network().weights["hidden"], toy_network().weights["hidden"])


def test_padding_does_not_fire():
    module, (data, _) = SpikingNetwork(toy_network()), recordings()
    found = module(data)
    with torch.no_grad():
        module.weights["output"][:, :, 3:] = 100.0
    assert torch.equal(module(data), found)


def test_weights_changed_before_the_way_back_are_an_error():
    module, (data, _) = SpikingNetwork(toy_network()), recordings()
    loss = module(data).sum()
    with torch.no_grad():
        module.weights["hidden"].mul_(1.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_frozen_weights_have_no_gradient(module):
    module.weights["hidden"].requires_grad_(False)
    data, labels = recordings()
    torch.nn.functional.cross_entropy(module(data), labels).backward()
    assert module.weights["hidden"].grad is None
    assert module.weights["output"].grad is not None


def test_gradients_add_up_over_mini_batches():
    module, (data, labels) = SpikingNetwork(toy_network(), dtype=torch.float64), recordings()
    loss = torch.nn.CrossEntropyLoss(reduction="sum")
    loss(module(data), labels).backward()
    whole = module.weights["hidden"].grad.clone()
    module.zero_grad()
    for part in (slice(0, 2), slice(2, 6)):
        loss(module(data[part]), labels[part]).backward()
    torch.testing.assert_close(module.weights["hidden"].grad, whole, rtol=1e-12, atol=1e-12)


def test_same_bits_for_any_number_of_threads():
    states = []
    for threads in (1, 3):
        module = SpikingNetwork(toy_network(), threads=threads)
        learn(module)
        states.append(module.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_dropout_in_training_only():
    network = toy_network().replace("hidden", dropout=0.5)
    module, (data, _) = SpikingNetwork(network), recordings()
    np.testing.assert_array_equal(module.to_network().weights["output"], network.weights["output"])
    module.eval()
    plain = SpikingNetwork(toy_network())
    assert torch.equal(module(data), plain(data))
    module.train()
    torch.manual_seed(5)
    first, second = module(data), module(data)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(module(data), first)
    first.sum().backward()
    learn(module)
    module.eval()
    assert torch.equal(module(data), SpikingNetwork(module.to_network()).eval()(data))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"output": "spikes"}, "output must be one of counts, first, times, readout, got 'spikes'"),
        ({"output": "readout"}, "output 'readout' cannot be had: layer 'output' fires"),
        ({"output": "counts", "rule": EventProp()}, "'counts' needs a rule of errors of counts"),
        ({"output": "times", "rule": HM2BP()}, "'times' needs a rule of exact derivatives"),
        ({"rule": HM2BP(weight_decay=0.1)}, "penalties of weights belong to PyTorch's optimiser"),
        ({"rule": "hm2bp"}, "rule must be a Rule"),
        ({"dtype": torch.float16}, "got 'float16'"),
        ({"threads": 0}, "threads"),
    ],
)
def test_arguments_that_make_no_sense(change, text):
    with pytest.raises(EventSNNError, match=text):
        SpikingNetwork(toy_network(), **change)


def test_networks_that_cannot_be_trained_so():
    with pytest.raises(TrainingError, match="is a readout, which never fires; leave output out"):
        SpikingNetwork(Network(Input(4), Readout(3), seed=1), output="counts")
    with pytest.raises(TrainingError, match="trains weights alone, and layer 'hidden' is to learn delay"):
        SpikingNetwork(make_network("learned constants"))
    clocked = toy_network().with_settings(replace(toy_network().settings, engine="clocked", step_ms=1.0))
    with pytest.raises(EventSNNError, match="float32"):
        SpikingNetwork(clocked, dtype=torch.float64)


def test_behind_a_reservoir():
    layers = Reservoir(grid=(3, 3, 5)), Dense(3, threshold=1.0)
    module = SpikingNetwork(Network(Input(6, 5, 2), *layers, seed=1), output="first")
    learn(module)
    times, neurons, lengths = make_padded()
    with pytest.raises(SimulationError, match="do not go back through a reservoir"):
        module((times.requires_grad_(), neurons, lengths))


def test_count_loss_is_that_of_the_head():
    rule = HM2BP(desired=8, undesired=1, margin=1.0)
    rng = np.random.default_rng(0)
    counts, labels = rng.integers(0, 12, (5, 3)), rng.integers(0, 3, 5)
    losses, derivatives = rule.losses(counts, labels)
    given = torch.tensor(counts, dtype=torch.float64, requires_grad=True)
    loss = CountLoss(8, 1, 1.0)(given, torch.from_numpy(labels))
    loss.backward()
    assert loss.item() == pytest.approx(losses.mean())
    np.testing.assert_allclose(given.grad * 5, derivatives)


def test_it_shows_what_it_is():
    text = repr(SpikingNetwork(toy_network()))
    assert "60-40-3" in text
    assert "output='counts', rule=HM2BP, torch.float32" in text
