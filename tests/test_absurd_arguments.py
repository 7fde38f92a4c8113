"""Arguments of the Python API that make no sense: one short error of eventsnn's that names the argument."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import eventsnn as es
from eventsnn.errors import EventSNNError
from tests.events.helpers import random_stream

NETWORK = es.Network(es.Input(4, 4, 2), es.Dense(6, threshold=0.5), es.Dense(3), seed=1)
STREAM = random_stream(60, sensor_size=(4, 4, 2))
DATA = es.data.ListDataset([STREAM] * 6, [0, 1, 2] * 2)

NO_NETWORK = (None, "model.h5", b"model.h5", 1, [])
NO_TIME = (-1, math.nan, -math.inf, 10**400, -(10**400), "x", "", b"x", [], [1], {}, 1j, np.zeros(3), True)
NO_TEXT = ("x" * 10**5, b"exact", 1, 10**400, [], ["exact"], {}, np.zeros(3), math.nan)
NO_DTYPE = ("9" * 5000, "int8", b"x", 1, 10**400, [], {}, 1j, math.nan)
NO_SETTINGS = (True, 0, "x", {}, [], np.zeros(3))
NO_THREADS = (0, -1, 1025, 10**6, 10**400, 1.5, math.nan, True, "x", [], np.zeros(3))
NO_STEP = (*NO_TIME, 0, math.inf)


def simulate(**arguments: Any) -> None:
    es.simulate(**{"network": NETWORK, "events": STREAM, **arguments})


def evaluate(**arguments: Any) -> None:
    es.evaluate(**{"network": NETWORK, "data": DATA, **arguments})


def train(**arguments: Any) -> None:
    es.train(**{"network": NETWORK, "data": DATA, "epochs": 1, "valid_fraction": 0.5, **arguments})


NO_FORMAT = (b"csv", 1, 1.5, True, [], {}, 1j, np.zeros(3))
NO_RECTANGLE = (
    True,
    1,
    1.5,
    "x",
    "0123",
    b"0123",
    [],
    [1],
    (0, 0, 2.5, 3),
    (0, 0, 10**400, 1),
    {},
    np.zeros(4),
)
NO_FACTOR = (None, 0, -1, 1.5, 10**400, True, "2", [2], 1j, math.nan, np.zeros(3))
READING = {
    "format": NO_FORMAT,
    "columns": NO_FORMAT,
    "stream": (b"x", *NO_FORMAT[2:]),
    "sample": [*NO_FORMAT[2:], "x"],
    "on_bad": (*NO_TEXT, None),
    "on_cut": NO_TEXT,
    "t_from": (None, *NO_TIME),
    "t_until": (None, 0, *NO_TIME),
    "crop": NO_RECTANGLE,
    "downsample": NO_FACTOR,
}


@pytest.mark.parametrize("path", [None, 1, [], 3.5, b"a\0b", "a\0b"])
@pytest.mark.parametrize(
    "function",
    [
        es.read,
        es.open_events,
        es.data.Folder,
        es.data.Packed,
        es.Trace,
        es.Network.load,
        lambda path: es.events.write(path, STREAM),
    ],
)
def test_what_is_no_path(function: Any, path: Any) -> None:
    with pytest.raises(EventSNNError, match=r"(path|root) must be the name of a file, got"):
        function(path)


@pytest.mark.parametrize("name", READING)
def test_reading_options(name: str) -> None:
    for value in READING[name]:
        with pytest.raises(EventSNNError, match=name.removeprefix("t_")) as caught:
            es.ReadingOptions(**{name: value})
        assert len(str(caught.value)) < 300


def simulate_in_parts(until: Any = None, **arguments: Any) -> None:
    es.Simulation(**{"network": NETWORK, **arguments}).feed(STREAM, until=until)


ARGUMENTS = {
    simulate: {
        "network": NO_NETWORK,
        "engine": NO_TEXT,
        "dtype": NO_DTYPE,
        "t_stop": NO_TIME,
    },
    evaluate: {
        "network": NO_NETWORK,
        "engine": NO_TEXT,
        "dtype": NO_DTYPE,
        "t_stop": NO_TIME,
        "duration_ms": [time for time in NO_STEP if time is not math.inf],
        "threads": NO_THREADS,
    },
    train: {
        "network": NO_NETWORK,
        "rule": NO_SETTINGS,
        "optimiser": NO_SETTINGS,
        "augmentation": NO_SETTINGS,
        "distortion": NO_SETTINGS,
        "engine": NO_TEXT,
        "device": NO_TEXT,
        "stabilise": NO_TEXT,
        "dtype": NO_DTYPE,
        "duration_ms": NO_STEP,
        "valid_fraction": [time for time in NO_TIME if time is not None],
        "threads": NO_THREADS,
    },
    simulate_in_parts: {
        "network": NO_NETWORK,
        "engine": NO_TEXT,
        "dtype": NO_DTYPE,
        "t_stop": NO_TIME,
        "until": (*NO_TIME, math.inf),
    },
}


@pytest.mark.parametrize(
    ("function", "name"), [(function, name) for function, names in ARGUMENTS.items() for name in names]
)
def test_one_short_error_names_the_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Any, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for value in ARGUMENTS[function][name]:
        with pytest.raises(EventSNNError, match=name) as caught:
            function(**{name: value})
        assert len(str(caught.value)) < 300
    assert not list(tmp_path.iterdir())


NO_NUMBER = (*NO_TIME[:-1], 0)
ENCODERS: dict[type, dict[str, tuple[Any, ...]]] = {
    es.encode.BSA: {"threshold": NO_NUMBER[:-1], "form": NO_TEXT, "step_ms": (*NO_NUMBER, 1e308, 10**20)},
    es.encode.Delta: {"threshold": NO_NUMBER},
    es.encode.Latency: {"law": NO_TEXT, "last_ms": (*NO_NUMBER, 1e308), "least": NO_NUMBER},
    es.encode.Poisson: {"rate_hz": (*NO_NUMBER, math.inf), "duration_ms": (*NO_NUMBER, 1e308)},
    es.encode.Bernoulli: {"scale": NO_NUMBER, "steps": (*NO_NUMBER, 1.5), "step_ms": (*NO_NUMBER, 1e308)},
    es.encode.Cochlea: {
        "sample_rate": (*NO_NUMBER, 1e308, math.inf),
        "step": (*NO_NUMBER, 1e20, 1e-320, 1e-6),
        "ear_q": (*NO_NUMBER, 1e308, 0.1),
    },
    es.encode.SpeechEncoder: {
        "cochlea": NO_SETTINGS,
        "bsa": NO_SETTINGS,
        "gain": NO_NUMBER,
        "hold": (*NO_NUMBER, 1.5, 10**6),
    },
    es.encode.SaccadeCamera: {
        name: (*NO_NUMBER[:-1], 1e308)
        for name in (
            *("scale", "offset_px", "motion", "black_level", "blur_px", "threshold_on", "threshold_off"),
            *("mismatch", "pattern_seed", "refractory_ms", "low_pass_ms", "noise_hz", "noise_bias"),
            *("noise_spread", "duration_ms", "step_ms"),
        )
    },
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in ENCODERS.items() for name in names]
)
def test_encoders(kind: type, name: str) -> None:
    needed = {"threshold": 1.0} if kind is es.encode.Delta else {}
    for value in ENCODERS[kind][name]:
        with pytest.raises(EventSNNError, match=name.removesuffix("_ms")) as caught:
            kind(**{**needed, name: value})
        assert len(str(caught.value)) < 300


def test_a_part_of_a_stream() -> None:
    for times in ((10**400, 1.0), (0.0, "x"), (math.nan, 1.0), (2.0, 1.0), (None, 1.0)):
        with pytest.raises(EventSNNError, match="between needs two times"):
            STREAM.between(*times)  # type: ignore[arg-type]
    assert len(STREAM.between(1e308)) == 0
    assert STREAM.between(-1e308, 1e308) == STREAM
