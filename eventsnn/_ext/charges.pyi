import numpy as np

from eventsnn._ext.layer_events import LayerEvents
from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

def charge_counts(
    events: LayerEvents,
    coefficient: np.ndarray,
    charges: np.ndarray,
    counter: WorkCounter,
    by_unit: bool = ...,
) -> Stage: ...
def charge_derivatives(
    post_times: np.ndarray,
    post_neurons: np.ndarray,
    post_ptr: np.ndarray,
    currents: np.ndarray,
    derivatives: np.ndarray,
    height: float,
    resting: float,
    tau_m: float,
    tau_s: float,
    refractory: float,
    least_slope: float,
    charges: np.ndarray,
    units: int,
    counter: WorkCounter,
) -> None: ...
