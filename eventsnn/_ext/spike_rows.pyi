import numpy as np

def fill_rows(
    times: np.ndarray,
    neurons: np.ndarray,
    ptr: np.ndarray,
    starts: np.ndarray,
    timestamps: np.ndarray,
    node_ids: np.ndarray,
    low: np.ndarray,
    crcs: np.ndarray,
    far: np.ndarray,
) -> None: ...
