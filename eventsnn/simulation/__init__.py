"""Simulations whose events come in parts, and the file that they go on from."""

from eventsnn.simulation.parts import ENGINES, Simulation
from eventsnn.simulation.state import SavedState, load_state

__all__ = ["ENGINES", "SavedState", "Simulation", "load_state"]
