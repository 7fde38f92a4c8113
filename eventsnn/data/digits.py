"""The 1797 handwritten digits of scikit-learn: a small data set without a download."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from eventsnn.data.splits import split_validation
from eventsnn.errors import MissingExtraError

_TEST_FRACTION = 0.2
_SPLIT_SEED = 0


class Digits(NamedTuple):
    """Images, labels, and which of them are for training and for the test."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def load_digits() -> Digits:
    """Load scikit-learn's digits.

    Returns
    -------
    Digits
        `images` (1797, 8, 8) uint8, ink 0 (paper) .. 255; `labels` (1797,); `train` (1438) and `test` (359)
        are sorted indices of a stratified split that is always the same.

    Raises
    ------
    MissingExtraError
        scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise MissingExtraError("scikit-learn", "demo", "the digits of the demonstration") from None
    bunch = datasets.load_digits()
    # 17 shades of ink, 0..16, spread over 0..255.
    images = np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, test = split_validation(labels, _TEST_FRACTION, _SPLIT_SEED)
    return Digits(images, labels, train, test)
