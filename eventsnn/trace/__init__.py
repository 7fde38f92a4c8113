"""Traces: the spikes, network and input of simulations in one HDF5 file, and explanations of spikes."""

from __future__ import annotations

from eventsnn.trace.explain import Explanation, explain, format_explanation
from eventsnn.trace.join import join
from eventsnn.trace.operations import Operations, count_operations, neurobench
from eventsnn.trace.options import TraceOptions
from eventsnn.trace.potential import membrane_potential, synaptic_current
from eventsnn.trace.reader import Trace
from eventsnn.trace.sample import Sample
from eventsnn.trace.sensitivity import Sensitivity, format_sensitivity, sensitivity
from eventsnn.trace.summary import format_summary, summarise
from eventsnn.trace.writer import TraceWriter

__all__ = [
    "Explanation",
    "Operations",
    "Sample",
    "Sensitivity",
    "Trace",
    "TraceOptions",
    "TraceWriter",
    "count_operations",
    "explain",
    "format_explanation",
    "format_sensitivity",
    "format_summary",
    "join",
    "membrane_potential",
    "neurobench",
    "sensitivity",
    "summarise",
    "synaptic_current",
]
