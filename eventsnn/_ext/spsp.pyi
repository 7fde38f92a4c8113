import numpy as np

from eventsnn._ext.optimiser import Update
from eventsnn._ext.patches import Ready
from eventsnn._ext.team import Task
from eventsnn._ext.work_counter import WorkCounter

class LayerEvents:
    units: int
    longest: int
    single: bool

    def __init__(
        self,
        constants: np.ndarray,
        times: np.ndarray,
        neurons: np.ndarray,
        unit_ptr: np.ndarray,
        grid: np.ndarray,
        scale: np.ndarray,
        table: np.ndarray,
        post_times: np.ndarray,
        post_neurons: np.ndarray,
        post_ptr: np.ndarray,
        after: np.ndarray,
        ready: Ready | None = ...,
    ) -> None: ...

def reverse_blocks(
    out: np.ndarray,
    events: LayerEvents,
    charges: np.ndarray,
    silent: np.ndarray,
    rows: np.ndarray,
    n_rows: np.ndarray,
    ends: np.ndarray,
    when: np.ndarray,
    last: np.ndarray,
    n_times: np.ndarray,
    weights: np.ndarray,
    down: np.ndarray,
    update: Update | None,
    counter: WorkCounter,
) -> Task: ...
def reverse_patches(
    out: np.ndarray,
    events: LayerEvents,
    charges: np.ndarray,
    silent: np.ndarray,
    weights: np.ndarray,
    down: np.ndarray,
) -> None: ...
def charge_counts(
    events: LayerEvents, coefficient: np.ndarray, charges: np.ndarray, counter: WorkCounter
) -> Task: ...
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
def point_currents(
    weights: np.ndarray, events: LayerEvents, currents: np.ndarray, counter: WorkCounter
) -> None: ...
