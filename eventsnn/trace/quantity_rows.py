"""Puts potentials, currents and S-PSPs of a run into the columns of a trace."""

from __future__ import annotations

from eventsnn.trace.columns import GrowingColumns
from eventsnn.trace.quantities import Quantities
from eventsnn.trace.record import SpikeRecord

_TOTALS = ("post_node_ids", "pre_node_ids", "value")


def put_quantities(rows: GrowingColumns, quantities: Quantities, run: SpikeRecord, length: float) -> None:
    """Append what is recorded of a run besides its spikes.

    Parameters
    ----------
    rows : GrowingColumns
    quantities : Quantities
        Computes what is chosen.
    run : SpikeRecord
    length : float
        Of the sample, ms.
    """
    for name, layer, sampled in quantities.potentials(run, length):
        group = f"/{name}/{layer}"
        columns = {"timestamps": sampled.times, "node_ids": sampled.neurons}
        columns["v" if name == "potential" else "i"] = sampled.values
        if name == "potential":
            columns["kind"] = sampled.kinds
        for column, values in columns.items():
            rows.put(f"{group}/{column}", values)
        rows.end_group(group, "timestamps")
    for key, shares, totals in quantities.spsps(run):
        group, total = f"/spsp/{key}", f"/spsp_total/{key}"
        for share in shares:
            if "spsp" not in quantities.choice.record:
                continue
            rows.put(f"{group}/pre_node_ids", share.pre)
            rows.put(f"{group}/value", share.values)
            rows.point(f"{group}/post_ptr", f"{group}/value")
            rows.put_crc(f"{group}/post_crc")
        for column, values in zip(_TOTALS, totals.coordinates(), strict=True):
            rows.put(f"{total}/{column}", values)
        rows.end_group(total, "value")
