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
        links: np.ndarray,
    ) -> None: ...

class ApartNeurons:
    def __init__(self, layers: np.ndarray, constants: np.ndarray, size: int) -> None: ...

def rest(size: int) -> np.ndarray: ...
def read_states_apart(
    synapses: SynapseTable,
    constants: np.ndarray,
    projection: np.ndarray,
    pre: np.ndarray,
    arrivals: np.ndarray,
    ends: np.ndarray,
    neurons: np.ndarray,
    points: np.ndarray,
    states: np.ndarray,
    out: np.ndarray,
    start: int,
    stop: int,
) -> None: ...
def read_states(
    synapses: SynapseTable,
    size: int,
    projection: np.ndarray,
    pre: np.ndarray,
    steps: np.ndarray,
    full: np.ndarray,
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
    full: np.ndarray,
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
    delay_places: np.ndarray,
    delays: np.ndarray,
    apart: ApartNeurons,
    arrivals: np.ndarray,
    moments: np.ndarray,
    start: int,
    stop: int,
) -> None: ...
