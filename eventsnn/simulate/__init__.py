"""Simulation: whole recordings, recordings in parts, and saved states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventsnn._util.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn.simulate.simulation import Simulation
    from eventsnn.simulate.state import SavedState, load_state

__getattr__ = on_demand(
    __name__,
    {
        "Simulation": "eventsnn.simulate.simulation",
        **dict.fromkeys(("SavedState", "load_state"), "eventsnn.simulate.state"),
    },
)

__all__ = ["SavedState", "Simulation", "load_state"]
