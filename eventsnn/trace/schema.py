"""Layout of a trace file: names, dtypes, units, chunks and compression, in one place.

::

    /                          @magic @version (SONATA) @eventsnn_trace @config_json @versions_json ...
    /network                   description and weights, see `eventsnn.model.file`
    /samples/                  one row per sample: t_start t_stop t_end label prediction epoch source ...
    /spikes/<layer>/           timestamps node_ids (SONATA), local_low, sample_ptr; also "input", "bias"
    /far_spikes/               train row local_ms sample_ptr, see `eventsnn.trace.clock`
    /counts/<layer>            (sample, neuron)
    /potential/<layer>/        timestamps node_ids v kind sample_ptr                if "potential"
    /current/<layer>/          timestamps node_ids i sample_ptr                     if "current"
    /spsp/<projection>/        post_ptr pre_node_ids value                          if "spsp"
    /spsp_total/<projection>/  post_node_ids pre_node_ids value sample_ptr          if "spsp" or "spsp_total"

Since layout 2 a CRC-32 goes with each row of /samples (``crc``), each sample of spikes, potentials and totals
(``sample_crc``), each spike's S-PSPs (``post_crc``), with /network and with the file's attributes: whoever
reads a part of the file checks that part (`eventsnn.trace.checks`).

A feed-forward projection bears the name of the layer it feeds, lateral inhibition ``<layer>:lateral``, a
further connection its own key. Rows of sample s are ``[sample_ptr[s], sample_ptr[s + 1])``. SONATA asks for
timestamps that grow through the whole file: ``timestamps = t_start[s] + local``, where the local time, ms
since the origin of the sample, has the engine's exact bits with the help of ``local_low`` (until layout 2 it
stood there as ``local_ms``); on the recording's clock a spike is at ``origin_us[s] + 1000 * local``
microseconds. ``/samples/complete`` is written last; only samples marked there count. SONATA: Dai et al.,
PLoS Comput. Biol. 16(2):e1007696, 2020.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventsnn.errors import TraceError
from eventsnn.model import Network, Projection
from eventsnn.model.layers import BIAS
from eventsnn.trace.column import DATA, POINTERS, SEAL, Column, row_columns, sample_crc, sample_ptr

if TYPE_CHECKING:
    from eventsnn.trace.choice import Choice

LAYOUT_VERSION: Final = 3
FIRST_WITH_CRC: Final = 2
FIRST_WITH_LOW: Final = 3
HEADER_CRC: Final = "header_crc32"
HEADER: Final = ("eventsnn_trace", "config_json", "versions_json", "seed", "created")
SONATA_MAGIC: Final = 0x0A7A
SONATA_VERSION: Final = (0, 1)
SORTING: Final = {"none": 0, "by_id": 1, "by_time": 2}
# Newer HDF5 formats cannot be read by libsonata and HDF5 1.10; older ones know no SWMR mode.
LIBVER: Final = ("v110", "v110")

TRAINING: Final = ("weights", "learning")
"""What training alone can record."""
RECORD: Final = ("spikes", "potential", "current", "spsp", "spsp_total", *TRAINING)
EXACT: Final = frozenset(RECORD) - {"spikes", *TRAINING}
"""What can be computed of spikes in exact time only."""
KIND_SAMPLE, KIND_PRE_SPIKE, KIND_POST_RESET = 0, 1, 2

LARGEST_PLAIN_LAYER: Final = 1024


SAMPLE_COLUMNS: Final = (
    Column("/samples/t_start", "<f8", "global time of the sample's local time 0", "ms", POINTERS),
    Column("/samples/t_stop", "<f8", "global time at which the sample ends", "ms", POINTERS),
    Column(
        "/samples/t_end", "<f8", "local time up to which all is recorded; inf: fell quiet", "ms", POINTERS
    ),
    Column("/samples/label", "<i4", "class of the sample, -1 unknown", None, POINTERS),
    Column("/samples/prediction", "<i4", "output neuron that decides, -1 none fired", None, POINTERS),
    Column("/samples/epoch", "<i4", "training epoch, -1 outside training", None, POINTERS),
    Column("/samples/source", "S200", "where the sample came from, UTF-8", None, POINTERS, 0, True),
    Column("/samples/engine", "S16", "engine that ran", None, POINTERS),
    Column("/samples/dtype", "S16", "precision of the engine's state", None, POINTERS),
    Column("/samples/exit_reason", "S16", "why the simulation ended", None, POINTERS),
    Column(
        "/samples/origin_us",
        "<i8",
        "the recording's time that is local time 0; it began there, or within a second of 0",
        "us",
        POINTERS,
    ),
)
_STRUCT: Final = {"<f8": "d", "<i4": "i", "<i8": "q", "S16": "16s", "S200": "200s"}
SAMPLE_ROW: Final = struct.Struct("<" + "".join(_STRUCT[column.dtype] for column in SAMPLE_COLUMNS))
"""A row's values one after the other, as its checksum is of them."""
SAMPLE_CRC: Final = Column(
    "/samples/crc", "<u4", "CRC-32 of the row's other values, a readout before them", None, POINTERS
)
COMPLETE: Final = Column("/samples/complete", "|u1", "1: all of this sample is in the file", None, SEAL)


