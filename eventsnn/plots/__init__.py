"""Pictures of recordings, traces, networks and training, drawn with matplotlib (extra ``plot``) without a
display.
"""

from __future__ import annotations

from eventsnn.plots.activity import plot_intervals, plot_rates
from eventsnn.plots.confusion import plot_confusion
from eventsnn.plots.curves import plot_curves
from eventsnn.plots.explanation import plot_explanation
from eventsnn.plots.fields import plot_receptive_fields
from eventsnn.plots.network import plot_network
from eventsnn.plots.potential import plot_potential
from eventsnn.plots.raster import plot_raster
from eventsnn.plots.recording import plot_recording
from eventsnn.plots.sensitivity import plot_sensitivity
from eventsnn.plots.space_time import plot_space_time
from eventsnn.plots.spsp import plot_spsp

__all__ = [
    "plot_confusion",
    "plot_curves",
    "plot_explanation",
    "plot_intervals",
    "plot_network",
    "plot_potential",
    "plot_raster",
    "plot_rates",
    "plot_receptive_fields",
    "plot_recording",
    "plot_sensitivity",
    "plot_space_time",
    "plot_spsp",
]
