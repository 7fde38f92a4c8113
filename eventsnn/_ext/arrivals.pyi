import numpy as np

from eventsnn._ext.team import Stage
from eventsnn._ext.work_counter import WorkCounter

AHEAD: int
EVENT: np.dtype
TABLE_COLUMNS: int

def fill_tables(
    times: np.ndarray,
    neurons: np.ndarray,
    sample_ptr: np.ndarray,
    constants: np.ndarray,
    events: np.ndarray,
    table: np.ndarray,
    grid: np.ndarray,
    scale: np.ndarray,
    since: np.ndarray | None = ...,
) -> Stage: ...
def deliver_spikes(
    times: np.ndarray,
    neurons: np.ndarray,
    ptr: np.ndarray,
    delay: float,
    bias_times: np.ndarray,
    bias_ptr: np.ndarray,
    bias: int,
    out_times: np.ndarray,
    out_neurons: np.ndarray,
) -> Stage: ...
def list_rows(
    times: np.ndarray,
    neurons: np.ndarray,
    sample_ptr: np.ndarray,
    n_pre: int,
    rows: np.ndarray,
    n_rows: np.ndarray,
    ends: np.ndarray,
    when: np.ndarray,
    last: np.ndarray,
    n_times: np.ndarray,
    turns: WorkCounter,
) -> None: ...
