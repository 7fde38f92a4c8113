"""Stratified splits: every part has the classes in the proportions of the whole set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_number, check_whole
from eventsnn._util.words import number_of
from eventsnn.errors import TrainingError

Indices = npt.NDArray[np.int64]


def split_validation(labels: npt.ArrayLike, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Set a fraction of the samples aside for validation.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Class numbers.
    fraction : float
        Part of the samples to set aside, 0 < fraction < 1.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    training, validation : ndarray of int64
        Sorted indices; together all samples. ``round(fraction * n)`` are for validation, from each class its
        share, rounded up or down.

    Raises
    ------
    TrainingError
        The labels are no list of numbers, the fraction is out of range, or one part would be empty.
    """
    check_number("the validation fraction", fraction, TrainingError, above=0.0, below=1.0)
    order = _shuffle_within_classes(labels, seed)
    n = len(order)
    aside = round(fraction * n)
    if not 0 < aside < n:
        raise TrainingError(
            f"a validation fraction of {fraction} of {number_of(n, 'sample')} leaves one part empty"
        )
    # Every (n / aside)-th sample of a list sorted by class: the exact number in all, floor or ceil per class.
    position = np.arange(n)
    chosen = (position + 1) * aside // n > position * aside // n
    return np.sort(order[~chosen]), np.sort(order[chosen])


def check_per_class(per_class: int | None) -> None:
    """Raise TrainingError unless `per_class` is None or a whole number of 1 or more."""
    if per_class is not None:
        check_whole("per_class", per_class, TrainingError, 1)


def cap_per_class(labels: npt.ArrayLike, per_class: int, seed: int) -> Indices:
    """Choose at most a given number of samples of each class at random.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Class numbers.
    per_class : int
        1 or more; of a class that has fewer, all are chosen.
    seed : int
        The same seed gives the same samples, and a larger `per_class` those of a smaller one besides others.

    Returns
    -------
    ndarray of int64
        Sorted indices.

    Raises
    ------
    TrainingError
        The labels are no list of numbers, or `per_class` is no whole number of 1 or more.
    """
    check_per_class(per_class)
    order = _shuffle_within_classes(labels, seed)
    classes = np.asarray(labels)[order]
    # Samples stand class by class: the place in the class is the distance from its first.
    place = np.arange(len(order)) - np.searchsorted(classes, classes)
    return np.sort(order[place < per_class])


def k_fold(labels: npt.ArrayLike, k: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Split the samples into `k` parts for cross-validation.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Class numbers.
    k : int
        Number of parts, 2 <= k <= n.
    seed : int
        The same seed gives the same parts.

    Returns
    -------
    list of (training, validation)
        `k` pairs of sorted int64 index arrays; each sample is in one validation part. The sizes of the parts
        differ by at most one, in all and per class.

    Raises
    ------
    TrainingError
        The labels are no list of numbers, or there are fewer than 2 parts or more parts than samples.
    """
    order = _shuffle_within_classes(labels, seed)
    if not 2 <= k <= len(order):
        raise TrainingError(
            f"cross-validation needs 2 parts or more, and no more than samples ({len(order)}): got {k}"
        )
    part = np.arange(len(order)) % k
    return [(np.sort(order[part != fold]), np.sort(order[part == fold])) for fold in range(k)]


def _shuffle_within_classes(labels: npt.ArrayLike, seed: int) -> Indices:
    """Return all indices, sorted by class, in random order within each class."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise TrainingError(f"labels must be a list of int: got shape {array.shape}, dtype {array.dtype}")
    shuffled = np.random.default_rng(seed).permutation(len(array))
    return shuffled[np.argsort(array[shuffled], kind="stable")].astype(np.int64)
