"""Recordings that begin at some time of some clock: every consumer gives what it gives at time 0.

The events begin at 0 here, so that a recording moved by any origin must give the same bits, not only the same
times to 1e-9 ms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import eventsnn as es
from eventsnn.data import ListDataset, Packed, from_tonic, pack
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.errors import EventFileError, EventStreamError, SimulationError, TrainingError
from eventsnn.events import EVENT_DTYPE, EventStream, open_events
from eventsnn.events.origin import LATEST_START_US
from eventsnn.train.batches import BatchLoader
from tests.cli.conftest import Cli, cli, make_network

__all__ = ["cli"]  # a fixture

# Five minutes, an offset of DSEC's, the end of 2020 in microseconds since 1970.
ORIGINS = [300_000_000, 57_922_807_588, 1_600_000_000_000_000]
SENSOR = (6, 5, 2)
SETTINGS = {
    "queue": {"engine": "queue"},
    "sweep": {"engine": "sweep"},
    "twin": {"engine": "twin"},
    "clocked": {"engine": "clocked", "dtype": "float32", "t_stop": 60.0},
}


def make_stream(origin: int = 0, seed: int = 0, n: int = 150, label: int = 0) -> EventStream:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 40_000, n))
    x = rng.integers(0, 3, n) + 3 * label
    t += origin - t[0]
    return EventStream.from_arrays(t, x, rng.integers(0, 5, n), rng.integers(0, 2, n), sensor_size=SENSOR)


def biased_network() -> es.Network:
    rng = np.random.default_rng(2)
    hidden, output = rng.uniform(-0.5, 1.5, (6, 61)), rng.uniform(0.0, 2.0, (2, 7))
    return es.Network(
        es.Input(*SENSOR, bias_interval=3.0),
        es.Dense(6, threshold=3.0, name="hidden"),
        es.Dense(2, threshold=1.0),
        weights={"hidden": hidden, "output": output},
    )


def make_set(origin: int, n: int = 12) -> ListDataset:
    return ListDataset([make_stream(origin, k, label=k % 2) for k in range(n)], [k % 2 for k in range(n)])


def assert_same_run(found: es.SpikeRecord, expected: es.SpikeRecord) -> None:
    assert sum(len(expected[name]) for name in expected.layers) > 10
    for name in ("input", "bias", *expected.layers):
        assert np.array_equal(found[name].times, expected[name].times)
        assert np.array_equal(found[name].neurons, expected[name].neurons)
    assert (found.t_end, found.exit_reason) == (expected.t_end, expected.exit_reason)


# -- simulations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("engine", SETTINGS)
@pytest.mark.parametrize("network", [make_network(), biased_network()], ids=["plain", "biases"])
def test_every_engine(network: es.Network, engine: str, origin: int) -> None:
    expected = es.simulate(network, make_stream(), **SETTINGS[engine])
    found = es.simulate(network, make_stream(origin), **SETTINGS[engine])
    assert_same_run(found, expected)
    assert (found.origin_us, expected.origin_us) == (origin, 0)
    array = np.array(make_stream(origin).events.tolist(), EVENT_DTYPE)
    assert_same_run(es.simulate(network, array, **SETTINGS[engine]), expected)


@pytest.mark.parametrize("origin", [1, 3_000, LATEST_START_US])
def test_what_begins_near_0_keeps_its_times(origin: int) -> None:
    run = es.simulate(make_network(), make_stream(origin))
    assert run.origin_us == 0
    assert run.input.times[0] == origin / 1000.0
    batch = BatchLoader(make_set(origin), 60).prepare([0], 0)
    assert batch.times.tobytes() == run.input.times.tobytes()


def test_an_origin_of_ones_own() -> None:
    network, stream = make_network(), make_stream(5_000_000)
    run = es.simulate(network, stream, origin_us=4_000_000)
    assert run.origin_us == 4_000_000
    assert run.input.times[0] == 1000.0
    assert_same_run(
        es.simulate(network, make_stream(-20_000), origin_us=-20_000), es.simulate(network, make_stream())
    )
    with pytest.raises(EventStreamError, match="origin_us = 5000001 must not be later"):
        es.simulate(network, stream, origin_us=5_000_001)
    with pytest.raises(EventStreamError, match="origin_us must be a whole number"):
        es.simulate(network, stream, origin_us=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("engine", ["queue", "sweep", "twin"])
def test_parts_and_saved_states(engine: str, origin: int, tmp_path: Path) -> None:
    network, stream = make_network(), make_stream(origin)
    expected = es.simulate(network, make_stream())
    run = es.Simulation(network, engine=engine)
    assert run.origin_us is None
    parts = []
    for part in stream.chunks(40):
        parts.append(run.feed(part))
        run.save(tmp_path / "s.npz")
        run = es.Simulation.resume(tmp_path / "s.npz", network)
        assert run.origin_us == origin
    parts.append(run.finish())
    assert {part.origin_us for part in parts} == {origin}
    for name in expected.layers:
        assert np.array_equal(np.concatenate([p[name].times for p in parts]), expected[name].times)


def test_parts_before_the_origin() -> None:
    run = es.Simulation(make_network())
    run.feed(make_stream(ORIGINS[0]))
    with pytest.raises(SimulationError, match="feed events in order of time"):
        run.feed(make_stream(2_000_000))
    fresh = es.Simulation(make_network())
    fresh.feed((np.empty(0), np.empty(0, np.int32)))
    assert fresh.origin_us is None
    fresh.feed((np.empty(0), np.empty(0, np.int32)), until=5.0)  # who names a time counts from 0
    assert fresh.origin_us == 0


def test_pairs_of_floats() -> None:
    network, stream = make_network(), make_stream()
    pair = stream.times_ms(), stream.input_indices()
    late = pair[0] + 2.0**23, pair[1]
    with pytest.raises(
        SimulationError, match=r"the first is at 8\.38861e\+06 ms, where float64 .* EventStream"
    ):
        es.simulate(network, late)
    assert es.simulate(network, late, origin_us=0).input.times[0] == 2.0**23
    run = es.simulate(network, pair, origin_us=ORIGINS[2])
    assert_same_run(run, es.simulate(network, stream))
    assert run.origin_us == ORIGINS[2]


# -- traces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ORIGINS)
def test_traces(origin: int, tmp_path: Path) -> None:
    network = biased_network()
    for name, start in (("a", 0), ("b", origin)):
        es.simulate(network, make_stream(start), trace=tmp_path / f"{name}.h5", record=("potential", "spsp"))
    with es.Trace(tmp_path / "a.h5") as a, es.Trace(tmp_path / "b.h5") as b:
        assert (a.samples[0].origin_us, b.samples[0].origin_us) == (0, origin)
        assert b.record().origin_us == origin
        assert a.samples[0].length == b.samples[0].length
        for column in ("times", "values"):
            assert np.array_equal(
                getattr(a.potential("hidden"), column), getattr(b.potential("hidden"), column)
            )
        assert np.array_equal(a.spsp_total("hidden")[2], b.spsp_total("hidden")[2])
        ones = [es.explain(t, layer="output", neuron=0, spike=0) for t in (a, b)]
    assert np.array_equal(ones[0].events, ones[1].events)
    assert ones[1].origin_us == ones[1].to_dict()["origin_us"] == origin
    assert f"times count from {origin} us" in es.trace.format_explanation(ones[1])


# -- training --------------------------------------------------------------------------------------


def weights_after(data: ListDataset | Packed, folder: Path, **options: object) -> list[bytes]:
    network = biased_network()
    fit = es.train(network, data, epochs=2, batch_size=3, out=folder, threads=1, seed=1, **options)  # type: ignore[arg-type]
    loaded = fit.network if isinstance(fit.network, es.Network) else es.Network.load(fit.network)
    return [weights.tobytes() for weights in loaded.weights.values()]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"engine": "clocked"},
        {"augmentation": Augmentation(shift=1, drop=0.1, time_scale=0.2)},
        {"augmentation": Augmentation(jitter=500.0, flip=0.5, time_scale=0.2)},
        {"distortion": Distortion(elastic=0.5)},
    ],
    ids=["plain", "clocked", "kernel", "jitter", "distortion"],
)
def test_training(options: dict[str, object], origin: int, tmp_path: Path) -> None:
    expected = weights_after(make_set(0), tmp_path / "a", **options)
    assert weights_after(make_set(origin), tmp_path / "b", **options) == expected
    pack(make_set(origin), tmp_path / "set.esp")
    assert weights_after(Packed(tmp_path / "set.esp"), tmp_path / "c", **options) == expected


@pytest.mark.parametrize("origin", ORIGINS)
def test_evaluation_and_packed_sets(origin: int, tmp_path: Path) -> None:
    network, data = make_network(), make_set(origin)
    expected = es.evaluate(network, make_set(0), threads=1)
    assert expected.accuracy == 1.0
    pack(data, tmp_path / "set.esp")
    packed = Packed(tmp_path / "set.esp")
    assert packed.origins_us.tolist() == [origin] * len(data)
    assert all(packed.stream(k) == data.stream(k) for k in range(len(data)))
    samples = from_tonic([(data.stream(k).events, k % 2) for k in range(len(data))], SENSOR)
    for source in (data, packed, samples):
        for engine in ("auto", "queue", "clocked"):
            assert es.evaluate(network, source, engine=engine, threads=1).confusion == expected.confusion


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_augmentations_twin(origin: int) -> None:
    change = Augmentation(shift=1, drop=0.2, time_scale=0.3, jitter=2_000.0)
    expected = change.apply(make_stream(0).events, SENSOR, 1)
    found = change.apply(make_stream(origin).events, SENSOR, 1)
    assert np.array_equal(found, expected)
    assert expected["t"][0] >= 0
    batch = BatchLoader(make_set(origin), 60, change, 1).prepare([0], 0)
    assert batch.times.tobytes() == (expected["t"] / 1000.0).tobytes()


# -- what begins before 0 --------------------------------------------------------------------------


@pytest.mark.parametrize("start", [-1, -20_000, -(2**62)])
def test_before_0_is_refused_everywhere(start: int, tmp_path: Path) -> None:
    stream = make_stream(start)
    text = r"event 0 is at -\d+ us, before 0; .* stream\.shifted\(\) .*'eventsnn convert --from-zero'"
    for engine in SETTINGS:
        with pytest.raises(EventStreamError, match=text):
            es.simulate(make_network(), stream, **SETTINGS[engine])
    with pytest.raises(EventStreamError, match=text):
        es.Simulation(make_network()).feed(stream)
    data = ListDataset([make_stream(0), stream], [0, 1], names=["good", "bad"])
    for change in (None, Augmentation(jitter=30_000.0), Augmentation(shift=1)):
        with pytest.raises(TrainingError, match=f"bad: {text}"):
            BatchLoader(data, 60, change).prepare([0, 1], 0)
    for engine in ("auto", "queue", "clocked"):
        with pytest.raises(TrainingError, match=f"bad: {text}"):
            es.evaluate(make_network(), data, engine=engine, threads=1)
    with pytest.raises(TrainingError, match=f"bad: {text}"):
        es.train(make_network(), data, valid_fraction=0.0, out=tmp_path / "run", threads=1)
    with pytest.raises(EventFileError, match=f"bad: {text}"):
        pack(data, tmp_path / "set.esp")
    assert_same_run(es.simulate(make_network(), stream.shifted()), es.simulate(make_network(), make_stream()))


def test_the_kernel_refuses_what_got_past_the_door() -> None:
    from eventsnn._ext.records import from_events

    feeder = BatchLoader(make_set(0, 1), 60)
    batch, status = feeder._fill(from_events([make_stream(-5).events]), np.array([0]), 0)
    assert status.tolist() != [0]
    assert len(batch.times) == 0


# -- files -----------------------------------------------------------------------------------------


def test_shifted() -> None:
    stream = make_stream(-7_000)
    assert stream.shifted() == make_stream(0)
    assert stream.shifted(12) == make_stream(12)
    assert stream.t_first == -7_000
    empty = EventStream.from_arrays([], [], [], [], sensor_size=SENSOR)
    assert empty.shifted(5) == empty
    assert (empty.origin_us, make_stream(2_000_000).origin_us) == (0, 2_000_000)
    extremes = EventStream.from_arrays([-(2**63), 2**63 - 1], [0, 0], sensor_size=(1, 1, 1))
    with pytest.raises(EventStreamError, match="int64 does not hold its end"):
        extremes.shifted()
    with pytest.raises(EventStreamError, match="start must be a whole number"):
        stream.shifted(0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("origin", [*ORIGINS, -20_000])
def test_convert_and_info(cli: Cli, origin: int, tmp_path: Path) -> None:
    late, early = tmp_path / "late.npz", tmp_path / "early.bin"
    es.write(late, make_stream(origin))
    told = cli("info", late)
    assert "convert --from-zero" in told.out
    assert cli("info", late, "--json").json["origin_us"] == (origin if origin > 0 else None)
    assert cli("convert", late, early, "--from-zero", "--sensor", "6x5x2").code == 0
    assert es.read(early, sensor=SENSOR) == make_stream(0)
    assert "convert --from-zero" not in cli("info", early, "--sensor", "6x5x2").out


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_command_line(cli: Cli, origin: int, tmp_path: Path) -> None:
    model, late, near = tmp_path / "model.h5", tmp_path / "late.npz", tmp_path / "near.npz"
    make_network().save(model)
    es.write(late, make_stream(origin))
    es.write(near, make_stream(0))
    spikes = []
    for file in (near, late):
        table = tmp_path / f"{file.stem}.csv"
        result = cli("simulate", model, file, "--json").json
        assert result["origin_us"] == (origin if file == late else 0)
        parts = cli("simulate", model, file, "--spikes", table, "--from", "5", "--until", "30", "--json").json
        assert parts["origin_us"] == result["origin_us"]
        spikes.append((result["counts"], result["t_end_ms"], parts["events"], table.read_bytes()))
    assert spikes[0] == spikes[1]
    own = cli("simulate", model, late, "--origin", origin - 500, "--trace", tmp_path / "t.h5", "--json").json
    assert own["origin_us"] == origin - 500
    with es.Trace(tmp_path / "t.h5") as trace:
        assert trace.spikes("input").times[0] == 0.5
    assert f"times count from {origin} us" in cli("simulate", model, late).out


def test_the_command_line_names_a_recording_that_begins_before_0(cli: Cli, tmp_path: Path) -> None:
    model, bad, good = tmp_path / "model.h5", tmp_path / "bad.npz", tmp_path / "good.npz"
    make_network().save(model)
    es.write(bad, make_stream(-20_000))
    es.write(good, make_stream(0))
    for more in ([], ["--spikes", tmp_path / "s.csv"]):
        outcome = cli("simulate", model, bad, *more)
        assert outcome.code == 1
        assert "bad.npz: event 0 is at -20000 us, before 0" in outcome.err
    results = cli("simulate", model, bad, good, "--on-bad", "skip", "--json").json
    assert [result["skipped"] for result in results] == [True, False]


@pytest.mark.parametrize("origin", ORIGINS)
def test_from_and_until_count_from_the_origin(origin: int, tmp_path: Path) -> None:
    es.write(tmp_path / "late.npz", make_stream(origin))
    es.write(tmp_path / "near.npz", make_stream(0))
    options = {"t_from": 10.0, "t_until": 20.0}
    with open_events(tmp_path / "late.npz", **options) as recording:  # type: ignore[arg-type]
        kept = recording.read()
        assert recording.origin_us == origin
    expected = es.read(tmp_path / "near.npz", **options)  # type: ignore[arg-type]
    assert len(kept) == len(expected) > 10
    assert kept.shifted() == expected.shifted()


@pytest.mark.parametrize("origin", [0, 300_000_000])
def test_a_part_counts_from_its_recording_in_every_command(cli: Cli, origin: int, tmp_path: Path) -> None:
    # Beyond the first second, where the part's own first event would be another origin.
    long = EventStream.from_arrays(
        np.concatenate([[0], 2_000_000 + make_stream().events["t"]]) + origin,
        np.concatenate([[0], make_stream().events["x"]]),
        np.concatenate([[0], make_stream().events["y"]]),
        np.concatenate([[0], make_stream().events["p"]]),
        sensor_size=SENSOR,
    )
    network = biased_network()
    model, folder = tmp_path / "model.h5", tmp_path / "set"
    network.save(model)
    (folder / "0").mkdir(parents=True)
    es.write(folder / "0" / "a.es" if origin == 0 else folder / "0" / "a.npz", long)
    (file,) = (folder / "0").iterdir()
    es.write(tmp_path / "whole.npz", long)
    expected = es.simulate(network, EventStream(long.events[1:].copy(), SENSOR), origin_us=origin)
    counts = expected["output"].counts.tolist()
    assert sum(counts) > 100  # two seconds of biases before the first event
    part = es.read(file, t_from=1500.0)
    assert (len(part), part.origin_us, part.merge_polarities().origin_us) == (150, origin, origin)
    assert_same_run(es.simulate(network, part), expected)
    simulation = es.Simulation(network)
    fed = [simulation.feed(chunk) for chunk in part.chunks(40)]
    assert sum(len(record["output"]) for record in [*fed, simulation.finish()]) == sum(counts)
    options = ("--from", "1500")
    assert cli("simulate", model, file, *options, "--json").json["counts"] == counts
    assert (
        cli("simulate", model, file, *options, "--spikes", tmp_path / "s.csv", "--json").json["counts"]
        == counts
    )
    assert cli("pack", folder, tmp_path / "set.esp", *options).code == 0
    assert Packed(tmp_path / "set.esp").stream(0).origin_us == origin
    again = [ListDataset([part], [0]), Packed(tmp_path / "set.esp"), es.data.Folder(folder, t_from=1500.0)]
    for data in again:
        found = es.evaluate(network, data, dtype="float64", threads=1)
        assert list(found.predictions[0].counts) == counts


def test_until_counts_from_the_recording_also_with_another_origin(cli: Cli, tmp_path: Path) -> None:
    model, file = tmp_path / "model.h5", tmp_path / "late.npz"
    make_network().save(model)
    es.write(file, make_stream(300_000_000))
    for more, end in (((), 20.0), (("--origin", "299000000"), 1020.0)):
        state = tmp_path / "s.npz"
        part = cli("simulate", model, file, "--until", "20", "--save-state", state, *more, "--json").json
        assert part["t_end_ms"] == end
        rest = cli("simulate", model, file, "--resume-from", state, "--json").json
        assert rest["events"] == 150
        assert rest["counts"] == cli("simulate", model, file, *more, "--json").json["counts"]
