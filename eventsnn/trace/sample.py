"""Facts about each simulation in a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eventsnn.trace.record import ExitReason


@dataclass(frozen=True)
class Sample:
    """One simulation of a trace.

    Attributes
    ----------
    index : int
    source : str
        Where it came from; "" if not given.
    label : int or None
        Its class.
    prediction : int or None
        Output neuron that decides, see `RunSettings`; None if the output stayed silent.
    epoch : int or None
    t_start, t_stop : float
        Its stretch of the file's global time, ms.
    t_end : float
        Local time (ms) up to which every spike is recorded; infinite when the network fell quiet.
    engine, dtype : str
    exit_reason : ExitReason
    origin_us : int
        The recording's time that is local time 0, microseconds; see `eventsnn.events.origin`.
    """

    index: int
    source: str
    label: int | None
    prediction: int | None
    epoch: int | None
    t_start: float
    t_stop: float
    t_end: float
    engine: str
    dtype: str
    exit_reason: ExitReason
    origin_us: int = 0

    @property
    def length(self) -> float:
        """Length of the sample, ms."""
        return self.t_stop - self.t_start

    @classmethod
    def from_row(cls, index: int, row: dict[str, Any]) -> Sample:
        """From the values of ``/samples`` by name."""
        return cls(
            index=index,
            source=row["source"].decode("utf-8"),
            label=row["label"] if row["label"] >= 0 else None,
            prediction=row["prediction"] if row["prediction"] >= 0 else None,
            epoch=row["epoch"] if row["epoch"] >= 0 else None,
            t_start=row["t_start"],
            t_stop=row["t_stop"],
            t_end=row["t_end"],
            engine=row["engine"].decode(),
            dtype=row["dtype"].decode(),
            exit_reason=ExitReason(row["exit_reason"].decode()),
            origin_us=row.get("origin_us", 0),
        )
