"""eventsnn: event files in, exact spike times out, and training on them.

The names below are the public interface; module paths are not.
"""

from eventsnn import data
from eventsnn.engines.record import ExitReason, LayerSpikes, SimulationInterrupted, SpikeRecord
from eventsnn.errors import (
    EventFileError,
    EventSNNError,
    EventStreamError,
    MissingExtraError,
    NetworkError,
    SimulationError,
    TraceError,
    TrainingError,
)
from eventsnn.events import EventStream, read, write
from eventsnn.network import LIF, Connection, Dense, Input, Network
from eventsnn.simulate import simulate

__version__ = "0.1.0"

__all__ = [
    "LIF",
    "Connection",
    "Dense",
    "EventFileError",
    "EventSNNError",
    "EventStream",
    "EventStreamError",
    "ExitReason",
    "Input",
    "LayerSpikes",
    "MissingExtraError",
    "Network",
    "NetworkError",
    "SimulationError",
    "SimulationInterrupted",
    "SpikeRecord",
    "TraceError",
    "TrainingError",
    "__version__",
    "data",
    "read",
    "simulate",
    "write",
]
