"""The dialects against the programs' own recurrences, and readings against NIR's equations.

Oracles are written from the equations in NIR's documentation and the programs' sources, not from our code.
"""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from eventsnn import simulate
from eventsnn.errors import NetworkError
from eventsnn.model import Dense, Input, Network

nir = pytest.importorskip("nir")

from eventsnn.model.nir import export_network, import_network  # noqa: E402

NEURONS = [(64.0, 8.0), (5.0, 20.0), (10.0, 10.0)]


def potential(t: np.ndarray, tau_m: float, tau_s: float) -> np.ndarray:
    """u after one spike of weight 1 at 0: of du/dt = -u / tau_m + I / tau_s, I = exp(-t / tau_s)."""
    if tau_m == tau_s:
        return t / tau_m * np.exp(-t / tau_m)
    return (np.exp(-t / tau_m) - np.exp(-t / tau_s)) / (1.0 - tau_s / tau_m)


def snntorch(node, dt, steps):
    """`import_nir.py` and `Synaptic.forward` of snnTorch 1.0.0."""
    assert np.allclose(node.r, node.tau_mem / dt)
    alpha, beta = 1 - dt / node.tau_syn[0], 1 - dt / node.tau_mem[0]
    threshold = node.v_threshold[0] / (node.w_in[0] * dt / node.tau_syn[0])
    syn = mem = 0.0
    for n in range(steps):
        syn = alpha * syn + (n == 0)
        mem = beta * mem + syn
        yield mem / threshold


def norse(node, dt, steps):
    """`import_nir.py`, `li_box_feed_forward_step` and `lif_box_feed_forward_step` of Norse 1.1.0."""
    i = v = 0.0
    for n in range(steps):
        i = i + dt / node.tau_syn[0] * (node.v_leak[0] - i + node.w_in[0] * (n == 0))
        v = v + dt / node.tau_mem[0] * (node.r[0] * i + node.v_leak[0] - v)
        yield v / node.v_threshold[0]


def rockpool(node, dt, steps):
    """`from_nir` and `LIFTorch.forward` of Rockpool."""
    assert node.tau_mem[0] / (1 + node.r[0]) == pytest.approx(dt)
    isyn = vmem = 0.0
    for n in range(steps):
        isyn = (isyn + (n == 0)) * math.exp(-dt / node.tau_syn[0])
        vmem = vmem * math.exp(-dt / node.tau_mem[0]) + isyn + node.v_leak[0]
        yield vmem / node.v_threshold[0]


def spyx(node, dt, steps):
    """`_build_model` and `CuBaLIF` of Spyx."""
    current = v = 0.0
    for n in range(steps):
        current = (1 - dt / node.tau_syn[0]) * current + (n == 0)
        v = (1 - dt / node.tau_mem[0]) * v + current
        yield v / node.v_threshold[0]


PROGRAMS = {
    "snntorch": (snntorch, 1e-4),
    "norse": (norse, 1e-3),
    "rockpool": (rockpool, 1e-3),
    "spyx": (spyx, 1e-3),
}


@pytest.mark.parametrize("dialect", PROGRAMS)
@pytest.mark.parametrize(("tau_m", "tau_s"), NEURONS)
def test_potentials_are_ours_at_every_step(dialect: str, tau_m: float, tau_s: float) -> None:
    """v / threshold at the end of step n is u / threshold at the time (n + 1) dt, to rounding."""
    program, dt = PROGRAMS[dialect]
    layer = Dense(1, tau_m=tau_m, tau_s=tau_s, threshold=3.0, refractory=0.0, name="output")
    graph, _ = export_network(Network(Input(1), layer, weights={"output": np.ones((1, 1))}), dialect)
    assert graph.nodes["output_in"].weight.tolist() == [[1.0]]
    v = np.array(list(program(graph.nodes["output"], dt, 300)))
    assert v == pytest.approx(potential(np.arange(1, 301) * dt * 1000.0, tau_m, tau_s) / 3.0, rel=1e-9)


@pytest.mark.parametrize("dialect", ["norse", "rockpool"])
def test_resting_potentials_are_reached(dialect: str) -> None:
    layer = Dense(1, tau_m=10.0, tau_s=3.0, threshold=2.0, resting=-1.5, refractory=0.0, name="output")
    graph, _ = export_network(Network(Input(1), layer, weights={"output": np.zeros((1, 1))}), dialect)

    def silent(node, dt, steps):
        kept = node.w_in.copy()
        node.w_in[:] = 0.0
        found = list(PROGRAMS[dialect][0](node, dt, steps))
        node.w_in[:] = kept
        return found

    program = silent if dialect == "norse" else _rockpool_without_input
    assert program(graph.nodes["output"], 1e-3, 400)[-1] == pytest.approx(-0.75, rel=1e-6)


def _rockpool_without_input(node, dt, steps):
    vmem = 0.0
    for _ in range(steps):
        vmem = vmem * math.exp(-dt / node.tau_mem[0]) + node.v_leak[0]
    return [vmem / node.v_threshold[0]]