def spike_columns(layer: str, size: int, version: int = LAYOUT_VERSION) -> tuple[Column, ...]:
    """Spikes of a layer of `size` neurons or of the input, rows sorted by (time, neuron) in each sample.

    14 bytes for each spike, 16 of the largest layers; see `eventsnn.trace.clock` for the lower bits.
    """
    group = f"/spikes/{layer}"
    timestamps = Column(f"{group}/timestamps", "<f8", "t_start of the sample + local time", "ms")
    if version < FIRST_WITH_LOW:
        return (
            timestamps,
            Column(f"{group}/node_ids", "<u8", "neuron that fired"),
            Column(f"{group}/local_ms", "<f8", "spike time in the sample, exact", "ms", compress=True),
            sample_ptr(group),
            sample_crc(group, ("local_ms", "node_ids")),
        )
    what = "lower 32 bits of the local time, a float64 near timestamps - t_start"
    return (
        timestamps,
        Column(f"{group}/node_ids", "<u2" if size <= 2**16 else "<u4", "neuron that fired"),
        Column(f"{group}/local_low", "<u4", what),
        sample_ptr(group),
        sample_crc(group, SPIKES),
    )


SPIKES: Final = ("timestamps", "node_ids", "local_low")


def far_columns() -> tuple[Column, ...]:
    """Local times so short that timestamps and lower bits do not tell them; hardly ever any."""
    group = "/far_spikes"
    return (
        Column(
            f"{group}/train", "<u2", "0 the input, 1 the bias neuron or the first layer, ...", compress=True
        ),
        Column(f"{group}/row", "<u8", "row in /spikes/<train>", compress=True),
        Column(f"{group}/local_ms", "<f8", "spike time in the sample, exact", "ms", compress=True),
        sample_ptr(group),
        sample_crc(group, ("train", "row", "local_ms")),
    )


def count_column(layer: str, size: int) -> Column:
    """Spikes per neuron, one row per sample; compressed where they would take more than the spikes."""
    compress = size > LARGEST_PLAIN_LAYER
    return Column(f"/counts/{layer}", "<u4", "spikes (sample, neuron)", "1", width=size, compress=compress)


def readout_column(network: Network) -> Column:
    """What the readout layer of a network gave, one row per sample."""
    output = network.output
    what = f"{output.value} of the membrane potential (sample, neuron)"
    return Column(f"/readout/{output.name}", "<f8", what, "1", POINTERS, output.neurons, True)


def potential_columns(layer: str) -> tuple[Column, ...]:
    """Membrane potential of a layer's neurons, rows sorted by time within each sample."""
    group = f"/potential/{layer}"
    return (
        Column(f"{group}/timestamps", "<f8", "time since the start of the sample", "ms", compress=True),
        Column(f"{group}/node_ids", "<u4", "neuron", compress=True),
        Column(f"{group}/v", "<f4", "membrane potential, unit of the threshold", "1", compress=True),
        Column(f"{group}/kind", "|u1", "0 on the grid, 1 before a reset, 2 after it", compress=True),
        sample_ptr(group),
        sample_crc(group, ("timestamps", "node_ids", "v", "kind")),
    )


