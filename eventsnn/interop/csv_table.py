"""Spikes as text: a line ``sample,layer,neuron,time_ms`` for each, times with as many digits as they need."""

from __future__ import annotations

import csv
import io
from array import array
from pathlib import Path

import numpy as np

from eventsnn._util.atomic import replace_file
from eventsnn.errors import TraceError
from eventsnn.interop.spike_table import SpikeTable, make_table
from eventsnn.trace.tables import Columns, SpikeSelection

HEADER = ("sample", "layer", "neuron", "time_ms")


def write(selection: SpikeSelection, path: Path) -> None:
    """See `eventsnn.interop.export_spikes`."""
    names = list(selection.sizes)
    with replace_file(path, lambda text: TraceError(f"{path}: {text}")) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(HEADER)
        for chunk in selection.chunks():
            layers = [names[number] for number in chunk.layer.tolist()]
            # The csv module writes a float with the fewest digits that give the same bits.
            rows.writerows(
                zip(chunk.sample.tolist(), layers, chunk.neuron.tolist(), chunk.time_ms.tolist(), strict=True)
            )
        text.flush()
        text.detach()


def read(path: Path) -> SpikeTable:
    """See `eventsnn.interop.read_spikes`."""

    def failure(text: str) -> TraceError:
        return TraceError(f"{path}: {text}")

    sample, layer, neuron, times = array("i"), array("i"), array("i"), array("d")
    names: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file)
            header = [name.strip() for name in next(rows, [])]
            for name in ("neuron", "time_ms"):
                if name not in header:
                    raise failure(f"line 1: no column {name!r}; the columns are {', '.join(header)}")
            places = [header.index(name) if name in header else None for name in HEADER]
            for row in rows:
                if not row:
                    continue
                cells = [None if place is None else row[place] for place in places]
                sample.append(int(cells[0] or 0))
                layer.append(names.setdefault(cells[1] or "spikes", len(names)))
                neuron.append(int(cells[2] or ""))
                times.append(float(cells[3] or ""))
    except UnicodeDecodeError as error:
        raise failure(f"byte {error.start}: not text in UTF-8") from None
    except OSError as error:
        raise failure(str(error.strerror)) from None
    except (ValueError, OverflowError, IndexError, csv.Error) as error:
        if isinstance(error, TraceError):
            raise
        text = ",".join(row)[:60]
        raise failure(f"line {rows.line_num}: {text!r} is no row of {', '.join(header)}") from None
    columns = Columns(
        np.array(sample, np.int32), np.array(layer, np.int32), np.array(neuron, np.int32), np.array(times)
    )
    return make_table(columns, list(names), None, failure)
