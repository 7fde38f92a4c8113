import numpy as np

class QueueState:
    neurons: int
    now: float
    def __init__(
        self,
        constants: np.ndarray,
        sizes: np.ndarray,
        graph: np.ndarray,
        delays: np.ndarray,
        branch_ptr: np.ndarray,
        branch_delays: np.ndarray,
        branch_post: np.ndarray,
    ) -> None: ...
    def begin(self, u: np.ndarray) -> None: ...
    def take(self, layer: int) -> tuple[np.ndarray, np.ndarray]: ...
    def drop(self, source: int, n: int) -> int: ...
    def take_bias(self, times: np.ndarray) -> None: ...
    def graph(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
    def under_way(self, projection: int) -> tuple[np.ndarray, np.ndarray]: ...
    def put_under_way(
        self, projection: int, times: np.ndarray, branches: np.ndarray, lasts: np.ndarray
    ) -> None: ...
    def save(
        self,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]: ...
    def restore(
        self,
        now: np.ndarray,
        refractory: np.ndarray,
        cursors: np.ndarray,
        spikes: list[tuple[np.ndarray, np.ndarray]],
    ) -> None: ...
    def spikes(self, layer: int) -> tuple[np.ndarray, np.ndarray]: ...

def run_queue(
    state: QueueState,
    weights: np.ndarray,
    times: np.ndarray,
    indices: np.ndarray,
    u: np.ndarray,
    i: np.ndarray,
    end: np.ndarray,
    next_spike: np.ndarray,
    refractory: np.ndarray,
    candidates: np.ndarray,
    t_stop: float,
    budget: int,
    known: bool = True,
) -> bool: ...
