"""Spikes as NIRData: what nir reads back is what the trace holds."""

from pathlib import Path

import numpy as np
import pytest

import eventsnn as es

nir = pytest.importorskip("nir")

from eventsnn.cli.to_nir import export_spikes  # noqa: E402


def test_spikes_are_read_back(tmp_path: Path) -> None:
    network = es.Network(es.Input(4), es.Dense(3, name="output", threshold=1.0), seed=1)
    network = network.with_weights({"output": 5 * abs(network.weights["output"])})
    runs = []
    from eventsnn.trace import TraceWriter

    with TraceWriter(tmp_path / "t.h5", network) as writer:
        for seed in (1, 2):
            generator = np.random.default_rng(seed)
            events = np.sort(generator.uniform(0, 50, 20 * seed)), generator.integers(0, 4, 20 * seed)
            runs.append(es.simulate(network, events))
            writer.append(runs[-1])
    result, text = export_spikes(tmp_path / "t.h5", tmp_path / "spikes.nir")
    assert result["spikes"]["input"] == 60
    assert "input 60" in text
    data = nir.read_data(tmp_path / "spikes.nir")
    assert set(data.nodes) == {"input", "output"}
    spikes = data.nodes["output"].observables["spikes"]
    assert spikes.n_neurons == 3
    assert spikes.idx.shape[0] == 2
    for n, run in enumerate(runs):
        kept = spikes.idx[n] >= 0
        assert spikes.idx[n][kept].tolist() == run.output.neurons.tolist()
        assert spikes.time[n][kept] == pytest.approx(run.output.times / 1000.0, rel=1e-12)
        assert np.isinf(spikes.time[n][~kept]).all()
    assert spikes.t_max == pytest.approx(max(run.output.times[-1] for run in runs) / 1000.0, rel=1e-2)
    export_spikes(tmp_path / "t.h5", tmp_path / "one.nir", layers=("output",), samples=(1,))
    assert nir.read_data(tmp_path / "one.nir").nodes["output"].observables["spikes"].n_samples == 1


def test_a_trace_without_recordings_has_no_spikes(tmp_path: Path) -> None:
    from eventsnn.trace import TraceWriter

    network = es.Network(es.Input(4), es.Dense(3, name="output", threshold=1.0), seed=1)
    TraceWriter(tmp_path / "t.h5", network).close()
    result, _ = export_spikes(tmp_path / "t.h5", tmp_path / "none.nir")
    assert result["spikes"] == {"input": 0, "output": 0}
    nodes = nir.read_data(tmp_path / "none.nir").nodes
    found = {name: node.observables["spikes"] for name, node in nodes.items()}
    assert {name: (spikes.n_samples, spikes.n_neurons) for name, spikes in found.items()} == {
        "input": (0, 4),
        "output": (0, 3),
    }
    with pytest.raises(es.TraceError, match="no layer 'hidden'"):
        export_spikes(tmp_path / "t.h5", tmp_path / "no.nir", layers=("hidden",))
