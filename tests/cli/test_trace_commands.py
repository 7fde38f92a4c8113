"""eventsnn inspect, explain and whatif"""

import math
import sys
from pathlib import Path

import pytest

import eventsnn as es
from eventsnn.trace import TraceWriter
from tests.cli.conftest import Cli, make_network, make_stream

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Two recordings, of label 0 and 1."""
    network = make_network()
    with TraceWriter(tmp_path / "t.h5", network) as writer:
        for label in (0, 1):
            writer.append(es.simulate(network, make_stream(label, 7)), source=f"{label}.bin", label=label)
    return tmp_path / "t.h5"


def test_explain(cli: Cli, trace: Path) -> None:
    result = cli(
        "explain", trace, "--layer", "output", "--neuron", 1, "--spike", 0, "--sample", 1, "--json"
    ).json
    assert {"time_ms", "threshold", "sum", "events"} <= set(result)
    assert set(result["events"][0]) == {"t_us", "x", "y", "p", "contribution"}
    assert result["threshold"] == 2.0
    # The sum is exact up to the rounding of some hundred float64 terms.
    assert result["sum"] == pytest.approx(2.0, rel=1e-9)
    assert math.fsum(event["contribution"] for event in result["events"]) == result["sum"]
    assert all(event["t_us"] <= 1000 * result["time_ms"] for event in result["events"])
    assert {event["x"] // 3 for event in result["events"]} == {1}  # label 1 is in the right half


def test_explain_chooses_what_is_not_said(cli: Cli, trace: Path) -> None:
    result = cli("explain", trace, "--sample", 1, "--json").json
    assert (result["layer"], result["neuron"], result["spike"], result["sample"]) == ("output", 1, 0, 1)
    text = cli("explain", trace, "--sample", 1, "--top", 2).out
    assert text.startswith("Spike 0 of neuron 1 in layer 'output', sample 1, at ")
    assert "contributions add up to 2\n" in text


def test_explain_sensitivity(cli: Cli, trace: Path, tmp_path: Path) -> None:
    place = ["--layer", "output", "--neuron", 1, "--spike", 0, "--sample", 1]
    picture = tmp_path / "moves.png"
    result = cli("explain", trace, *place, "--sensitivity", "--plot", picture, "--top", 2, "--json").json
    assert result["picture"] == str(picture)
    assert picture.read_bytes().startswith(PNG)
    assert result["events"][0].keys() == {"t_us", "x", "y", "p", "derivative", "strength"}
    # Times in the trace are exact, and all input later makes the spike later by as much.
    assert math.fsum(event["derivative"] for event in result["events"]) == pytest.approx(1.0, rel=1e-9)
    assert {key: len(found) for key, found in result["weights"].items()} == {"hidden": 2, "output": 2}
    assert set(result["thresholds"]) == set(result["delays"]) == {"hidden", "output"}
    text = cli("explain", trace, *place, "--sensitivity", "--top", 2).out
    assert f"slope of the membrane potential {result['slope']:.6g} per ms" in text
    assert f"{result['thresholds']['hidden']:+.6g}" in text


def test_explain_draws(cli: Cli, trace: Path, tmp_path: Path) -> None:
    result = cli("explain", trace, "--plot", tmp_path / "why.png", "--json").json
    assert (tmp_path / "why.png").read_bytes().startswith(PNG)
    assert result["picture"] == str(tmp_path / "why.png")
    assert "contribution" in result["events"][0]
    text = cli("explain", trace, "--plot", tmp_path / "why.png").out
    assert text.endswith(f"\n{tmp_path / 'why.png'}\n")
    outcome = cli("explain", trace, "--plot", trace)
    assert outcome.code == 2
    assert f"--plot {trace} would overwrite" in outcome.err


def test_explain_sensitivity_of_float32(cli: Cli, tmp_path: Path) -> None:
    es.simulate(make_network(), make_stream(1, 7), dtype="float32", trace=tmp_path / "t.h5")
    outcome = cli("explain", tmp_path / "t.h5", "--sensitivity")
    assert outcome.code == 1
    assert "simulate again with dtype='float64' (simulate --dtype float64)" in outcome.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--layer", "outptu"], "no layer 'outptu'; there are input, hidden, output"),
        (["--neuron", "7"], "neuron"),
        (["--neuron", "1"], "neuron 1 of 'output' stayed silent in sample 0"),
        (["--spike", "9999"], "no spike 9999: neuron 0 of 'output' has the spikes 0.."),
        (["--sample", "2"], "no sample 2; the trace holds the samples 0..1"),
        (["--layer", "input"], "an input event has no cause"),
    ],
)
def test_explain_says_what_there_is(cli: Cli, trace: Path, options: list[str], text: str) -> None:
    outcome = cli("explain", trace, *options)
    assert outcome.code == 1
    assert text in outcome.err


def test_explain_of_a_silent_layer(cli: Cli, tmp_path: Path) -> None:
    nothing = es.EventStream.from_arrays([], [], [], [], sensor_size=(6, 5, 2))
    es.simulate(make_network(), nothing, trace=tmp_path / "silent.h5")
    outcome = cli("explain", tmp_path / "silent.h5")
    assert outcome.code == 1
    assert "layer 'output' stayed silent in sample 0; no layer has any" in outcome.err
    hush = make_network().replace("output", threshold=1e9)
    es.simulate(hush, make_stream(1, 7), trace=tmp_path / "hush.h5")
    outcome = cli("explain", tmp_path / "hush.h5")
    assert "stayed silent in sample 0; explain one of another layer (hidden)" in outcome.err


def test_silencing_a_silent_neuron(cli: Cli, tmp_path: Path) -> None:
    """Nothing is left out, so nothing is simulated; a recording without events has no states either."""
    nothing = es.EventStream.from_arrays([], [], [], [], sensor_size=(6, 5, 2))
    es.simulate(make_network(), nothing, trace=tmp_path / "silent.h5")
    outcome = cli("whatif", tmp_path / "silent.h5", "--silence", "hidden:0", "--json")
    assert outcome.code == 0
    found = outcome.json
    assert (found["from_ms"], found["simulated_from_ms"], found["first"]) == (None, None, None)


def test_explain_of_a_model(cli: Cli, model: Path) -> None:
    outcome = cli("explain", model)
    assert outcome.code == 1
    assert "not an eventsnn trace" in outcome.err


def test_inspect(cli: Cli, trace: Path) -> None:
    outcome = cli("inspect", trace, "--json")
    result = outcome.json
    assert (result["samples"], result["accuracy"], result["decisions"]) == (2, 1.0, [1, 1])
    names = [Path(path).name for path in result["pictures"]]
    assert names == ["raster.png", "potential.png", "spsp.png"]
    assert {Path(path).parent for path in result["pictures"]} == {trace.parent / "t-pictures"}
    assert all(Path(path).read_bytes()[:8] == PNG for path in result["pictures"])


@pytest.mark.parametrize(
    "options", [["--layer", "hidden"], ["--layer", "hidden", "--neuron", "2"], ["--neuron", "1"]]
)
def test_inspect_of_a_layer_and_neuron(cli: Cli, trace: Path, tmp_path: Path, options: list[str]) -> None:
    outcome = cli("inspect", trace, "--out", tmp_path / "deep" / "pictures", *options)
    assert outcome.code == 0, outcome.err
    assert "accuracy 100.00 % of 2 labelled samples" in outcome.out
    assert len(list((tmp_path / "deep" / "pictures").glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--sample", "5"], "no sample 5"),
        (["--layer", "nowhere"], "no layer 'nowhere'"),
        (["--neuron", "4"], "neuron"),
        (["--layer", "input"], "input"),
    ],
)
def test_inspect_says_what_there_is(cli: Cli, trace: Path, options: list[str], text: str) -> None:
    outcome = cli("inspect", trace, *options)
    assert outcome.code == 1
    assert text in outcome.err


def test_inspect_without_matplotlib(cli: Cli, trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = cli("inspect", trace, "--json")
    assert outcome.code == 0
    assert outcome.json["pictures"] == []
    assert "no pictures: drawing a picture needs matplotlib" in outcome.err
    assert "pip install 'eventsnn[plot]'" in outcome.err
    asked = cli("inspect", trace, "--out", trace.parent / "p")
    assert asked.code == 1
    assert "needs matplotlib" in asked.err


def test_whatif(cli: Cli, trace: Path) -> None:
    edits = ["--remove", "5,7-9", "--remove", 3, "--move", "20=1.5", "--silence", "hidden:0"]
    result = cli("whatif", trace, "--sample", 1, *edits, "--weight", "output:1,2=0.25", "--json").json
    expected = es.what_if(
        trace,
        remove=[3, 5, 7, 8, 9],
        move={20: 1.5},
        silence={"hidden": [0]},
        weights={"output": {(1, 2): 0.25}},
        sample=1,
    )
    assert result == expected.to_dict()
    assert result["first"] is not None
    text = cli("whatif", trace, "--sample", 1, "--remove", "0-40", "--top", 1).out
    found = es.what_if(trace, remove=range(41), sample=1)
    assert found.first is not None
    layer, neuron, time = found.first
    assert f"first spike that differs: neuron {neuron} of {layer!r} at {time:.4f} ms" in text


def test_whatif_without_a_change(cli: Cli, trace: Path) -> None:
    n = len(es.what_if(trace).before.input)
    time = float(es.what_if(trace).before.input.times[n - 1])
    text = cli("whatif", trace, "--move", f"{n - 1}={time!r}").out
    assert text.startswith("the decision stays 0\n")
    assert text.endswith("no spike changes\n")


def test_whatif_flip(cli: Cli, trace: Path) -> None:
    result = cli("whatif", trace, "--sample", 1, "--flip", "--json").json
    expected = es.find_flip(trace, sample=1)
    assert result["events"] == ([] if expected is None else expected.events.tolist())
    text = cli("whatif", trace, "--sample", 1, "--flip", "--by", "sensitivity", "--top", 2).out
    assert text.startswith(("without ", "no set of events was found"))


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ([], 2, "Give an edit: --remove, --move, --silence or --weight; or --flip."),
        (["--flip", "--remove", "1"], 2, "Give --flip alone, without edits."),
        (["--remove", "1", "--by", "sensitivity"], 2, "--by is for --flip."),
        (["--remove", "1,x"], 2, "'x' is no event; write numbers and ranges, such as 17,20-30"),
        (["--remove", "9-3"], 2, "'9-3' is no event"),
        (["--remove", "0-99999999999"], 1, "remove: no event 99999999999; the sample has the events 0.."),
        (["--move", "5"], 2, "'5' does not end in '=' and a number"),
        (["--move", "a=5"], 2, "--move: 'a' is no number of an event; write EVENT=MS, such as 17=20.5."),
        (["--move", "5=-1"], 1, "move: the new time of event 5 must be a finite number of ms >= 0"),
        (["--move", "5=nan"], 1, "move: the new time of event 5 must be a finite number of ms >= 0"),
        (["--silence", "hidden"], 2, "--silence: 'hidden' is no neuron; write LAYER:NEURON"),
        (["--silence", "hiden:1"], 1, "silence: no layer 'hiden'; there are hidden, output"),
        (["--weight", "output:1=2"], 1, "no place (1,)"),
        (["--weight", "output=2"], 2, "--weight: 'output' is no weight; write KEY:POST,PRE=VALUE"),
        (["--remove", "1", "--sample", "9"], 1, "no sample 9; the trace holds the samples 0..1"),
    ],
)
def test_whatif_says_what_there_is(cli: Cli, trace: Path, options: list[str], code: int, text: str) -> None:
    outcome = cli("whatif", trace, *options)
    assert outcome.code == code
    assert text in outcome.err


def test_evaluate_writes_a_trace(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    options = ["--record", "potential", "--trace-samples", "1-2", "--trace-neurons", "hidden:0,2-3"]
    more = ["--trace-layers", "hidden", "--trace-window", "5:20", "--potential-step", 0.5]
    command = ["evaluate", model, "--data", recordings, "--trace", tmp_path / "t.h5", "--dtype", "float64"]
    result = cli(*command, *options, *more, "--json").json
    assert result["trace"] == str(tmp_path / "t.h5")
    with es.Trace(tmp_path / "t.h5") as found:
        assert [(s.label, s.prediction) for s in found.samples] == [(0, 0), (0, 0)]
        assert Path(found.samples[0].source).name == "00001.bin"
        potential = found.potential("hidden", 1)
        assert set(potential.neurons.tolist()) == {0, 2, 3}
        assert 5.0 <= potential.times.min() < potential.times.max() <= 20.0
    summary = cli("inspect", tmp_path / "t.h5", "--json").json
    assert summary["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--trace-samples", "1"], "--trace-samples says what the trace holds: give --trace as well"),
        (["--trace", "t.h5", "--trace-samples", "3-1"], "'3-1' is no range of numbers"),
        (["--trace", "t.h5", "--trace-samples", "a"], "'a' is no number or range of numbers"),
        (["--trace", "t.h5", "--trace-neurons", "3"], "'3' does not say of which layer"),
        (["--trace", "t.h5", "--trace-window", "1-2"], "'1-2' is no stretch of time"),
        (
            ["--trace", "t.h5", "--record", "voltage"],
            "'voltage' cannot be recorded; there are spikes, potential",
        ),
    ],
)
def test_trace_options_that_say_nothing(
    cli: Cli, model: Path, recordings: Path, options: list[str], text: str
) -> None:
    outcome = cli("evaluate", model, "--data", recordings, *options)
    assert outcome.code == 2
    assert text in " ".join(outcome.err.split())


def test_evaluate_does_not_write_over_what_it_reads(cli: Cli, model: Path, recordings: Path) -> None:
    outcome = cli("evaluate", model, "--data", recordings, "--trace", model)
    assert outcome.code == 2
    assert "--trace" in outcome.err
    assert "would overwrite a file that is to be read" in outcome.err


def test_compare(cli: Cli, trace: Path, tmp_path: Path) -> None:
    network = make_network().replace("output", threshold=2.5)
    with TraceWriter(tmp_path / "u.h5", network) as writer:
        for label in (0, 1):
            writer.append(es.simulate(network, make_stream(label, 7)), source=f"{label}.bin", label=label)
    expected = es.compare(trace, tmp_path / "u.h5", within_ms=1.0, tau_ms=2.0)
    result = cli("compare", trace, tmp_path / "u.h5", "--within", 1, "--tau", 2, "--json").json
    assert result == expected.to_dict()
    assert not result["layers"]["hidden"]["moved"]
    assert result["layers"]["output"]["moved"]
    text = cli("compare", trace, tmp_path / "u.h5").out
    assert "first spike that differs: recording 0 (0.bin), neuron 0 of 'output', spike 0 at " in text
    assert "accuracy of 2 labelled: A 100.00 %, B 100.00 %" in text
    assert "every spike and decision is the same" in cli("compare", trace, trace).out


def test_compare_models(cli: Cli, model: Path, recordings: Path, tmp_path: Path) -> None:
    make_network().replace("output", threshold=2.5).save(tmp_path / "other.h5")
    result = cli("compare", model, tmp_path / "other.h5", "--data", recordings, "--json").json
    assert result["samples"] == 6
    assert result["accuracy"] == {"a": 1.0, "b": 1.0}
    assert result["layers"]["hidden"]["equal"] == result["layers"]["hidden"]["spikes_a"] > 0
    assert result["layers"]["output"]["moved"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["t.h5", "model.h5"], 1, "t.h5 is a trace and model.h5 is a model"),
        (["model.h5", "model.h5"], 2, "Two models are compared on recordings: give --data."),
        (["t.h5", "t.h5", "--data", "recordings"], 2, "--data is for two models; "),
        (["t.h5", "t.h5", "--engine", "queue"], 2, "--engine goes with --data, for two models."),
        (["t.h5", "t.h5", "--until", "3"], 2, "--until goes with --data."),
        (["t.h5", "t.h5", "--within", "-1"], 2, "Invalid value for '--within': -1.0 is not"),
        (["t.h5", "none.h5"], 1, "none.h5: no such file"),
        (["t.h5", "recordings"], 1, "recordings: is a folder, not a file"),
    ],
)
def test_compare_says_what_it_can(
    cli: Cli,
    trace: Path,
    model: Path,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(trace.parent)
    outcome = cli("compare", *arguments)
    assert outcome.code == code
    assert text in outcome.err
    assert "Traceback" not in outcome.err


def test_plot_of_a_trace_and_a_model(cli: Cli, trace: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    for kind in ("raster", "potential", "spsp", "rates", "intervals", "network", "confusion"):
        outcome = cli("plot", kind, trace, "-o", out, "--json")
        assert outcome.json == {"kind": kind, "picture": str(out)}
        assert out.read_bytes().startswith(PNG)
        out.unlink()
    for kind in ("fields", "network"):
        assert cli("plot", kind, model, "--out", out).out == f"{out}\n"
        out.unlink()
    place = ["--layer", "hidden", "--sample", 1]
    assert cli("plot", "potential", trace, *place, "--neuron", 2, "--neuron", 3, "-o", out).code == 0
    assert cli("plot", "rates", trace, *place, "--layer", "output", "-o", out).code == 0


def test_plot_of_a_recording(cli: Cli, recordings: Path, tmp_path: Path) -> None:
    file = recordings / "0" / "00000.bin"
    for kind in ("recording", "space-time"):
        outcome = cli("plot", kind, file, "--until", 20, "-o", tmp_path / f"{kind}.svg")
        assert outcome.code == 0, outcome.err
        assert (tmp_path / f"{kind}.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["rastr", "t.h5"], 2, "'rastr' is not one of 'recording', 'space-time', 'raster'"),
        (["raster", "t.h5", "t.h5"], 2, "'plot raster' takes one file, got 2."),
        (["raster", "t.h5", "--layer", "hidden"], 2, "--layer is not for 'plot raster'."),
        (["spsp", "t.h5", "--neuron", "1", "--neuron", "2"], 2, "takes --neuron 1 times at most, got 2"),
        (["raster", "t.h5", "--until", "3"], 2, "--until is not for 'plot raster'."),
        (["fields", "model.h5", "--sample", "3"], 2, "--sample is not for 'plot fields'."),
        (["raster", "t.h5", "-o", "t.h5"], 2, "--out t.h5 would overwrite a file that is to be read"),
        (["raster", "t.h5", "--sample", "3"], 1, "no sample 3; the trace holds the samples 0..1"),
        (["rates", "t.h5", "--layer", "no"], 1, "no layer 'no'; there are input, hidden, output"),
        (["intervals", "model.h5"], 1, "not an eventsnn trace"),
        (["fields", "t.h5"], 1, "t.h5"),
        (["confusion", "model.h5"], 1, "make a table with 'eventsnn evaluate --predictions FILE.csv'"),
        (["confusion", "recordings"], 1, "recordings/predictions.csv: no such file"),
        (["curves", "recordings"], 1, "recordings: no training run"),
        (["space-time", "none.bin"], 1, "none.bin"),
        (["network", "none.h5"], 1, "none.h5: no such file"),
    ],
)
def test_plot_says_what_it_can(
    cli: Cli,
    trace: Path,
    model: Path,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(trace.parent)
    outcome = cli("plot", *arguments, *([] if "-o" in arguments else ["-o", "p.png"]))
    assert outcome.code == code
    assert text in " ".join(outcome.err.split())
    assert not (trace.parent / "p.png").exists()
