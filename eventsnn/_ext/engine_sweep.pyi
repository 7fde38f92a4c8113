import numpy as np

TABLE_COLUMNS: int

def fill_table(
    times: np.ndarray, sample_ptr: np.ndarray, constants: np.ndarray, table: np.ndarray
) -> None: ...
def sweep_blocks(
    weights: np.ndarray,
    block_from: int,
    block_to: int,
    neurons_of_layer: int,
    constants: np.ndarray,
    times: np.ndarray,
    neurons: np.ndarray,
    sample_ptr: np.ndarray,
    table: np.ndarray,
    t_stop: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def merge_blocks(
    times: np.ndarray, neurons: np.ndarray, ptr: np.ndarray, n_samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
