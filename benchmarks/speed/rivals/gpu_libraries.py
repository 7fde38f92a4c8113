"""snnTorch, SpikingJelly and Norse on a card, each in the fastest forms that it offers for this network.

"loop": the nets of libraries.py, one call of the library's neuron per bin, captured in a CUDA graph where the
library allows that. SpikingJelly has fused kernels over all bins too: "LIF" is its own neuron, simpler than
ours (no synaptic filter), "FlexSN" compiles the neuron with the filter. Matrix products in TF32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from speed.rivals.libraries import LEARNING_RATES, NETS

torch.set_float32_matmul_precision("high")

FORMS = {
    "SpikingJelly, fused LIF without synaptic filter": ("SpikingJelly", "lif"),
    "SpikingJelly, fused FlexSN": ("SpikingJelly", "flex"),
    "SpikingJelly, loop": ("SpikingJelly", "loop"),
    "snnTorch, loop": ("snnTorch", "loop"),
    "Norse, loop": ("Norse", "loop"),
}


def make(name: str, network: Any, job: Any) -> torch.nn.Module:
    """The network of a form, on the CPU, with the weights of ours."""
    library, form = FORMS[name]
    pairs = zip(network.names, job.thresholds, strict=True)
    weights = [network.weights[layer] / (job.tau_s * nu) for layer, nu in pairs]
    if form == "loop":
        return NETS[library](weights, LEARNING_RATES[library], job.tau_m, job.tau_s)
    if form == "lif":
        # One impulse charges the filtered neuron by tau_s as much as this one.
        scaled = [w * job.tau_s for w in weights]
        return FusedJelly(scaled, lambda: _make_lif(job.tau_m), LEARNING_RATES[library])
    return FusedJelly(weights, lambda: _make_flex(job.tau_m, job.tau_s), LEARNING_RATES[library])


class FusedJelly(torch.nn.Module):
    """Linear, neuron over all bins, linear, neuron over all bins; returns output spike counts."""

    def __init__(self, weights: Sequence[np.ndarray], neuron: Callable[[], Any], rate: float) -> None:
        from spikingjelly.activation_based import functional

        super().__init__()
        self.forget = functional.reset_net
        self.linears = torch.nn.ModuleList()
        for w in weights:
            linear = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(np.array(w, np.float32)))
            self.linears.append(linear)
        self.neurons = torch.nn.ModuleList(neuron() for _ in weights)
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forget(self)
        for linear, neuron in zip(self.linears, self.neurons, strict=True):
            x = neuron(linear(x))
        return x.sum(0)


def _make_lif(tau_m: float) -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    options = {"decay_input": False, "detach_reset": True, "surrogate_function": surrogate.ATan()}
    made = neuron.LIFNode(tau=tau_m, v_threshold=1.0, step_mode="m", **options)
    # Releases before 2.0 choose their backend by hand; later ones take the fastest by themselves.
    if torch.cuda.is_available() and "cupy" in getattr(made, "supported_backends", ()):
        made.backend = "cupy"
    return made


class _Shared:
    fire: Any = None


def _make_flex(tau_m: float, tau_s: float) -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    a_m, a_s = math.exp(-1 / tau_m), math.exp(-1 / tau_s)
    # FlexSN refuses a function that holds a module, and a surrogate is one.
    _Shared.fire = surrogate.ATan()

    def core(x: Any, current: Any, v: Any) -> Any:
        current = a_s * current + x
        u = a_m * v + current
        spikes = _Shared.fire(u - 1.0)
        return spikes, current, u * (1.0 - spikes.detach())

    return neuron.FlexSN(core, num_states=2, step_mode="m")


def dense(
    events: Sequence[tuple[np.ndarray, np.ndarray]], bins: int, inputs: int, device: str, dtype: torch.dtype
) -> torch.Tensor:
    """Counts of events (bins, recordings, inputs)."""
    size = len(events)
    places = [(step.astype(np.int64) * size + k) * inputs + n for k, (step, n) in enumerate(events)]
    x = torch.zeros(bins * size * inputs, dtype=dtype, device=device)
    at = torch.from_numpy(np.concatenate(places)).to(device)
    x.index_add_(0, at, torch.ones(len(at), dtype=dtype, device=device))
    return x.view(bins, size, inputs)


def put(net: torch.nn.Module, device: str) -> torch.nn.Module:
    """The network on a device, with an Adam whose steps a CUDA graph can hold."""
    rate = getattr(net, "rate", None)
    if rate is None:
        rate = net.optimiser.param_groups[0]["lr"]
    net = net.to(device)
    on_card = device.startswith("cuda")
    net.optimiser = torch.optim.Adam(net.parameters(), lr=rate, fused=True, capturable=on_card)
    return net


def train_step(net: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> None:
    """One step of Adam on the mean cross-entropy of the counts."""
    net.optimiser.zero_grad(set_to_none=False)
    F.cross_entropy(net(x), labels).backward()
    net.optimiser.step()


def capture(do: Callable[[], object]) -> Callable[[], object]:
    """`do` as one CUDA graph; raises if something in it cannot be captured."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            do()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        do()
    replay: Callable[[], object] = graph.replay
    return replay
