"""eventsnn: event files in, exact spike times out, and training on them.

The names below are the public interface; module paths are not.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from eventsnn._util.lazy import on_demand
from eventsnn.errors import (
    ConversionWarning,
    EventFileError,
    EventFileWarning,
    EventSNNError,
    EventStreamError,
    FetchError,
    MissingExtraError,
    NetworkError,
    ResumeWarning,
    SilentOutputWarning,
    SimulationError,
    TraceError,
    TrainingError,
    ViewError,
)

if TYPE_CHECKING:
    from eventsnn import data, plots
    from eventsnn.data import Augmentation, k_fold
    from eventsnn.encode import SaccadeCamera
    from eventsnn.events import EventStream, ReadingOptions, open_events, read, write
    from eventsnn.learn import HM2BP, EventProp
    from eventsnn.learn.optimisers import Optimiser
    from eventsnn.model import (
        LIF,
        Connection,
        Conv,
        Dense,
        Input,
        Network,
        Pool,
        Readout,
        Reservoir,
        RunSettings,
    )
    from eventsnn.simulate import Simulation
    from eventsnn.simulate.comparison import Comparison
    from eventsnn.simulate.differences import Difference
    from eventsnn.simulate.flip import Flip, find_flip
    from eventsnn.simulate.run import simulate
    from eventsnn.simulate.what_if import WhatIf, what_if
    from eventsnn.trace.explain import Explanation, explain
    from eventsnn.trace.options import TraceOptions
    from eventsnn.trace.reader import Trace
    from eventsnn.trace.record import ExitReason, LayerSpikes, SimulationInterrupted, SpikeRecord
    from eventsnn.trace.sensitivity import Sensitivity, sensitivity
    from eventsnn.train.compare import compare
    from eventsnn.train.evaluate import Evaluation, evaluate
    from eventsnn.train.experiment import Experiment
    from eventsnn.train.trainer import TrainResult, train

# Importing the package is nearly free; the libraries come on demand. The program relies on it: Ctrl-C in its
# first half second is met by a handler that must have been installed before (`eventsnn.__main__`).
__getattr__ = on_demand(
    __name__,
    {
        "data": "eventsnn.data",
        "plots": "eventsnn.plots",
        "Augmentation": "eventsnn.data",
        "k_fold": "eventsnn.data",
        "ExitReason": "eventsnn.trace.record",
        "LayerSpikes": "eventsnn.trace.record",
        "SimulationInterrupted": "eventsnn.trace.record",
        "SpikeRecord": "eventsnn.trace.record",
        "EventStream": "eventsnn.events",
        "ReadingOptions": "eventsnn.events",
        "SaccadeCamera": "eventsnn.encode",
        "open_events": "eventsnn.events",
        "read": "eventsnn.events",
        "write": "eventsnn.events",
        "EventProp": "eventsnn.learn",
        "HM2BP": "eventsnn.learn",
        "LIF": "eventsnn.model",
        "Connection": "eventsnn.model",
        "Conv": "eventsnn.model",
        "Dense": "eventsnn.model",
        "Input": "eventsnn.model",
        "Network": "eventsnn.model",
        "Pool": "eventsnn.model",
        "Readout": "eventsnn.model",
        "Reservoir": "eventsnn.model",
        "RunSettings": "eventsnn.model",
        "Explanation": "eventsnn.trace",
        "Trace": "eventsnn.trace",
        "TraceOptions": "eventsnn.trace",
        "explain": "eventsnn.trace",
        "Sensitivity": "eventsnn.trace",
        "sensitivity": "eventsnn.trace",
        "Simulation": "eventsnn.simulate",
        "Comparison": "eventsnn.simulate.comparison",
        "Difference": "eventsnn.simulate.differences",
        "Flip": "eventsnn.simulate.flip",
        "find_flip": "eventsnn.simulate.flip",
        "simulate": "eventsnn.simulate.run",
        "WhatIf": "eventsnn.simulate.what_if",
        "what_if": "eventsnn.simulate.what_if",
        "compare": "eventsnn.train.compare",
        "Evaluation": "eventsnn.train.evaluate",
        "evaluate": "eventsnn.train.evaluate",
        "Experiment": "eventsnn.train.experiment",
        "Optimiser": "eventsnn.learn.optimisers",
        "TrainResult": "eventsnn.train.trainer",
        "train": "eventsnn.train.trainer",
    },
)

# The functions `simulate` and `train` have the names of packages. Python puts a package where it is imported
# from when it is first imported: here, once, so that it can be taken away and leave the function its place.
for _room in ("simulate", "train"):
    import_module(f"eventsnn.{_room}")
    del globals()[_room]

__version__ = "0.1.0"

__all__ = [
    "HM2BP",
    "LIF",
    "Augmentation",
    "Comparison",
    "Connection",
    "Conv",
    "ConversionWarning",
    "Dense",
    "Difference",
    "Evaluation",
    "EventFileError",
    "EventFileWarning",
    "EventProp",
    "EventSNNError",
    "EventStream",
    "EventStreamError",
    "ExitReason",
    "Experiment",
    "Explanation",
    "FetchError",
    "Flip",
    "Input",
    "LayerSpikes",
    "MissingExtraError",
    "Network",
    "NetworkError",
    "Optimiser",
    "Pool",
    "ReadingOptions",
    "Readout",
    "Reservoir",
    "ResumeWarning",
    "RunSettings",
    "SaccadeCamera",
    "Sensitivity",
    "SilentOutputWarning",
    "Simulation",
    "SimulationError",
    "SimulationInterrupted",
    "SpikeRecord",
    "Trace",
    "TraceError",
    "TraceOptions",
    "TrainResult",
    "TrainingError",
    "ViewError",
    "WhatIf",
    "__version__",
    "compare",
    "data",
    "evaluate",
    "explain",
    "find_flip",
    "k_fold",
    "open_events",
    "plots",
    "read",
    "sensitivity",
    "simulate",
    "train",
    "what_if",
    "write",
]


def __dir__() -> list[str]:
    return __all__
