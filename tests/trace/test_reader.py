from __future__ import annotations

import copy
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from eventsnn.errors import NetworkError, TraceError
from eventsnn.model import Network
from eventsnn.reference.lif import psp
from eventsnn.trace import Trace, TraceWriter
from eventsnn.trace.record import SpikeRecord

SAMPLE = 1  # of the recorded trace: the fixture `run`
# Recorded as float32.
SINGLE = 1e-6


def brute_force(network: Network, run: SpikeRecord, key: str, post: int, pre: int) -> np.ndarray:
    """S-PSPs of each spike of `post` by the definition: V_j(t) - e^{-(t-r)/tau_m} V_j(r)."""
    projection = next(p for p in network.projections if p.key == key)
    lif = network.layers[projection.target].lif
    source = run["input" if projection.source < 0 else network.names[projection.source]]
    arrivals = source.of(pre) + projection.delay
    times = run[network.names[projection.target]].of(post)
    found = np.array([psp(t - arrivals, lif).sum() for t in times])
    r = times[:-1] + lif.refractory
    found[1:] -= np.exp(-(times[1:] - r) / lif.tau_m) * np.array([psp(at - arrivals, lif).sum() for at in r])
    return found


@pytest.mark.parametrize("key", ["hidden", "middle", "output", "output->hidden", "input->output"])
def test_spsp_is_the_definition(trace_path: Path, network: Network, run: SpikeRecord, key: str) -> None:
    projection = next(p for p in network.projections if p.key == key)
    layer = network.names[projection.target]
    with Trace(trace_path) as trace:
        posts, pres, totals = trace.spsp_total(layer, SAMPLE, projection=key)
        table = {(i, j): e for i, j, e in zip(posts.tolist(), pres.tolist(), totals.tolist(), strict=True)}
        for post in range(network[layer].neurons):
            entries = [
                dict(
                    zip(
                        *(part.tolist() for part in trace.spsp(layer, post, f, SAMPLE, projection=key)),
                        strict=True,
                    )
                )
                for f in range(run[layer].counts[post])
            ]
            for pre in range(0, network.source_size(projection.source), 3):
                expected = brute_force(network, run, key, post, pre)
                found = [entry.get(pre, 0.0) for entry in entries]
                np.testing.assert_allclose(found, expected, rtol=SINGLE, atol=1e-12)
                assert table.get((post, pre), 0.0) == pytest.approx(expected.sum(), rel=SINGLE, abs=1e-12)


def test_lateral_spsp_leaves_the_neuron_itself_out(
    trace_path: Path, network: Network, run: SpikeRecord
) -> None:
    with Trace(trace_path) as trace:
        posts, pres, values = trace.spsp_total("output", SAMPLE, projection="output:lateral")
    assert (posts != pres).all()
    for post, pre, value in zip(posts.tolist(), pres.tolist(), values.tolist(), strict=True):
        assert value == pytest.approx(
            brute_force(network, run, "output:lateral", post, pre).sum(), rel=SINGLE
        )


def test_total_psp_is_threshold_times_count(trace_path: Path, network: Network, run: SpikeRecord) -> None:
    """a_i = sum_j w_ij e_{i|j} over all projections equals nu o_i: u is nu at every spike."""
    with Trace(trace_path) as trace:
        for layer in network.layers:
            name = str(layer.name)
            total = np.zeros(layer.neurons)
            for projection in network.projections:
                if network.names[projection.target] == name:
                    posts, pres, values = trace.spsp_total(name, SAMPLE, projection=projection.key)
                    np.add.at(total, posts, network.projection_weights(projection)[posts, pres] * values)
            np.testing.assert_allclose(total, layer.threshold * run[name].counts, rtol=1e-5)


def test_what_was_not_recorded(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        writer.append(run)
    with Trace(tmp_path / "t.h5") as trace:
        with pytest.raises(
            TraceError, match=r"holds no S-PSPs; record them with record=\('spikes', 'spsp'\)"
        ):
            trace.spsp("output", 0, 0)
        with pytest.raises(
            TraceError, match="holds no membrane potential of layer 'output'; record it with record="
        ):
            trace.potential("output")


def test_only_some_potentials(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    with TraceWriter(
        tmp_path / "t.h5", network, record="potential", potential_layers=["output"], potential_step=40.0
    ) as writer:
        writer.append(run)
    with Trace(tmp_path / "t.h5") as trace:
        potential = trace.potential("output")
        assert np.unique(potential.times[potential.kinds == 0]).tolist() == [0.0, 40.0, 80.0]
        with pytest.raises(TraceError, match="no membrane potential of layer 'hidden'"):
            trace.potential("hidden")


def test_errors(trace_path: Path) -> None:
    with Trace(trace_path) as trace:
        with pytest.raises(
            TraceError, match=r"no projection 'x' into layer 'output'; there are output, input->output"
        ):
            trace.spsp("output", 0, 0, projection="x")
        with pytest.raises(
            TraceError, match="no projection 'input' into layer 'input'; nothing feeds the input"
        ):
            trace.spsp("input", 0, 0)
        with pytest.raises(TraceError, match=r"no sample -1; the trace holds the samples 0\.\.1"):
            trace.spikes("output", -1)
        with pytest.raises(TraceError, match="no layer 'x'"):
            trace.counts("x")


def test_traces_travel_by_their_names(trace_path: Path) -> None:
    with Trace(trace_path) as trace:
        for other in (pickle.loads(pickle.dumps(trace)), copy.copy(trace), copy.deepcopy(trace)):
            with other:
                assert other.path == trace.path
                assert other.samples == trace.samples


def test_silent_neuron(tmp_path: Path, network: Network, run: SpikeRecord) -> None:
    quiet = network.with_weights({key: 0.0 * w for key, w in network.weights.items()})
    empty = {name: type(s)(name, s.size, s.times[:0], s.neurons[:0]) for name, s in run.layers.items()}
    with TraceWriter(tmp_path / "t.h5", quiet) as writer:
        writer.append(SpikeRecord(empty, run.input, run.t_end, run.exit_reason, "queue", "float64"))
    with (
        Trace(tmp_path / "t.h5") as trace,
        pytest.raises(TraceError, match="no spike 0: neuron 1 of 'hidden' stayed silent in sample 0"),
    ):
        trace.spike_time("hidden", 1, 0)


def test_not_a_trace(tmp_path: Path, network: Network) -> None:
    with pytest.raises(TraceError, match=r"a folder, not a file$"):
        Trace(tmp_path)
    with pytest.raises(NetworkError, match=r"a folder, not a file$"):
        Network.load(tmp_path)
    with pytest.raises(TraceError, match=r"missing\.h5: no such file$"):
        Trace(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("spikes")
    with pytest.raises(TraceError, match=r"text\.h5: not an HDF5 file, or a damaged one"):
        Trace(tmp_path / "text.h5")
    network.save(tmp_path / "network.h5")
    with pytest.raises(TraceError, match=r"network\.h5: not an eventsnn trace"):
        Trace(tmp_path / "network.h5")


def test_newer_layout(trace_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.h5"
    path.write_bytes(trace_path.read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["eventsnn_trace"] = 99
    with pytest.raises(
        TraceError, match="written in layout 99; this eventsnn reads up to 3, install a newer one"
    ):
        Trace(path)
