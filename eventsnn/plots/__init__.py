"""Pictures of traces and recordings, drawn with matplotlib (extra ``plot``) without a display."""

from __future__ import annotations

from eventsnn.plots.explanation import plot_explanation
from eventsnn.plots.potential import plot_potential
from eventsnn.plots.raster import plot_raster
from eventsnn.plots.recording import plot_recording
from eventsnn.plots.sensitivity import plot_sensitivity
from eventsnn.plots.spsp import plot_spsp

__all__ = [
    "plot_explanation",
    "plot_potential",
    "plot_raster",
    "plot_recording",
    "plot_sensitivity",
    "plot_spsp",
]