def current_columns(layer: str) -> tuple[Column, ...]:
    """Synaptic current of a layer's neurons, rows sorted by time within each sample."""
    group = f"/current/{layer}"
    return (
        Column(f"{group}/timestamps", "<f8", "time since the start of the sample", "ms", compress=True),
        Column(f"{group}/node_ids", "<u4", "neuron", compress=True),
        Column(f"{group}/i", "<f4", "synaptic current, sum of weight * exp(-t/tau_s)", "1", compress=True),
        sample_ptr(group),
        sample_crc(group, ("timestamps", "node_ids", "i")),
    )


WITHOUT_WEIGHT: Final = "without its synaptic weight"


def spsp_columns(projection: str) -> tuple[Column, ...]:
    """Spike-train level post-synaptic potentials through a projection, per spike."""
    spike, what = f"/spsp/{projection}", WITHOUT_WEIGHT
    return (
        Column(f"{spike}/pre_node_ids", "<u4", "pre-synaptic, ascending within a spike", compress=True),
        Column(f"{spike}/value", "<f4", f"share of the pre-synaptic train, {what}", "1", compress=True),
        Column(
            f"{spike}/post_ptr",
            "<u8",
            "entries of row k of the target's /spikes are [post_ptr[k], post_ptr[k + 1])",
            stage=POINTERS,
        ),
        Column(
            f"{spike}/post_crc",
            "<u4",
            "CRC-32 of row k's pre_node_ids and value",
            stage=POINTERS,
            covers=("pre_node_ids", "value"),
        ),
    )


def spsp_total_columns(projection: str) -> tuple[Column, ...]:
    """Spike-train level post-synaptic potentials through a projection, per pair of neurons."""
    total, what = f"/spsp_total/{projection}", WITHOUT_WEIGHT
    return (
        Column(f"{total}/post_node_ids", "<u4", "post-synaptic neuron, ascending", compress=True),
        Column(f"{total}/pre_node_ids", "<u4", "pre-synaptic neuron", compress=True),
        Column(f"{total}/value", "<f4", f"S-PSP of the sample, {what}", "1", compress=True),
        sample_ptr(total),
        sample_crc(total, ("post_node_ids", "pre_node_ids", "value")),
    )


def all_columns(network: Network, choice: Choice, version: int = LAYOUT_VERSION) -> list[Column]:
    """Every dataset of a trace of `network` that keeps this, in a layout that there was."""
    columns = [*SAMPLE_COLUMNS, SAMPLE_CRC, COMPLETE]
    for layer in trains(network):
        columns += spike_columns(layer, train_size(network, layer), version)
    if version >= FIRST_WITH_LOW:
        columns += far_columns()
    columns += [count_column(str(layer.name), layer.neurons) for layer in network.layers]
    if not network.output.fires:
        columns.append(readout_column(network))
    if "potential" in choice.record:
        for layer in choice.potential_layers:
            columns += potential_columns(layer)
    if "current" in choice.record:
        for layer in choice.layers:
            columns += current_columns(layer)
    for projection in network.projections:
        if network.names[projection.target] in choice.layers:
            if "spsp" in choice.record:
                columns += spsp_columns(projection.key)
            if keeps_totals(choice.record):
                columns += spsp_total_columns(projection.key)
    if choice.training is not None:
        columns += training_columns(network, choice)
    if version < FIRST_WITH_CRC:
        columns = [c for c in columns if not c.is_crc and c.path != "/samples/origin_us"]
    return columns


