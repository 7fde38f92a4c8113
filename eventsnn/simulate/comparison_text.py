"""A comparison as text for people."""

from __future__ import annotations

from typing import Any

from eventsnn._util.names import printable
from eventsnn.simulate.comparison import Comparison, FirstDifference, LayerComparison, Side
from eventsnn.simulate.weight_comparison import format_table, format_weights

HEADINGS = (
    "layer", "spikes A", "spikes B", "equal", "moved", "only A", "only B", "most (ms)", "Victor-P.", "van R."
)  # fmt: skip

COUNTS = ("equal", "moved", "only_a", "only_b")


def format_comparison(comparison: Comparison, *, top: int = 10) -> str:
    """A comparison as text.

    Parameters
    ----------
    comparison : Comparison
    top : int
        How many of the differing decisions to list.
    """
    c = comparison
    lines = [_describe_side("A", c.a), _describe_side("B", c.b)]
    lines += [f"note: {printable(remark)}" for remark in c.remarks]
    compared = f"{c.samples:,} recording{'' if c.samples == 1 else 's'} compared"
    lines += ["", f"{compared}: every spike and decision is the same" if c.same else compared]
    if c.first is not None:
        lines.append(f"first spike that differs: {_describe_first(c.first)}")
    lines += ["", *_format_table(c)]
    lines += [
        f"Distances per recording: Victor & Purpura, moves of up to {c.within_ms:g} ms; van Rossum, "
        f"{c.tau_ms:g} ms."
    ]
    if c.readout_most is not None:
        lines.append(f"Readouts differ by {c.readout_most:.3g} at most.")
    if c.weights:
        lines += ["", *format_weights(c.weights)]
    return "\n".join([*lines, "", *_format_decisions(c, top)])


def _describe_side(letter: str, side: Side) -> str:
    neurons = "-".join(map(str, side.neurons.values()))
    facts = [f"{value}" for value in side.facts.values() if value]
    held = f"{side.samples:,} recording{'' if side.samples == 1 else 's'}"
    return f"{letter}  {printable(side.name)}: {', '.join([neurons, held, *facts])}"


def _describe_first(first: FirstDifference) -> str:
    sample = f"recording {first.sample_a}"
    if first.sample_b != first.sample_a:
        sample += f" of A and {first.sample_b} of B"
    source = f" ({printable(first.source)})" if first.source else ""
    told = [
        f"spike {index} at {time:.9g} ms in {letter}"
        for letter, index, time in (
            ("A", first.index_a, first.time_a),
            ("B", first.index_b, first.time_b),
        )
        if time is not None
    ]
    missing = "" if len(told) == 2 else f", none in {'B' if first.time_b is None else 'A'}"
    return f"{sample}{source}, neuron {first.neuron} of {first.layer!r}, {', '.join(told)}{missing}"


def _format_table(c: Comparison) -> list[str]:
    return format_table([HEADINGS, *(_row(layer, max(1, c.samples)) for layer in c.layers.values())])


def _row(layer: LayerComparison, samples: int) -> tuple[str, ...]:
    values: dict[str, Any] = layer.to_dict(samples)
    counts = [
        "-" if layer.neurons_a is None else f"{layer.spikes_a:,}",
        "-" if layer.neurons_b is None else f"{layer.spikes_b:,}",
        *("-" if values[key] is None else f"{values[key]:,}" for key in COUNTS),
    ]
    figures = [
        "-" if values[key] is None else f"{values[key]:.3g}"
        for key in ("most_ms", "victor_purpura", "van_rossum")
    ]
    return (printable(layer.name), *counts, *figures)


def _format_decisions(c: Comparison, top: int) -> list[str]:
    lines = [f"decisions: {c.samples - len(c.decisions):,} the same, {len(c.decisions):,} differ"]
    for change in c.decisions[:top]:
        label = "" if change.label is None else f", label {_name(change.label)}"
        source = f" ({printable(change.source)})" if change.source else ""
        lines.append(
            f"  recording {change.sample_a}{source}: A {_name(change.decision_a)}, "
            f"B {_name(change.decision_b)}{label}"
        )
    if len(c.decisions) > top:
        lines.append(f"  and {len(c.decisions) - top:,} more")
    accuracy = c.accuracy()
    if accuracy is not None:
        n = sum(c.right.values())
        lines.append(
            f"accuracy of {n:,} labelled: A {100 * accuracy[0]:.2f} %, B {100 * accuracy[1]:.2f} %; "
            f"A alone right {c.right.get((True, False), 0):,}, B alone {c.right.get((False, True), 0):,}"
        )
    return lines


def _name(output: int | str | None) -> str:
    return "none" if output is None else printable(str(output))
