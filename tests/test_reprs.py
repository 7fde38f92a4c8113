"""What results, data sets and files look like in an interactive session: one line each."""

from __future__ import annotations

import eventsnn as es
from tests.train.toy import toy_data, toy_network, write_toy_folder


def test_everything_fits_on_a_line(tmp_path):
    network = toy_network().with_classes(["ant", "bee", "cat"])
    data = toy_data()
    run = es.simulate(network, data.stream(0), record=("potential",))
    es.simulate(network, data.stream(0), trace=tmp_path / "t.h5")
    root = write_toy_folder(tmp_path / "set", 3)
    with es.Trace(tmp_path / "t.h5") as trace:
        lines = {
            repr(network): "<Network 60-40-3 (hidden, output), 3 classes ('ant', 'bee', 'cat')>",
            repr(data): "<ListDataset: 36 recordings of 3 classes, sensor 6 x 5 x 2>",
            repr(data.subset([0, 1])): f"<Subset of 2 recordings of {data!r}>",
            repr(data.stream(0)): "EventStream(",
            repr(run): "<SpikeRecord: ",
            repr(run["hidden"]): "<LayerSpikes 'hidden': ",
            repr(run.potential("output")): "<PotentialTrace: ",
            repr(trace): f"<Trace '{tmp_path / 't.h5'}': 1 sample of spikes, {network!r}>",
            repr(
                es.data.Folder(root, sensor=(6, 5, 2))
            ): f"<Folder of '{root}': 3 recordings of 3 classes, sensor",
            repr(
                es.open_events(root / "0" / "00000.bin")
            ): f"<Recording '{root / '0' / '00000.bin'}', format nmnist>",
            repr(
                es.Simulation(network)
            ): f"<Simulation of {network!r}: 0 events, complete up to 0 ms, engine ",
        }
        if len(run["hidden"]):
            neuron = int(run["hidden"].neurons[0])
            explanation = es.explain(trace, layer="hidden", neuron=neuron, spike=0)
            lines[repr(explanation)] = f"<Explanation of spike 0 of neuron {neuron} in layer 'hidden' at "
    assert repr(trace).endswith("closed>")
    for line, start in lines.items():
        assert line.startswith(start)
        assert "\n" not in line
        assert len(line) < 300
