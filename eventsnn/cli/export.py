"""``eventsnn export``: models and traces as files of other programs.

What can be written depends on what INPUT is, and OUT's suffix names the format. `TARGETS` lists the formats;
a new one is a module with a function and a line there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from eventsnn.cli.common import FILE, json_option, report
from eventsnn.cli.output import output_argument, refuse_overwriting
from eventsnn.cli.tracing import Names, Numbers
from eventsnn.errors import EventFileError


@dataclass(frozen=True)
class Target:
    """A format that a kind of file can be exported to.

    Attributes
    ----------
    what : str
        What is written, as texts call it.
    write : str
        ``"module:function"``, imported when it is used: ``write(source, out, **options)`` writes the file
        `out` from the file `source` and returns the result for ``--json`` and the text for people.
    options : tuple of str
        Options of the command that it takes, by parameter name; `options` has those that were given. Others
        are refused.
    """

    what: str
    write: str
    options: tuple[str, ...] = ()


KINDS = {"eventsnn_network": "model", "eventsnn_trace": "trace"}
"""Attribute that shows what a file is, and what texts call it."""

TARGETS: dict[str, dict[str, Target]] = {
    "model": {
        ".nir": Target("a NIR graph (.nir)", "eventsnn.cli.to_nir:export_model", ("dialect", "dt", "strict")),
    },
    "trace": {
        ".nir": Target("NIRData (.nir)", "eventsnn.cli.to_nir:export_spikes", ("layers", "samples")),
    }
    | {
        suffix: Target(f"{what} ({suffix})", "eventsnn.cli.to_spikes:export_trace", ("layers", "samples"))
        for suffix, what in (
            (".parquet", "a table of Parquet"),
            (".csv", "a table of text"),
            (".npz", "arrays of NumPy"),
            (".nwb", "a file of NWB"),
        )
    },
}
"""Formats of each kind of file by their suffix."""


@click.command()
@click.argument("source", type=FILE, metavar="INPUT")
@output_argument("OUT", "The file to write.")
@click.option("--layers", type=Names(), help="Trace: layers whose spikes are written; all by default.")
@click.option("--samples", type=Numbers(), help="Trace: recordings, by their numbers from 0; all by default.")
@click.option(
    "--dialect",
    type=click.Choice(["portable", "snntorch", "norse", "rockpool", "spyx"]),
    help="NIR: the program that will read the graph; each takes the numbers in its own way. portable by "
    "default: what NIR itself says.",
)
@click.option(
    "--dt",
    type=float,
    metavar="SECONDS",
    help="NIR: the step of that program; 1e-4 for snntorch, 1e-3 for the others by default.",
)
@click.option(
    "--strict", is_flag=True, help="NIR: refuse what cannot be written exactly, rather than list it."
)
@json_option
def export(source: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Write a model or a trace in a format of other programs.

    OUT's suffix names the format: of a model .nir, a graph that snnTorch, Norse and others read; of a trace
    .parquet, .csv, .npz, .nwb, .nir, its spikes.

    \b
    Example:
      eventsnn export run/model.h5 model.nir --dialect snntorch
      eventsnn export run/model.h5 model.nir --dialect norse --dt 1e-3 --strict
      eventsnn export t.h5 spikes.parquet
      eventsnn export t.h5 spikes.nwb --layers hidden,output --samples 0-9
    """
    target = find_target(source, out)
    given = {name: value for name, value in options.items() if value not in (None, False, ())}
    for name in given:
        if name not in target.options:
            takers = _name_takers(name)
            raise click.UsageError(
                f"--{name.replace('_', '-')} goes with {takers}; {source} is a {file_kind(source)}."
            )
    refuse_overwriting("OUT", out, [source])
    module, _, function = target.write.partition(":")
    write: Callable[..., tuple[Any, str]] = getattr(import_module(module), function)
    report(*write(source, out, **given), as_json)


def find_target(source: Path, out: Path) -> Target:
    """The format of `out` for what is in `source`.

    Raises
    ------
    EventFileError
        `source` cannot be read, or is neither a model nor a trace.
    click.UsageError
        No format has the suffix of `out`; the text lists the suffixes for this kind of file.
    """
    kind = file_kind(source)
    target = TARGETS[kind].get(out.suffix.lower())
    if target is None:
        raise click.UsageError(
            f"{source} is a {kind}, and OUT {str(out)!r} must end in one of {', '.join(TARGETS[kind])}."
        )
    return target


def file_kind(file: Path) -> str:
    """``"model"`` or ``"trace"``; EventFileError for another file."""
    from eventsnn._util.hdf5 import read_marks

    if not file.exists():
        raise FileNotFoundError(2, "no such file", str(file))
    marks = read_marks(file)
    if marks is None:
        raise EventFileError(file, "a damaged HDF5 file")
    for mark, kind in KINDS.items():
        if mark in marks:
            return kind
    raise EventFileError(
        file, "neither a model nor a trace of eventsnn; 'eventsnn convert' writes recordings in other formats"
    )


def _name_takers(option: str) -> str:
    """The kinds of files that an option goes with, and what they are written as."""
    found = []
    for kind, targets in TARGETS.items():
        takers = [target.what for target in targets.values() if option in target.options]
        if takers:
            found.append(f"a {kind}, written as {' or '.join(takers)}")
    return "; or ".join(found)
