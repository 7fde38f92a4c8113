"""eventsnn: event files in, exact spike times out, and training on them.

The names below are the public interface; module paths are not.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from eventsnn.errors import (
    EventFileError,
    EventFileWarning,
    EventSNNError,
    EventStreamError,
    FetchError,
    MissingExtraError,
    NetworkError,
    SilentOutputWarning,
    SimulationError,
    TraceError,
    TrainingError,
)
from eventsnn.lazy import on_demand

if TYPE_CHECKING:
    from eventsnn import data
    from eventsnn.data import Augmentation, k_fold
    from eventsnn.engines.record import ExitReason, LayerSpikes, SimulationInterrupted, SpikeRecord
    from eventsnn.events import EventStream, ReadingOptions, SaccadeCamera, open_events, read, write
    from eventsnn.learning import HM2BP
    from eventsnn.network import (
        LIF,
        Connection,
        Conv,
        Dense,
        Input,
        Network,
        Pool,
        Reservoir,
        RunSettings,
    )
    from eventsnn.simulation import Simulation
    from eventsnn.simulator import simulate
    from eventsnn.trace.explain import Explanation, explain
    from eventsnn.trace.reader import Trace
    from eventsnn.train.evaluate import Evaluation, evaluate
    from eventsnn.train.experiment import Experiment
    from eventsnn.train.optimisers import Optimiser
    from eventsnn.train.trainer import TrainResult, train

# Importing the package is nearly free; the libraries come on demand. The program relies on it: Ctrl-C in its
# first half second is met by a handler that must have been installed before (`eventsnn.__main__`).
__getattr__ = on_demand(
    __name__,
    {
        "data": "eventsnn.data",
        "Augmentation": "eventsnn.data",
        "k_fold": "eventsnn.data",
        "ExitReason": "eventsnn.engines.record",
        "LayerSpikes": "eventsnn.engines.record",
        "SimulationInterrupted": "eventsnn.engines.record",
        "SpikeRecord": "eventsnn.engines.record",
        "EventStream": "eventsnn.events",
        "ReadingOptions": "eventsnn.events",
        "SaccadeCamera": "eventsnn.events",
        "open_events": "eventsnn.events",
        "read": "eventsnn.events",
        "write": "eventsnn.events",
        "HM2BP": "eventsnn.learning",
        "LIF": "eventsnn.network",
        "Connection": "eventsnn.network",
        "Conv": "eventsnn.network",
        "Dense": "eventsnn.network",
        "Input": "eventsnn.network",
        "Network": "eventsnn.network",
        "Pool": "eventsnn.network",
        "Reservoir": "eventsnn.network",
        "RunSettings": "eventsnn.network",
        "Explanation": "eventsnn.trace",
        "Trace": "eventsnn.trace",
        "explain": "eventsnn.trace",
        "Simulation": "eventsnn.simulation",
        "simulate": "eventsnn.simulator",
        "Evaluation": "eventsnn.train.evaluate",
        "evaluate": "eventsnn.train.evaluate",
        "Experiment": "eventsnn.train.experiment",
        "Optimiser": "eventsnn.train.optimisers",
        "TrainResult": "eventsnn.train.trainer",
        "train": "eventsnn.train.trainer",
    },
)

# The function `train` has the name of a package. Python puts a package where it is imported from when it is
# first imported: here, once, so that it can be taken away and leave the place to the function.
import_module("eventsnn.train")
del globals()["train"]

__version__ = "0.1.0"

__all__ = [
    "HM2BP",
    "LIF",
    "Augmentation",
    "Connection",
    "Conv",
    "Dense",
    "Evaluation",
    "EventFileError",
    "EventFileWarning",
    "EventSNNError",
    "EventStream",
    "EventStreamError",
    "ExitReason",
    "Experiment",
    "Explanation",
    "FetchError",
    "Input",
    "LayerSpikes",
    "MissingExtraError",
    "Network",
    "NetworkError",
    "Optimiser",
    "Pool",
    "ReadingOptions",
    "Reservoir",
    "RunSettings",
    "SaccadeCamera",
    "SilentOutputWarning",
    "Simulation",
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
    "k_fold",
    "open_events",
    "read",
    "simulate",
    "train",
    "write",
]


def __dir__() -> list[str]:
    return __all__