def nir_spikes(node, weights, times, until):
    """Spike times of one CubaLIF by its equations: in closed form between input spikes, roots to 1e-13.

    tau_syn I' = -I + w_in S, tau_mem v' = (v_leak - v) + r I, S = delta functions; v := v_reset at a spike.
    """
    tau_s, tau_m, r, w_in = (float(getattr(node, name)[0]) for name in ("tau_syn", "tau_mem", "r", "w_in"))
    leak, threshold, reset = (float(getattr(node, name)[0]) for name in ("v_leak", "v_threshold", "v_reset"))

    def v_after(t, v, current):
        rate = 1 / tau_m - 1 / tau_s
        bell = t * np.exp(-t / tau_m) if rate == 0 else (np.exp(-t / tau_s) - np.exp(-t / tau_m)) / rate
        return leak + (v - leak) * np.exp(-t / tau_m) + r * current / tau_m * bell

    v, current, now, spikes = reset, 0.0, 0.0, []
    for time, weight in [*zip(times, weights, strict=True), (until, 0.0)]:
        while True:
            grid = np.linspace(0.0, time - now, 4000)
            above = np.flatnonzero(v_after(grid, v, current)[1:] >= threshold)
            if not above.size:
                v, current = v_after(time - now, v, current), current * math.exp((now - time) / tau_s)
                break
            at = brentq(
                lambda t, *state: v_after(t, *state) - threshold,
                grid[above[0]],
                grid[above[0] + 1],
                (v, current),
                xtol=1e-14,
            )
            v, current, now = reset, current * math.exp(-at / tau_s), now + at
            spikes.append(now)
        now = time
        current += w_in / tau_s * weight
    return np.array(spikes)


FORMS = {
    "r = 1, ms": dict(tau_mem=20.0, tau_syn=5.0, r=1.0, w_in=5.0, v_leak=0.0, v_threshold=0.1, v_reset=0.0),
    "any r and w_in, s": dict(
        tau_mem=0.02, tau_syn=0.007, r=3.0, w_in=0.4, v_leak=-0.3, v_threshold=20.0, v_reset=0.0
    ),
    "reset below 0": dict(
        tau_mem=12.0, tau_syn=12.0, r=2.0, w_in=4.0, v_leak=-0.5, v_threshold=-0.2, v_reset=-0.5
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_parameters_gives_the_spikes_of_the_equations(form: str) -> None:
    node = nir.CubaLIF(**{name: np.array([value]) for name, value in FORMS[form].items()})
    unit = 1000.0 if form.endswith(" s") else 1.0
    generator = np.random.default_rng(5)
    times = np.sort(generator.uniform(0.0, 60.0, 12)) / unit
    weights = generator.uniform(0.3, 1.0, 12)
    expected = nir_spikes(node, weights, times, 100.0 / unit) * unit
    assert len(expected) > 2
    graph = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([12])}),
            "in": nir.Linear(weights[None, :]),
            "neuron": node,
            "output": nir.Output({"output": np.array([1])}),
        },
        [("input", "in"), ("in", "neuron"), ("neuron", "output")],
    )
    found = import_network(graph)
    run = simulate(found.network, (times * unit, np.arange(12)), t_stop=100.0)
    # Input times are rounded by the unit; spikes follow them.
    assert run.output.times == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("dialect", ["portable", "snntorch"])
def test_biases_keep_their_mean(dialect: str) -> None:
    """A constant input of the mean of the bias neuron's spikes, and back: spikes at every step or ms."""
    network = Network(Input(1, bias_interval=4.0), Dense(2, name="output", refractory=0.0), seed=1)
    graph, losses = export_network(network, dialect)
    assert any(loss.startswith("biases") for loss in losses)
    each = 0.1 if dialect == "snntorch" else 1.0
    biases = network.weights["output"][:, -1].astype(float)
    assert graph.nodes["output_in"].bias == pytest.approx(biases * each / 4.0)
    graph.metadata = {}
    again = import_network(graph, dialect=dialect).network
    assert again.input.bias_interval == pytest.approx(each)
    assert again.weights["output"][:, -1] / each == pytest.approx(biases / 4.0)


def test_neurons_without_a_synaptic_current_jump() -> None:
    """LIF: v jumps by r W / tau at a spike; IF: by r W, and does not leak."""
    for node, weight, decay in (
        (
            nir.LIF(tau=np.array([20.0]), r=np.array([20.0]), v_leak=np.zeros(1), v_threshold=np.ones(1)),
            0.4,
            20.0,
        ),
        (nir.IF(r=np.ones(1), v_threshold=np.ones(1)), 0.4, math.inf),
    ):
        graph = nir.NIRGraph.from_list(nir.Linear(np.array([[weight]])), node)
        found = import_network(graph, unit="ms")
        assert any("the jump at a spike becomes a rise" in loss for loss in found.losses)
        times = np.arange(1, 21) * 3.0
        expected, v, last = [], 0.0, 0.0
        for t in times:
            v, last = v * math.exp((last - t) / decay) + weight, t
            if v > 1.0:
                expected.append(t)
                v = 0.0
        run = simulate(found.network, (times, np.zeros(20, int)), t_stop=70.0)
        assert run.output.times == pytest.approx(expected, abs=0.02)


def test_units_and_dialects_are_found_out() -> None:
    def graph_of(tau: float, r: float):
        node = nir.CubaLIF(*(np.array([x]) for x in (tau, tau, r, 0.0, 1.0, 0.0, 1.0)))
        return nir.NIRGraph.from_list(nir.Linear(np.ones((1, 1))), node)

    assert "times in ms" in import_network(graph_of(20.0, 1.0)).notes[0]
    assert "times in s" in import_network(graph_of(0.02, 1.0)).notes[0]
    assert "times in ms" in import_network(graph_of(0.02, 1.0), unit="ms").notes[0]
    assert "snnTorch" in import_network(graph_of(0.02, 200.0)).notes[0]
    with pytest.raises(NetworkError, match="dialect must be one of"):
        import_network(graph_of(20.0, 1.0), dialect="spyx")
    with pytest.raises(NetworkError, match="unit must be s or ms"):
        import_network(graph_of(20.0, 1.0), unit="us")
