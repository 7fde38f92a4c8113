import numpy as np

def adam_blocks(
    weights: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    block_from: int,
    block_to: int,
    scale: float,
    decay: np.ndarray,
    step: float,
    beta1: float,
    beta2: float,
    floor: float,
    row_sum: np.ndarray,
    row_square: np.ndarray,
) -> None: ...
def sgd_blocks(
    weights: np.ndarray,
    gradient: np.ndarray,
    velocity: np.ndarray,
    block_from: int,
    block_to: int,
    scale: float,
    decay: np.ndarray,
    rate: float,
    momentum: float,
    row_sum: np.ndarray,
    row_square: np.ndarray,
) -> None: ...
