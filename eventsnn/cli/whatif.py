"""``eventsnn whatif``: a simulation again, with edits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eventsnn.cli.common import FILE, F, json_option, report, sample_option, top_option

if TYPE_CHECKING:
    from eventsnn.simulate.what_if import WhatIf


class EventNumbers(click.ParamType):
    """``17`` or ``17,20-30``: numbers of input events."""

    name = "LIST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, list):
            return value
        found: list[tuple[int, int]] = []  # first and last
        for part in str(value).split(","):
            first, dash, last = part.strip().partition("-")
            if not (_is_number(first) and (not dash or (_is_number(last) and int(first) <= int(last)))):
                self.fail(f"{part!r} is no event; write numbers and ranges, such as 17,20-30", param, ctx)
            found.append((int(first), int(last or first)))
        return found


class Assignment(click.ParamType):
    """``NAME=NUMBER``, the name being checked by the command."""

    name = "X=Y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        left, equals, right = str(value).rpartition("=")
        try:
            return left.strip(), float(right if equals else "")
        except ValueError:
            self.fail(f"{value!r} does not end in '=' and a number", param, ctx)


def _assignments(name: str, metavar: str, text: str) -> Callable[[F], F]:
    """An option that takes an `Assignment`, any number of times."""
    return click.option(name, type=Assignment(), multiple=True, metavar=metavar, help=text)


@click.command()
@click.argument("trace", type=FILE, metavar="T.h5")
@sample_option
@click.option(
    "--remove",
    type=EventNumbers(),
    multiple=True,
    metavar="LIST",
    help="Input events that did not happen, counted from 0 in order of time: 17,20-30.",
)
@_assignments("--move", "EVENT=MS", "Another time of an input event, ms.")
@click.option("--silence", multiple=True, metavar="LAYER:NEURON", help="A neuron that never fires.")
@_assignments(
    "--weight",
    "KEY:POST,PRE=VALUE",
    "Another weight of a layer or connection; of a convolution KEY:CHANNEL,FROM,Y,X=VALUE.",
)
@click.option(
    "--flip", is_flag=True, help="Look for few events whose removal makes another output neuron win."
)
@click.option(
    "--by",
    type=click.Choice(["contribution", "sensitivity"]),
    default=None,
    help="How --flip ranks events; by their contributions by default.",
)
@top_option("How many changed spikes of a layer to print.")
@json_option
def whatif(
    trace: Path,
    sample: int,
    remove: tuple[list[tuple[int, int]], ...],
    move: tuple[tuple[str, float], ...],
    silence: tuple[str, ...],
    weight: tuple[tuple[str, float], ...],
    flip: bool,
    by: str | None,
    top: int,
    as_json: bool,
) -> None:
    """Simulate again with edits and show what changes.

    A recording of a trace is simulated again, exactly, without some events, with events at other times,
    without a neuron or with other weights. Every edit may be given several times. Shown are the decision, the
    first spike that differs, and all spikes that are lost, new, or at another time.

    \b
    Example:
      eventsnn simulate run/model.h5 Test/3/00021.bin --trace t.h5
      eventsnn whatif t.h5 --remove 17,20-30 --silence hidden:382
      eventsnn whatif t.h5 --flip
    """
    from eventsnn.simulate.differences import format_difference
    from eventsnn.simulate.what_if import WhatIf
    from eventsnn.trace import Trace

    edits = {
        "move": {_event(name): time for name, time in move} or None,
        "silence": [_neuron(text) for text in silence] or None,
        "weights": _weights(weight) or None,
    }
    given = bool(remove) or any(edit is not None for edit in edits.values())
    if given == flip:
        raise click.UsageError(
            "Give --flip alone, without edits."
            if flip
            else "Give an edit: --remove, --move, --silence or --weight; or --flip."
        )
    if by is not None and not flip:
        raise click.UsageError("--by is for --flip.")
    with Trace(trace) as opened:
        study = WhatIf(opened, sample)
    if flip:
        _report_flip(study, by or "contribution", top, as_json)
        return
    events = _list_events([part for parts in remove for part in parts], len(study.record.input))
    difference = study.run(remove=events or None, **edits)  # type: ignore[arg-type]
    report(difference.to_dict(), format_difference(difference, top=top), as_json)


def _report_flip(study: WhatIf, by: str, top: int, as_json: bool) -> None:
    from eventsnn.simulate.differences import format_difference
    from eventsnn.simulate.flip import flip_decision, format_flip

    found = flip_decision(study, by)
    if found is None:
        text = "no set of events was found whose removal makes another output neuron win"
        report({"flips": False, "events": []}, text, as_json)
        return
    text = f"{format_flip(found, study.network, top=top)}\n\n{format_difference(found.difference, top=top)}"
    report(found.to_dict(), text, as_json)


def _list_events(ranges: list[tuple[int, int]], count: int) -> list[int]:
    """The events of some ranges; of one that goes beyond the last event, its end, which is refused."""
    return [n for first, last in ranges for n in (range(first, last + 1) if last < count else (last,))]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 12


def _event(text: str) -> int:
    if not _is_number(text):
        raise click.UsageError(f"--move: {text!r} is no number of an event; write EVENT=MS, such as 17=20.5.")
    return int(text)


def _neuron(text: str) -> tuple[str, int]:
    layer, _, neuron = text.rpartition(":")
    if not layer or not _is_number(neuron):
        raise click.UsageError(f"--silence: {text!r} is no neuron; write LAYER:NEURON, such as hidden:382.")
    return layer, int(neuron)


def _weights(given: tuple[tuple[str, float], ...]) -> dict[str, dict[tuple[int, ...], float]]:
    found: dict[str, dict[tuple[int, ...], float]] = {}
    for text, value in given:
        key, _, place = text.rpartition(":")
        numbers = place.split(",")
        if not key or not all(_is_number(number.strip()) for number in numbers):
            raise click.UsageError(
                f"--weight: {text!r} is no weight; write KEY:POST,PRE=VALUE, such as output:3,17=0.5."
            )
        found.setdefault(key, {})[tuple(int(number) for number in numbers)] = value
    return found
