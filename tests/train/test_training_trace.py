"""train(trace=...): what a rule does with a sample, and the weights of each epoch"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventsnn.errors import TraceError
from eventsnn.learn.eventprop import EventProp
from eventsnn.model import Connection, Dense, Input, Network, Reservoir
from eventsnn.model.sparse import is_sparse
from eventsnn.trace import Trace, TraceOptions
from eventsnn.trace.schema import RECORD
from tests.train.toy import CLASSES, RULE, SENSOR, toy_data, toy_network, toy_train

EVERYTHING = ("weights", "learning")


def trained(folder: Path, **changes: Any) -> tuple[Any, Trace]:
    options = TraceOptions(
        folder / "t.h5", record=changes.pop("record", EVERYTHING), samples=changes.pop("samples", range(6))
    )
    folder.mkdir(exist_ok=True)
    result = toy_train(folder / "run", trace=options, **{"epochs": 2, "valid_fraction": 0, **changes})
    return result, Trace(folder / "t.h5")


def recurrent() -> Network:
    network = toy_network()
    return Network(network.input, *network.layers, connections=[Connection("hidden", "hidden")], seed=2)


CASES = {
    "hm2bp": {},
    "on the clock": {"engine": "clocked"},
    "eventprop": {"rule": EventProp()},
    "recurrent, errors": {"network": recurrent()},
    "recurrent, derivatives": {"network": recurrent(), "rule": EventProp(), "dtype": "float64"},
}


@pytest.mark.parametrize("case", CASES)
def test_a_trace_changes_no_bit_of_the_training(tmp_path: Path, case: str) -> None:
    (tmp_path / "plain").mkdir()
    plain = toy_train(tmp_path / "plain" / "run", epochs=2, valid_fraction=0, **CASES[case])
    result, trace = trained(tmp_path / "traced", **CASES[case])
    clocks = dict.fromkeys(("seconds", "cpu_seconds", "train_seconds"))
    assert [line | clocks for line in result.history] == [line | clocks for line in plain.history]
    with trace:
        assert len(trace) == 12
        assert sorted(sample.epoch for sample in trace.samples) == [1] * 6 + [2] * 6
        assert [(s.index, s.epoch) for s in trace.snapshots] == [(0, 0), (1, 1), (2, 2)]
        for key, weights in plain.network.weights.items():
            np.testing.assert_array_equal(result.network.weights[key], weights)
            np.testing.assert_array_equal(trace.weights(key), weights)
            np.testing.assert_array_equal(
                trace.weights(key, 0), trace.network.weights[key].astype(weights.dtype)
            )
            assert (trace.weights(key, 1) != trace.weights(key, 2)).any()
        for number in range(12):
            assert trace.gradient_norms(number).keys() == plain.network.weights.keys()
            for layer in plain.network.names:
                if "eventprop" in case or "derivatives" in case:
                    found = trace.learning(layer, "spike_derivatives", number)
                    assert len(found) == len(trace.spikes(layer, number))
                    assert np.isfinite(found).all()
                else:
                    assert trace.learning(layer, "errors", number).shape == (plain.network[layer].neurons,)


def test_errors_and_factors_are_those_of_the_oracle(tmp_path: Path) -> None:
    """Errors of the output from the definition, self terms and gradients from sums over pairs of spikes."""
    network = toy_network()
    _, trace = trained(tmp_path, network=network, epochs=1, batch_size=12, dtype="float64", data=toy_data(12))
    with trace:
        for number in range(6):
            sample, record = trace.samples[number], trace.record(number)
            assert sample.label is not None
            counts = record.output.counts
            _, derivative = RULE.losses(counts[None], np.array([sample.label]))
            errors = trace.learning(network.names[-1], "errors", number)
            np.testing.assert_allclose(errors, derivative[0] / network.output.threshold, rtol=1e-12)
            lent = trace.learning(network.names[-1], "lent_spikes", number)
            assert bool(len(lent)) == (counts[sample.label] == 0)
            assert set(lent.neurons.tolist()) <= {sample.label}
            terms = trace.learning("hidden", "self_term", number)
            fired = record["hidden"].counts > 0
            known = np.isfinite(terms)
            np.testing.assert_allclose(terms[fired & known], 1.0, rtol=1e-9)


def test_norms_add_up_for_a_batch_of_one(tmp_path: Path) -> None:
    """With one recording a step, the mean of the samples' norms is the epoch's, without penalties."""
    data = toy_data(6)
    result, trace = trained(tmp_path, data=data, epochs=1, batch_size=1, dtype="float64")
    with trace:
        norms = [trace.gradient_norms(number) for number in range(6)]
    for key, mean in result.history[0]["gradient_norms"].items():
        assert np.mean([norm[key] for norm in norms]) == pytest.approx(mean, rel=1e-6)


def test_every_level_of_a_training_sample(tmp_path: Path) -> None:
    _, trace = trained(tmp_path, record=RECORD, samples=[3], epochs=1, dtype="float64")
    with trace:
        (sample,) = trace.samples
        assert sample.epoch == 1
        potential = trace.potential("hidden")
        before = potential.values[potential.kinds == 1]  # with the weights at that moment
        np.testing.assert_allclose(before, trace.network["hidden"].threshold, rtol=1e-6)


def test_what_cannot_be_traced(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="samples: none of these recordings is trained on"):
        trained(tmp_path / "a", samples=[999])
    with pytest.raises(TraceError, match="record 'potential' needs spikes in exact time"):
        trained(tmp_path / "b", record="potential", engine="clocked")
    _, trace = trained(tmp_path / "c", record="learning", epochs=1)
    with trace:
        with pytest.raises(TraceError, match="holds no weights; 'eventsnn train --trace"):
            trace.weights("hidden")
        with pytest.raises(TraceError, match="no 'voltage' of layer 'hidden'; there are hidden: errors"):
            trace.learning("hidden", "voltage")


@pytest.mark.parametrize("engine", ["exact", "clocked"])
def test_behind_a_reservoir(tmp_path: Path, engine: str) -> None:
    """What is trained, and what feeds it: the reservoir's spikes, which the training itself does not keep."""
    network = Network(Input(*SENSOR), Reservoir(grid=(3, 3, 3), threshold=0.3), Dense(CLASSES), seed=1)
    (tmp_path / "plain").mkdir()
    plain = toy_train(tmp_path / "plain" / "run", network=network, epochs=2, valid_fraction=0, engine=engine)
    result, trace = trained(tmp_path / "traced", network=network, engine=engine)
    for key, weights in plain.network.weights.items():
        if not is_sparse(weights):
            np.testing.assert_array_equal(result.network.weights[key], weights)
    reservoir, output = network.names
    with trace:
        assert {s.engine for s in trace.samples} == {"clocked" if engine == "clocked" else "sweep"}
        spikes = [trace.spikes(reservoir, number) for number in range(len(trace))]
        assert sum(map(len, spikes)) > 50
        # It is not trained: a recording gives the same spikes in both epochs.
        for first in range(6):
            (second,) = (s.index for s in trace.samples[6:] if s.source == trace.samples[first].source)
            np.testing.assert_array_equal(spikes[first].times, spikes[second].times)
            np.testing.assert_array_equal(spikes[first].neurons, spikes[second].neurons)
        assert trace.learning(output, "errors", 0).shape == (CLASSES,)
        assert trace.gradient_norms(0).keys() == {output}
