import numpy as np

def count_patches(
    neurons: np.ndarray, channels: int, cell_ptr: np.ndarray, cell_patch: np.ndarray, ptr: np.ndarray
) -> None: ...
def fill_patches(
    times: np.ndarray,
    neurons: np.ndarray,
    channels: int,
    cell_ptr: np.ndarray,
    cell_patch: np.ndarray,
    cell_offset: np.ndarray,
    area: int,
    cursor: np.ndarray,
    out_times: np.ndarray,
    out_neurons: np.ndarray,
) -> None: ...
