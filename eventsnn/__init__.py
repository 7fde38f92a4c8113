"""eventsnn: event files in, exact spike times out, and training on them.

The names below are the public interface; module paths are not.
"""

from eventsnn import data
from eventsnn.data import Augmentation
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
from eventsnn.events import EventStream, SaccadeCamera, read, write
from eventsnn.learning import HM2BP
from eventsnn.network import LIF, Connection, Dense, Input, Network
from eventsnn.simulate import simulate
from eventsnn.trace import Explanation, Trace, explain
from eventsnn.train.evaluate import Evaluation, evaluate
from eventsnn.train.experiment import Experiment
from eventsnn.train.optimisers import Optimiser
from eventsnn.train.trainer import TrainResult, train

__version__ = "0.1.0"

__all__ = [
    "HM2BP",
    "LIF",
    "Augmentation",
    "Connection",
    "Dense",
    "Evaluation",
    "EventFileError",
    "EventSNNError",
    "EventStream",
    "EventStreamError",
    "ExitReason",
    "Experiment",
    "Explanation",
    "Input",
    "LayerSpikes",
    "MissingExtraError",
    "Network",
    "NetworkError",
    "Optimiser",
    "SaccadeCamera",
    "SimulationError",
    "SimulationInterrupted",
    "SpikeRecord",
    "Trace",
    "TraceError",
    "TrainResult",
    "TrainingError",
    "__version__",
    "data",
    "evaluate",
    "explain",
    "read",
    "simulate",
    "train",
    "write",
]
