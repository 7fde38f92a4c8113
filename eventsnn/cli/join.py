"""``eventsnn join``: one file of the files of all shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from eventsnn._util.words import number_of
from eventsnn.cli.common import FILE, json_option, report
from eventsnn.cli.output import refuse_overwriting


@click.command()
@click.argument("parts", type=FILE, metavar="PART...", nargs=-1, required=True)
@click.option("-o", "--out", type=FILE, required=True, metavar="FILE", help="The file to write.")
@click.option("--virtual", is_flag=True, help="Traces: name the files in a small one, and copy nothing.")
@json_option
def join(parts: tuple[Path, ...], out: Path, virtual: bool, as_json: bool) -> None:
    """Make one file of those that the shards of a command wrote.

    Joins packed sets (.esp, of pack and encode), predictions (.csv and .json, of evaluate) and traces (.h5,
    of simulate and evaluate). The result is what the command would have written without --shard. The names
    of the files say which shards they are, so their order does not matter, and none may be missing. Files of
    other names are joined in the order given.

    With --virtual a trace is a small file that names the others, which lie in its folder or below: every
    command reads them through it as one trace, and the folder can be moved as a whole.

    \b
    Example:
      eventsnn pack N-MNIST/Train train.esp --shard 1/2
      eventsnn pack N-MNIST/Train train.esp --shard 2/2
      eventsnn join train.*-of-2.esp --out train.esp
    """
    from eventsnn.data.shard import order_parts

    refuse_overwriting("--out", out, parts)
    ordered = order_parts(list(parts))
    kind = out.suffix.lower()
    if kind not in _JOIN:
        raise click.UsageError(
            f"{out}: there is no way to join such files; --out is one of {', '.join(_JOIN)}."
        )
    if virtual and kind != ".h5":
        raise click.UsageError(f"{out}: --virtual is for traces (.h5).")
    result, text = _join_traces(ordered, out, virtual) if kind == ".h5" else _JOIN[kind](ordered, out)
    facts = {"out": str(out), "parts": [str(part) for part in ordered], **result}
    report(facts, f"{text}, of {number_of(len(ordered), 'file')}: {out}", as_json)


def _join_packed(parts: list[Path], out: Path) -> tuple[dict[str, Any], str]:
    from eventsnn.data import Packed, join_packed

    events = join_packed(parts, out)
    n = len(Packed(out))
    text = f"{number_of(n, 'recording')}, {number_of(events, 'event')}"
    return {"recordings": n, "events": events}, text


def _join_predictions(parts: list[Path], out: Path) -> tuple[dict[str, Any], str]:
    from eventsnn.train.predictions import join_predictions

    n, correct = join_predictions(parts, out)
    text = f"accuracy {100 * correct / n:.2f} % of {number_of(n, 'recording')}"
    return {"n": n, "accuracy": correct / n}, text


def _join_traces(parts: list[Path], out: Path, virtual: bool = False) -> tuple[dict[str, Any], str]:
    from eventsnn.trace import join as join_traces

    n = join_traces(parts, out, virtual=virtual)
    return {"samples": n}, f"{number_of(n, 'sample')}"


_JOIN = {".esp": _join_packed, ".h5": _join_traces, ".csv": _join_predictions, ".json": _join_predictions}
