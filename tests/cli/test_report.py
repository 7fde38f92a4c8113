"""``eventsnn evaluate --report``."""

from __future__ import annotations

import json

import pytest

import eventsnn as es
from tests.cli.conftest import SENSOR, write_recordings


@pytest.fixture
def model_and_data(tmp_path):
    data = write_recordings(tmp_path / "data", 2)
    network = es.Network(
        es.Input(*SENSOR), es.Dense(6, name="hidden", threshold=0.5), es.Dense(2, threshold=0.2), seed=1
    )
    network.with_classes(["0", "1"]).save(tmp_path / "model.h5")
    return tmp_path / "model.h5", data


def test_the_report_has_the_names_of_neurobench(cli, model_and_data, tmp_path) -> None:
    model, data = model_and_data
    out = tmp_path / "neurobench.json"
    result = cli("evaluate", model, "--data", data, "--report", out, "--report-dt", 0.5, "--json").json
    report = json.loads(out.read_text())
    assert result["report"] == str(out)
    assert set(report) == {
        *("Footprint", "ParameterCount", "ConnectionSparsity", "ActivationSparsity", "SynapticOperations"),
        *("MembraneUpdates", "ClassificationAccuracy", "eventsnn"),
    }
    assert set(report["SynapticOperations"]) == {"Effective_MACs", "Effective_ACs", "Dense"}
    assert report["ClassificationAccuracy"] == result["accuracy"]
    own = report["eventsnn"]
    assert (own["dt_ms"], own["recordings"]) == (0.5, 4)
    each = own["each_recording"]
    assert each["layers"] == ["hidden", "output"]
    # No weight is 0: 6 additions for an event, 2 for a spike of the hidden layer.
    assert [row[0] for row in each["effective"]] == [6 * events for events in each["events"]]
    assert [row[1] for row in each["effective"]] == [2 * spikes[0] for spikes in each["spikes"]]
    assert report["SynapticOperations"]["Effective_ACs"] == sum(map(sum, each["effective"])) / 4
    assert result["operations"]["effective_per_recording"] == report["SynapticOperations"]["Effective_ACs"]


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (("--report-dt", "0"), 2, "0.0 is not in the range x>0.0"),
        (("--shard", "1/2"), 2, "--report is about all recordings: leave --shard out"),
    ],
)
def test_what_a_report_cannot_be(cli, model_and_data, tmp_path, options, code, problem) -> None:
    model, data = model_and_data
    outcome = cli("evaluate", model, "--data", data, "--report", tmp_path / "r.json", *options)
    assert outcome.code == code
    assert problem in outcome.err
    assert not (tmp_path / "r.json").exists()


def test_a_step_of_no_report_is_refused(cli, model_and_data) -> None:
    model, data = model_and_data
    outcome = cli("evaluate", model, "--data", data, "--report-dt", "2")
    assert outcome.code == 2
    assert "--report-dt goes with --report" in outcome.err


@pytest.mark.parametrize(
    ("option", "name", "problem"),
    [
        ("--report", "r.csv", "a report is JSON; name it .json"),
        ("--report", "none/r.json", "there is no folder"),
        ("--predictions", "none/p.csv", "there is no folder"),
    ],
)
def test_a_place_that_cannot_be_written_is_found_before_the_work(
    cli, model_and_data, tmp_path, option, name, problem
) -> None:
    model, data = model_and_data
    outcome = cli("evaluate", model, "--data", data, option, tmp_path / name)
    assert outcome.code == 2
    assert problem in outcome.err
    assert "fired" not in outcome.err + outcome.out
