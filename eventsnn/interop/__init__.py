"""Other tools' files and objects: tables of spikes, Neo, NWB. `eventsnn.model.nir` has networks in NIR."""

from __future__ import annotations

from eventsnn.interop.neo_blocks import from_neo, to_neo
from eventsnn.interop.spike_files import export_spikes, read_spikes
from eventsnn.interop.spike_table import SpikeTable

__all__ = ["SpikeTable", "export_spikes", "from_neo", "read_spikes", "to_neo"]
