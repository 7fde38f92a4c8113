"""Run settings stored with a network: samples run as in the training of its weights by default."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from eventsnn._util.arguments import check_choice, check_span
from eventsnn._util.numbers import describe
from eventsnn.errors import NetworkError

ENGINES = ("exact", "clocked")
STABILISATIONS = ("nmnist",)
DECISIONS = ("count", "first")
DEFAULT_STEP_MS = 1.0


@dataclass(frozen=True)
class RunSettings:
    """How the weights of a network were trained, and therefore how it is evaluated.

    A model file keeps them; `evaluate` and `simulate` follow them unless told otherwise.

    Parameters
    ----------
    engine : {"exact", "clocked"}
        Exact spike times, or the steps of the HM2-BP authors' clock.
    step_ms : float, optional
        Length of the clock's step, ms, > 0; 1 by default. None in exact time, which has no steps.
    duration_ms : float, optional
        A sample lasts so long, ms, > 0: events at this time or later are cut, the clock takes
        ``ceil(duration_ms / step_ms)`` steps, biases fire until then, and spikes inserted for a silent label
        neuron are spread over it. None: a sample ends with its last event.
    stabilise : {"nmnist"}, optional
        Removal of the sensor's motion from recordings before anything else; see
        `eventsnn.events.Stabilisation`.
    decision : {"count", "first"}
        The output neuron with the most spikes decides, or the one that fires first: the lowest among equals.
        No decision where all are silent.

    Raises
    ------
    NetworkError
        Naming the field.
    """

    engine: str = "exact"
    step_ms: float | None = None
    duration_ms: float | None = None
    stabilise: str | None = None
    decision: str = "count"

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, ENGINES, NetworkError)
        if self.engine == "exact" and self.step_ms is not None:
            raise NetworkError(
                f"step_ms is for engine 'clocked', got step_ms {describe(self.step_ms)} in exact time"
            )
        if self.engine == "clocked" and self.step_ms is None:
            object.__setattr__(self, "step_ms", DEFAULT_STEP_MS)
        check_step(self.step_ms)
        _check_positive("duration_ms", self.duration_ms)
        if self.stabilise is not None:
            check_choice("stabilise", self.stabilise, STABILISATIONS, NetworkError)
        check_choice("decision", self.decision, DECISIONS, NetworkError)

    def to_table(self) -> dict[str, Any]:
        """Settings that differ from the defaults, as plain values; empty for exact time."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "exact", "count")}

    @classmethod
    def from_json(cls, text: str, where: str) -> RunSettings:
        """From the JSON of a model file; `where` names the file in errors."""
        try:
            table = json.loads(text)
            unknown = [name for name in table if name not in {field.name for field in fields(cls)}]
            if unknown:
                raise NetworkError(f"unknown field {unknown[0]!r}; install a newer eventsnn")
            return cls(**table)
        except NetworkError as error:
            raise NetworkError(f"{where}: run settings: {error}") from None
        except (TypeError, ValueError, json.JSONDecodeError) as error:
            raise NetworkError(f"{where}: run settings are damaged ({error})") from None


def check_step(step_ms: object) -> None:
    """Raise NetworkError unless `step_ms` is None or a finite number above 0."""
    _check_positive("step_ms", step_ms)


def _check_positive(name: str, value: object) -> None:
    if value is not None:
        check_span(name, value, NetworkError)
