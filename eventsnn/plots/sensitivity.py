"""Picture of a sensitivity beside the contributions: what moves a spike, and what made it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from eventsnn.plots.explanation import draw_contributions, draw_events_in_time, draw_events_on_sensor
from eventsnn.plots.figure import INK, picture
from eventsnn.trace.explain import Explanation
from eventsnn.trace.sensitivity import Sensitivity


def plot_sensitivity(
    sensitivity: Sensitivity, explanation: Explanation, path: str | os.PathLike[str]
) -> None:
    """Draw contributions (left) and derivatives by the events' times (right), over the sensor and over time.

    Parameters
    ----------
    sensitivity : Sensitivity
    explanation : Explanation
        Of the same spike.
    path : path
        File to write; for formats and errors see `plot_explanation`.
    """
    s, values = sensitivity, sensitivity.events["derivative"]
    with picture(path) as figure:
        grazing = ", grazing" if s.is_grazing else ""
        figure.suptitle(
            f"Neuron {s.neuron} of {s.layer!r} at {s.time_ms:.3f} ms (spike {s.spike} counted from 0, "
            f"sample {s.sample}): slope {s.slope:.3g} per ms{grazing}",
            fontsize=17,
        )
        parts: Any = figure.subfigures(2, 2, height_ratios=(1.2, 1.0))
        parts[0, 0].suptitle("Contribution: what added up to the threshold", fontsize=15)
        draw_contributions(parts[0, 0], parts[1, 0], explanation, columns=2)
        parts[0, 1].suptitle("Sensitivity: how the spike moves with an event's time", fontsize=15)
        draw_events_on_sensor(parts[0, 1], s.events, values, s.sensor_size, "ms per ms")
        panel, total = parts[1, 1].subplots(), float(np.sum(values))
        draw_events_in_time(panel, s.events, values, s.time_ms, total, ("along with it", "against it"))
        panel.axhline(
            total, color=INK, linestyle="--", linewidth=1.2, label=f"all events together: {total:.3g}"
        )
        panel.set_ylabel("derivative (ms per ms)")
        panel.legend(loc="lower left", bbox_to_anchor=(0.0, 0.99), ncols=2)
