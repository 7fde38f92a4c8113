import numpy as np

def mark_first(neurons: np.ndarray, sample_ptr: np.ndarray, n_pre: int, first: np.ndarray) -> None: ...
def reverse_blocks(
    out: np.ndarray,
    block_from: int,
    block_to: int,
    constants: np.ndarray,
    times: np.ndarray,
    neurons: np.ndarray,
    sample_ptr: np.ndarray,
    first_of_train: np.ndarray,
    table: np.ndarray,
    post_times: np.ndarray,
    post_neurons: np.ndarray,
    post_ptr: np.ndarray,
    coefficient: np.ndarray,
    silent: np.ndarray,
) -> None: ...
