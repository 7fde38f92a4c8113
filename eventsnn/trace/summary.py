"""Summary of a trace in numbers."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from eventsnn._util.names import are_numbers, printable
from eventsnn._util.words import number_of
from eventsnn.trace.operations import ADDITION_PJ, count_operations
from eventsnn.trace.reader import Trace


def summarise(trace: str | os.PathLike[str] | Trace) -> dict[str, Any]:
    """Samples, activity and decisions of a trace, as plain values that JSON can hold.

    Parameters
    ----------
    trace : path or Trace

    Returns
    -------
    dict
        ``file``, ``file_mb``, ``parts`` (files that it names, see `join`; their size counts), ``complete``
        (False for a ``.part`` file), ``created``, ``seed``, ``engines``, ``dtypes``, ``recorded``,
        ``network`` (neurons per layer, the input first), ``samples``,
        ``duration_ms`` (of all samples), ``events`` (input spikes), ``layers``: per layer ``neurons``,
        ``spikes``, ``spikes_per_sample``, ``rate_hz`` (per neuron, None without duration),
        ``silent_fraction`` (neurons that never fired, None without samples), ``additions_per_sample`` (of
        weights to synaptic currents) and ``effective_per_sample`` (those of weights that are not 0);
        ``operations``: all of them, see `eventsnn.trace.operations.Operations.to_dict`; ``learned``: what
        training has changed of each layer besides its weights, by layer and field; ``decisions`` (samples per
        output neuron), ``classes`` (names of the output neurons, or None), ``no_decision``, ``labelled`` and
        ``accuracy`` (of the labelled ones, None if there are none; no decision counts as wrong).

    Raises
    ------
    TraceError
        The file is not a trace.
    """
    if not isinstance(trace, Trace):
        with Trace(trace) as opened:
            return summarise(opened)
    samples = trace.samples
    duration = sum(sample.length for sample in samples)
    labelled = [sample for sample in samples if sample.label is not None]
    right = sum(sample.label == sample.prediction for sample in labelled)
    decisions = [0] * trace.network.output.neurons
    for sample in samples:
        if sample.prediction is not None:
            decisions[sample.prediction] += 1
    operations = count_operations(trace).to_dict()
    activities = {name: _activity(trace.counts(name), duration) for name in trace.network.names}
    for name, activity in activities.items():
        activity["additions_per_sample"] = operations["layers"][name]["additions"]
        activity["effective_per_sample"] = operations["layers"][name]["effective"]
    return {
        "file": str(trace.path),
        "file_mb": round(sum(file.stat().st_size for file in (trace.path, *trace.part_paths)) / 1e6, 3),
        "parts": [str(part) for part in trace.part_paths],
        "complete": not trace.is_part,
        "created": trace.created,
        "seed": trace.seed,
        "engines": sorted({sample.engine for sample in samples}),
        "dtypes": sorted({sample.dtype for sample in samples}),
        "recorded": list(trace.recorded),
        "network": [trace.network.input.neurons, *(layer.neurons for layer in trace.network.layers)],
        "samples": len(samples),
        "duration_ms": duration,
        "events": trace.n_spikes("input"),
        "layers": activities,
        "operations": operations,
        "learned": {str(layer.name): layer.learned for layer in trace.network.layers if layer.learn},
        "decisions": decisions,
        "classes": None if trace.network.classes is None else list(trace.network.classes),
        "no_decision": sum(sample.prediction is None for sample in samples),
        "labelled": len(labelled),
        "accuracy": right / len(labelled) if labelled else None,
    }


def _activity(counts: np.ndarray, duration_ms: float) -> dict[str, Any]:
    """Activity of one layer from its spike counts (samples, neurons)."""
    n_samples, neurons = counts.shape
    spikes = int(counts.sum())
    return {
        "neurons": neurons,
        "spikes": spikes,
        "spikes_per_sample": spikes / n_samples if n_samples else None,
        "rate_hz": spikes / neurons / (duration_ms / 1000.0) if duration_ms > 0 else None,
        "silent_fraction": float(np.mean(counts.sum(axis=0) == 0)) if n_samples else None,
    }


def format_summary(summary: dict[str, Any]) -> str:
    """The result of `summarise` as text."""
    s = summary
    state = "" if s["complete"] else "  (not finished: the run was killed or is still going on)"
    seed = "not given" if s["seed"] is None else s["seed"]
    parts = f" in {number_of(len(s['parts']), 'file')} that it names" if s["parts"] else ""
    lines = [
        f"{s['file']}  {s['file_mb']:.2f} MB{parts}{state}",
        f"created {s['created']}, seed {seed}, "
        f"engine {', '.join(s['engines']) or '-'}, {', '.join(s['dtypes']) or '-'}",
        f"recorded: {', '.join(s['recorded'])}",
        f"network {'-'.join(map(str, s['network']))}, {number_of(s['samples'], 'sample')}, "
        f"{s['duration_ms'] / 1000.0:.3f} s in all, {number_of(s['events'], 'input event')}",
        "",
    ]
    width = max(len("layer"), *(len(name) for name in s["layers"]))
    lines.append(
        f"{'layer':<{width}}    neurons       spikes    per sample  rate (Hz)  silent (%)  "
        "additions per sample  with weights not 0"
    )
    for name, layer in s["layers"].items():
        silent = None if layer["silent_fraction"] is None else 100.0 * layer["silent_fraction"]
        lines.append(
            f"{name:<{width}}  {layer['neurons']:>9,d}  {layer['spikes']:>11,d}  "
            f"{_number(layer['spikes_per_sample'], 12)}  {_number(layer['rate_hz'], 9)}  "
            f"{_number(silent, 10)}  {_number(layer['additions_per_sample'], 20)}  "
            f"{_number(layer['effective_per_sample'], 18)}"
        )
    operations = s["operations"]
    if operations["effective_per_recording"] is not None:
        each, energy = operations["effective_per_spike"], operations["energy_nj_per_recording"]
        lines.append(
            f"additions of weights that are not 0: {operations['effective_per_recording']:,.0f} per sample, "
            f"{each or 0.0:,.1f} per spike or event; {energy:,.1f} nJ per sample at {ADDITION_PJ} pJ each"
        )
    for name, fields in s["learned"].items():
        lines.append(f"learned of {name}: {', '.join(map(_learned, fields, fields.values()))}")
    names = s["classes"] or []
    names = [] if are_numbers(names) else names
    decided = ", ".join(
        f"{neuron}{f' ({printable(names[neuron])})' if neuron < len(names) else ''}: {n}"
        for neuron, n in enumerate(s["decisions"])
        if n
    )
    lines += [
        "",
        f"decisions (neuron: samples)  {decided or 'none'};  no decision: {s['no_decision']}",
    ]
    if s["labelled"]:
        lines.append(f"accuracy {100.0 * s['accuracy']:.2f} % of {s['labelled']} labelled samples")
    return "\n".join(lines)


def _learned(field: str, value: Any) -> str:
    if isinstance(value, tuple):
        return f"{field} {min(value):g} to {max(value):g} of {len(value)} source neurons"
    return f"{field} {value:g}"


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width},.2f}"
