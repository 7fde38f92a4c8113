"""Gradients of the module: exact ones by `gradcheck`, those of counts against sums over pairs of spikes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import eventsnn as es
from eventsnn import HM2BP, EventProp
from eventsnn.model import Readout
from eventsnn.torch import CountLoss, SpikeBatch, SpikingNetwork
from tests.torch.examples import LAYERS, make_network, make_padded
from tests.train import test_gradients as rules

KINDS = (*LAYERS, "recurrent")
READOUTS = ("max", "mean", "weighted")


def check_exactly(module, padded, fast=True):
    """`gradcheck` by all input times, weights and learned constants; `fast`, along random directions."""
    times, neurons, lengths = padded
    names = [name for name, _ in module.named_parameters()]

    def run(times, *values):
        found = torch.func.functional_call(
            module, dict(zip(names, values, strict=True)), ((times, neurons, lengths),)
        )
        return found[torch.isfinite(found)]

    given = [times.clone(), *(each.detach().clone() for each in module.parameters())]
    # Spikes move by about 1e-7 ms and 1e-9 of it is lost to rounding: differences are good to 1e-6.
    assert torch.autograd.gradcheck(
        run, tuple(each.requires_grad_() for each in given), eps=1e-6, atol=1e-5, rtol=1e-4, fast_mode=fast
    )


@pytest.mark.parametrize("output", ["first", "times"])
@pytest.mark.parametrize("kind", KINDS)
def test_spike_times(kind, output):
    module, padded = SpikingNetwork(make_network(kind), output=output, dtype=torch.float64), make_padded()
    found = module(padded)[..., 0] if output == "times" else module(padded)
    assert (found < 62.0).sum() > 3, "most of the output is silent"
    check_exactly(module, padded)


def test_spike_times_derivative_by_derivative():
    check_exactly(
        SpikingNetwork(make_network("dense"), output="times", dtype=torch.float64), make_padded(), fast=False
    )


@pytest.mark.parametrize("value", READOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_readouts(kind, value):
    network = make_network(kind, Readout(3, value=value, tau_weight=35.0, name="output"))
    module, padded = SpikingNetwork(network, dtype=torch.float64), make_padded()
    assert module.output == "readout"
    assert module(padded).abs().min() > 0.0
    check_exactly(module, padded)


@pytest.mark.parametrize("value", READOUTS)
def test_a_readout_of_the_input_itself(value):
    network = make_network("dense", Readout(3, value=value, name="output"))
    network = type(network)(network.input, network.output, seed=3, settings=network.settings)
    check_exactly(SpikingNetwork(network, dtype=torch.float64), make_padded())


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize("name", ["dense", "padding", "conv, pool, dense"])
def test_counts_have_the_gradients_of_hm2bp(name, rule):
    """By the same oracle as training: sums over pairs of spikes, written from the paper."""
    network, labels, options = rules.make_network(name), (0, 2), rules.RULES[rule]
    samples = rules.make_samples(len(labels))
    module = SpikingNetwork(network, rule=options, dtype=torch.float64, threads=1)
    flat = [np.concatenate(each) for each in zip(*samples, strict=True)]
    ptr = np.cumsum([0, *(len(times) for times, _ in samples)])
    counts = module(SpikeBatch(*map(torch.from_numpy, (*flat, ptr))), torch.tensor(labels))
    if options.head == "softmax":
        loss = torch.nn.CrossEntropyLoss()
    else:
        loss = CountLoss(options.desired, options.undesired, options.margin)
    loss(counts, torch.tensor(labels)).backward()
    trains = rules.learn_exact(network, samples, labels, options)[1]
    expected, _ = rules.expect(network, trains, labels, options, clock=False)
    for key, exact in expected.items():
        block = module.weights[key].grad.numpy() * len(labels)  # of the mean loss
        layer = {str(each.name): each for each in network.layers}[key]
        found = layer.own_weights(block.transpose(0, 2, 1).reshape(-1, block.shape[1])[: layer.channels])
        largest = np.abs(exact).max()
        assert largest > 1e-3
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-14 * largest, err_msg=key)


def test_on_a_clock_counts_and_gradients_are_those_of_training():
    from dataclasses import replace

    network = rules.make_network("dense")
    labels, options = (0, 2), rules.RULES["defaults"]
    samples = rules.make_samples(len(labels), whole=True)
    found, trains = rules.learn_clock(network, samples, labels, options)
    module = SpikingNetwork(
        network.with_settings(replace(network.settings, engine="clocked", step_ms=1.0)), rule=options
    )
    flat = [np.concatenate(each) for each in zip(*samples, strict=True)]
    ptr = np.cumsum([0, *(len(times) for times, _ in samples)])
    counts = module(SpikeBatch(*map(torch.from_numpy, (*flat, ptr))))
    np.testing.assert_array_equal(counts.detach(), [np.bincount(t[-1][1], minlength=4) for t in trains])
    CountLoss(options.desired, options.undesired, options.margin)(counts, torch.tensor(labels)).backward()
    gradient = 2.0 * module.weights["output"].grad.numpy()[0, :, :4].T
    np.testing.assert_allclose(gradient, found["output"], rtol=1e-5, atol=1e-5 * np.abs(gradient).max())


def silent_output(network, neuron):
    weights = {key: np.array(each, float) for key, each in network.weights.items()}
    weights["output"][neuron] = -np.abs(weights["output"][neuron])
    return network.with_weights(weights)


def test_a_silent_neuron_that_is_to_fire_earlier_is_pulled_up():
    """Its gradient is minus ``silent_label`` for each source that fired, as of a mean over two recordings."""
    network, padded = silent_output(make_network("dense"), 1), make_padded()
    rule = EventProp(silent_label=0.3, silent_hidden=0.0, silent_after=7.0)
    module = SpikingNetwork(network, rule=rule, dtype=torch.float64)
    first = module(padded)
    assert first[:, 1].tolist() == [69.0, 69.0]
    first[0, 1].backward()
    times, neurons = (each[0].numpy() for each in padded[:2])
    order = np.argsort(times)
    fired = es.simulate(network, (times[order], neurons[order]))["hidden"].counts > 0
    expected = torch.zeros(9, 3, dtype=torch.float64)
    expected[:, 1] = -0.3 * torch.from_numpy(fired) / 2
    assert expected.any()
    torch.testing.assert_close(module.weights["output"].grad[0, :, :3], expected)


def test_counts_of_zero_are_not_pushed_down():
    network = make_network("dense")
    for neuron in range(3):
        network = silent_output(network, neuron)
    module = SpikingNetwork(network)
    module(make_padded()).sum().backward()
    assert not module.weights["output"].grad.any()


def test_counts_have_no_gradient_by_input_times():
    module, (times, neurons, lengths) = SpikingNetwork(make_network("dense"), rule=HM2BP()), make_padded()
    counts = module((times.requires_grad_(), neurons, lengths))
    with pytest.raises(ValueError, match="counts have no derivative by the times of input spikes: choose"):
        counts.sum().backward()
