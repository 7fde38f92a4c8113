import numpy as np

class SynapseTable:
    def __init__(
        self,
        kinds: np.ndarray,
        sizes: np.ndarray,
        starts: np.ndarray,
        weights: np.ndarray,
        found: np.ndarray,
        ptr: np.ndarray,
        post: np.ndarray,
    ) -> None: ...

def read_states(
    synapses: SynapseTable,
    size: int,
    projection: np.ndarray,
    pre: np.ndarray,
    steps: np.ndarray,
    ends: np.ndarray,
    neurons: np.ndarray,
    free: np.ndarray,
    current: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
) -> None: ...
def sweep_back(
    synapses: SynapseTable,
    codes: np.ndarray,
    rows: np.ndarray,
    layers: np.ndarray,
    tau_s: np.ndarray,
    projection: np.ndarray,
    source: np.ndarray,
    pre: np.ndarray,
    steps: np.ndarray,
    neurons: np.ndarray,
    places: np.ndarray,
    factors: np.ndarray,
    state: np.ndarray,
    charged: np.ndarray,
    pending: np.ndarray,
    following: np.ndarray,
    charges: np.ndarray,
    totals: np.ndarray,
    strengths: np.ndarray,
    delays: np.ndarray,
    start: int,
    stop: int,
) -> None: ...