def training_columns(network: Network, choice: Choice) -> list[Column]:
    """What a trace of training keeps: see `eventsnn.trace.learning`."""
    columns: list[Column] = []
    training = choice.training
    assert training is not None
    if "learning" in choice.record:
        for layer, names in training.quantities.items():
            for name in names:
                columns += quantity_columns(layer, network[layer].neurons, LEARNING[name])
        norms = f"norm of the sample's gradient, of {', '.join(training.keys)}"
        columns += row_columns("/gradient_norms", "value", norms, len(training.keys))
    if "weights" in choice.record:
        columns += [
            Column("/snapshots/epoch", "<i4", "epochs of training before the snapshot", None, POINTERS),
            Column("/snapshots/step", "<i8", "steps of the optimiser before it", None, POINTERS),
            SNAPSHOT_COMPLETE,
        ]
        for key, size in training.sizes(network).items():
            group, what = f"/weights/{key}", "weights of a snapshot, in the order of /network/weights"
            columns.append(Column(f"{group}/value", training.dtype, what, "1", DATA, size, True))
            columns.append(
                Column(f"{group}/snapshot_crc", "<u4", "CRC-32 of the row", None, POINTERS, covers=("value",))
            )
    return columns


SNAPSHOT_COMPLETE: Final = Column("/snapshots/complete", "|u1", "1: all of it is in the file", None, SEAL)


@dataclass(frozen=True)
class Quantity:
    """What a learning rule can deliver of one layer in one sample.

    Attributes
    ----------
    name : str
    per : {"neuron", "spike", "train"}
        A value for each neuron, one for each spike of the layer's record, or spikes themselves.
    description : str
    units : str
    """

    name: str
    per: str
    description: str
    units: str = "1"


LEARNING: Final = {
    quantity.name: quantity
    for quantity in (
        Quantity("errors", "neuron", "error of each neuron, delta"),
        Quantity("self_term", "neuron", "self term s of each neuron; NaN of one without an error"),
        Quantity("lateral_factor", "neuron", "lateral factor lambda of each neuron"),
        Quantity("spike_derivatives", "spike", "derivative of the loss by the time of each spike", "1/ms"),
        Quantity("lent_spikes", "train", "spikes lent to a silent label neuron for its gradient", "ms"),
    )
}
"""Quantities that rules deliver (`Rule.quantities`), by name; a plugin adds its own."""


def quantity_columns(layer: str, size: int, quantity: Quantity) -> list[Column]:
    """Where a quantity of a layer of `size` neurons is kept."""
    group, what = f"/learning/{layer}/{quantity.name}", quantity.description
    if quantity.per == "neuron":
        return row_columns(group, "value", what, size, quantity.units)
    names = ("value",) if quantity.per == "spike" else ("local_ms", "node_ids")
    columns = [Column(f"{group}/{names[0]}", "<f8", what, quantity.units, compress=True)]
    if quantity.per == "train":
        columns.append(Column(f"{group}/node_ids", "<u4", "neuron that they are lent to", compress=True))
    return [*columns, sample_ptr(group), sample_crc(group, names)]


def keeps_totals(record: Iterable[str]) -> bool:
    """Whether the S-PSPs of pairs are kept: by themselves, or with those of spikes."""
    return not {"spsp", "spsp_total"}.isdisjoint(record)


def source_name(network: Network, projection: Projection) -> str:
    """Name of the layer whose spikes a projection carries, "input" or "bias"."""
    if projection.source == BIAS:
        return "bias"
    return "input" if projection.source < 0 else network.names[projection.source]


def trains(network: Network) -> tuple[str, ...]:
    """Names of all whose spikes a trace holds: the input, the bias neuron where there is one, the layers."""
    return ("input", *(["bias"] if network.input.has_bias else []), *network.names)


def train_size(network: Network, train: str) -> int:
    """How many neurons a train of `trains` is of."""
    return 1 if train == "bias" else network.source_size(network.index(train))


def check_record(record: Iterable[str]) -> tuple[str, ...]:
    """Record options in their usual order, "spikes" always among them.

    Raises
    ------
    TraceError
        Naming the option that does not exist, and those that do.
    """
    options = (record,) if isinstance(record, str) else tuple(record)
    for option in options:
        if option not in RECORD:
            raise TraceError(f"record: no option {option!r}; there are {', '.join(RECORD)}")
    return tuple(option for option in RECORD if option in options or option == "spikes")
