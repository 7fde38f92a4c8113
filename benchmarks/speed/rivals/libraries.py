"""snnTorch, SpikingJelly and Norse in their best form for this network.

All steps of the first linear map are one matrix product; time is a loop of our own over `unbind`, as
indexing x[t] in it (what SpikingJelly's and Norse's multi-step layers do) makes the backward pass quadratic
in the steps. Thresholds are 1; weights are scaled so that all of them are the same network, up to what a
library fixes: Norse integrates by Euler, each has the surrogate gradient it has by default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

LEARNING_RATES = {"snnTorch": 3e-5, "SpikingJelly": 3e-5, "Norse": 3e-5}


class Net(torch.nn.Module):
    """Linear, neuron, linear, neuron; `forward` returns output spike counts (batch, outputs)."""

    def __init__(self, weights: Sequence[np.ndarray], rate: float) -> None:
        super().__init__()
        self.linears = torch.nn.ModuleList()
        for w in weights:
            linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(np.array(w, np.float32)))
            self.linears.append(linear)
        self.optimiser = torch.optim.Adam(self.parameters(), lr=rate, fused=True)

    def start(self) -> Any:
        """States of both layers."""
        raise NotImplementedError

    def step(self, layer: int, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """One step of a layer: spikes and the state after it."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = [self.start(), self.start()]
        total: torch.Tensor | float = 0.0
        for x_t in self.linears[0](x).unbind(0):
            hidden, states[0] = self.step(0, x_t, states[0])
            out, states[1] = self.step(1, self.linears[1](hidden), states[1])
            total = total + out
        return total


class SnnTorch(Net):
    """snntorch.Synaptic, reset to zero in the same step."""

    def __init__(self, weights: Sequence[np.ndarray], rate: float, tau_m: float, tau_s: float) -> None:
        import snntorch

        super().__init__(weights, rate)
        decays = {"alpha": math.exp(-1 / tau_s), "beta": math.exp(-1 / tau_m)}
        self.neurons = torch.nn.ModuleList(
            snntorch.Synaptic(**decays, threshold=1.0, reset_mechanism="zero", reset_delay=False)
            for _ in weights
        )

    def start(self) -> Any:
        return None

    def step(self, layer: int, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        neuron = self.neurons[layer]
        current, u = neuron.init_synaptic() if state is None else state
        spikes, current, u = neuron(x, current, u)
        return spikes, (current, u)


class SpikingJelly(Net):
    """CUBALIFNode, one step at a time."""

    def __init__(self, weights: Sequence[np.ndarray], rate: float, tau_m: float, tau_s: float) -> None:
        from spikingjelly.activation_based import functional, neuron, surrogate

        super().__init__(weights, rate)
        self.forget = functional.reset_net
        self.neurons = torch.nn.ModuleList(
            neuron.CUBALIFNode(
                c_decay=math.exp(-1 / tau_s),
                v_decay=math.exp(-1 / tau_m),
                v_threshold=1.0,
                surrogate_function=surrogate.ATan(),
            )
            for _ in weights
        )

    def start(self) -> Any:
        self.forget(self)
        return None

    def step(self, layer: int, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        return self.neurons[layer](x), None


class Norse(Net):
    """LIFCell; it adds I / tau_m where ours adds I / tau_s, hence the factor of the weights."""

    def __init__(self, weights: Sequence[np.ndarray], rate: float, tau_m: float, tau_s: float) -> None:
        import norse.torch as norse

        super().__init__([w * tau_m for w in weights], rate * tau_m)
        inverse = {"tau_mem_inv": 1000 / tau_m, "tau_syn_inv": 1000 / tau_s}
        parameters = norse.LIFParameters(**{name: torch.tensor(value) for name, value in inverse.items()})
        self.neurons = torch.nn.ModuleList(norse.LIFCell(parameters, dt=0.001) for _ in weights)

    def start(self) -> Any:
        return None

    def step(self, layer: int, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        spikes, state = self.neurons[layer](x, state)
        return spikes, state


NETS = {"snnTorch": SnnTorch, "SpikingJelly": SpikingJelly, "Norse": Norse}


def make(name: str, network: Any, job: Any) -> Net:
    """A library's network with the weights of ours, divided by tau_s and the threshold."""
    pairs = zip(network.names, job.thresholds, strict=True)
    weights = [network.weights[layer] / (job.tau_s * nu) for layer, nu in pairs]
    rate = LEARNING_RATES[name] if job.learning_rate is None else job.learning_rate
    return NETS[name](weights, rate, job.tau_m, job.tau_s)


def make_batch(
    recordings: Sequence[tuple[np.ndarray, np.ndarray]], labels: Sequence[int], bins: int, n_inputs: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts of events (bins, batch, inputs), dense, and labels."""
    dense = np.zeros((bins, len(recordings), n_inputs), np.float32)
    for k, (step, neuron) in enumerate(recordings):
        counts = np.bincount(step.astype(np.int64) * n_inputs + neuron, minlength=bins * n_inputs)
        dense[:, k] = counts.reshape(bins, n_inputs)
    return torch.from_numpy(dense), torch.as_tensor(np.asarray(labels, np.int64))


@torch.no_grad()
def infer(net: Net, x: torch.Tensor) -> np.ndarray:
    """Output spike counts (batch, outputs)."""
    return net(x).numpy()


def train_step(net: Net, x: torch.Tensor, labels: torch.Tensor) -> float:
    """One step of Adam on the mean cross-entropy of the counts; the loss."""
    net.optimiser.zero_grad()
    loss = F.cross_entropy(net(x), labels)
    loss.backward()
    net.optimiser.step()
    return float(loss.detach())
