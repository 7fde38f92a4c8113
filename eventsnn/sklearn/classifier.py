"""A spiking network as a scikit-learn classifier."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eventsnn._util.arguments import check_kind
from eventsnn._util.words import number_of
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.encode import Latency, Poisson
from eventsnn.errors import SilentOutputWarning, TrainingError
from eventsnn.learn.eventprop import EventProp
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import Optimiser
from eventsnn.learn.rule import Rule
from eventsnn.model import Dense, Input, Network
from eventsnn.sklearn.library import (
    BaseEstimator,
    ClassifierMixin,
    Tags,
    check_classification_targets,
    check_is_fitted,
    check_random_state,
    column_or_1d,
    validate_data,
)
from eventsnn.sklearn.sources import CodedTable, Recordings, is_recordings
from eventsnn.train.evaluate import evaluate
from eventsnn.train.trainer import train

CODINGS = {
    "latency": Latency(first_ms=10.0, last_ms=40.0),
    "poisson": Poisson(duration_ms=100.0, rate_hz=200.0),
}
"""What ``coding`` may name."""


class SpikingClassifier(ClassifierMixin, BaseEstimator):
    """A spiking network that is trained on labelled recordings, or on rows of numbers coded as spikes.

    X is either

    - a list or one-dimensional array of recordings: each an `EventStream`, a structured array with the fields
      t (microseconds), x, y and p, or the path of a file, read when it is needed; or
    - a table of numbers (rows, features). Each feature is scaled to 0 .. 1 by the least and largest value
      that `fit` sees, others are clipped, and has two input neurons, for its value v and for 1 - v;
      ``coding`` turns these into spikes.

    Parameters
    ----------
    network : Network, optional
        Training starts from its weights. It must have an output neuron for each class. Left out, `hidden`
        layers and an output layer, with parameters for the coding; for recordings give a network.
    hidden : sequence of int
        Neurons of the hidden layers, where `network` is left out.
    coding : {"latency", "poisson"} or Encoder
        Of tables: one spike per input, earlier for a larger value; or a Poisson process per input, drawn
        again in each epoch; or an encoder of values, see `eventsnn.encode.ENCODERS`.
    rule : Rule, optional
        See `eventsnn.train`. By default `HM2BP` for recordings, `EventProp` for tables with a coding that
        does not draw and for networks with a readout, `HM2BP` with the head "softmax" for those with one
        that does.
    optimiser : Optimiser, optional
        Adam by default, with the learning rate 0.005 for tables.
    epochs, batch_size
        See `eventsnn.train`; there is no validation, and the network of the last epoch is kept.
    augmentation, distortion : optional
        Of recordings, see `eventsnn.train`.
    random_state : int, RandomState or None
        Of the weights, the order and all draws. The same number gives the same bits.
    threads : int, optional
        1 by default, as cross-validation uses several processes; None: all processors.

    Attributes
    ----------
    classes_ : array (classes,)
        The labels, sorted. Output neuron k stands for ``classes_[k]``; if the network has names of classes,
        the neuron of that name does.
    network_ : Network
        As trained: for `eventsnn.simulate`, `eventsnn.explain`, `Network.save` and all else.
    history_ : list of dict
        Metrics per epoch, see `eventsnn.TrainResult`.
    n_features_in_ : int
        Columns of the table that it was fitted with.

    Raises
    ------
    TrainingError
        For a network or argument that does not fit.
    MissingExtraError
        Without scikit-learn.

    Examples
    --------
    >>> from eventsnn.sklearn import SpikingClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(SpikingClassifier(epochs=30).fit(X, y).score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        network: Network | None = None,
        *,
        hidden: Sequence[int] = (100,),
        coding: Any = "latency",
        rule: Rule | None = None,
        optimiser: Optimiser | None = None,
        epochs: int = 30,
        batch_size: int = 10,
        augmentation: Augmentation | None = None,
        distortion: Distortion | None = None,
        random_state: Any = 1,
        threads: int | None = 1,
    ) -> None:
        # scikit-learn wants arguments kept as they are, and checked in `fit`.
        self.network, self.hidden, self.coding = network, hidden, coding
        self.rule, self.optimiser = rule, optimiser
        self.epochs, self.batch_size = epochs, batch_size
        self.augmentation, self.distortion = augmentation, distortion
        self.random_state, self.threads = random_state, threads

    def fit(self, X: Any, y: npt.ArrayLike) -> Self:
        """Train on recordings or rows X with labels y: numbers or names, (n,)."""
        if self.network is not None:
            check_kind("network", self.network, Network, TrainingError)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._table = not is_recordings(X)
        if self._table:
            X, y = validate_data(self, X, y, dtype=np.float64)
            self._fit_scale(X)
        labels = np.asarray(column_or_1d(y, warn=True))
        check_classification_targets(labels)
        if len(labels) != len(X):
            sizes = number_of(len(X), "recording"), number_of(len(labels), "label")
            raise TrainingError(f"X holds {sizes[0]}, y {sizes[1]}: give one for each")
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        self._seed = seed
        network = self._fit_network(X, seed)
        self._places = _place_classes(self.classes_, network)
        source = self._source(X, self._places[numbers], network)
        with tempfile.TemporaryDirectory(prefix="eventsnn-fit-") as folder:
            done = train(
                network,
                source,
                rule=self._rule(),
                optimiser=self.optimiser or Optimiser(learning_rate=0.005 if self._table else 0.001),
                epochs=self.epochs,
                batch_size=self.batch_size,
                augmentation=self.augmentation,
                distortion=self.distortion,
                seed=seed,
                valid_fraction=0.0,
                threads=self.threads,
                out=folder,
                overwrite=True,
            )
        self.history_ = done.history
        self.network_ = done.network.with_classes(_name_classes(self.classes_, self._places, network))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The class of each recording or row: that of the output neuron that decides.

        Where no output neuron fires, the first of `classes_`.
        """
        votes = self._votes(X)
        return np.asarray(self.classes_[np.argmax(votes, axis=1)])

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Shares of the classes, float64 (n, classes), in the order of `classes_`.

        From output spikes o_k as (o_k + 1) / sum (o_k + 1), so that none is 0; where the first spike decides,
        from those at its instant. From a readout, softmax. The class of the largest share is that of
        `predict`. They are no calibrated probabilities; scikit-learn can calibrate them.
        """
        votes = self._votes(X)
        if self.network_.output.fires:
            shares = votes + 1.0
        else:
            shares = np.exp(votes - votes.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float64)

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """What decides: output spikes (those at the instant of the first, where that decides), or a readout.

        float64 (n, classes); of two classes (n,), the second less the first.
        """
        votes = self._votes(X)
        return votes if len(self.classes_) != 2 else votes[:, 1] - votes[:, 0]

    def _votes(self, X: Any) -> npt.NDArray[np.float64]:
        """What decides, (n, classes)."""
        check_is_fitted(self, "network_")
        if is_recordings(X) and self._table:
            raise TrainingError("X holds recordings, and the classifier was fitted with a table of numbers")
        if not is_recordings(X) and not self._table:
            raise TrainingError(
                "the classifier was fitted with recordings: give a list or one-dimensional array of "
                f"EventStream, structured arrays or paths, got {type(X).__name__}"
            )
        if self._table:
            X = validate_data(self, X, dtype=np.float64, reset=False)
        source = self._source(X, np.zeros(len(X), np.int64), self.network_)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SilentOutputWarning)  # one silent recording is no cause of alarm
            found = evaluate(self.network_.with_classes(None), source, threads=self.threads)
        return np.asarray(found.predictions.counts[:, self._places], np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Tables of finite, dense numbers, as any estimator's. Recordings have no tag of their own; they may
        # be paths. One-dimensional arrays of numbers are refused, so `one_d_array` stays false.
        tags.input_tags.string = True
        return tags

    def _fit_scale(self, X: npt.NDArray[np.float64]) -> None:
        self.feature_least_, self.feature_most_ = X.min(axis=0), X.max(axis=0)

    def _scaled(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # Halves: a difference of the largest numbers would overflow.
        least, most = 0.5 * self.feature_least_, 0.5 * self.feature_most_
        width = np.where(most > least, most - least, 1.0)
        return np.clip((0.5 * X - least) / width, 0.0, 1.0)

    def _source(self, X: Any, labels: np.ndarray, network: Network | None) -> Any:
        if not self._table:
            return Recordings(list(X), labels, None if network is None else network.input.sensor_size)
        return CodedTable(self._scaled(X), labels, self._coder(), self._seed)

    def _coder(self) -> Any:
        if isinstance(self.coding, str):
            if self.coding not in CODINGS:
                raise TrainingError(
                    f"coding must be one of {', '.join(CODINGS)}, or an encoder of values: "
                    f"got {self.coding!r}"
                )
            return CODINGS[self.coding]
        if getattr(self.coding, "takes", None) != "values":
            raise TrainingError(
                f"coding must be an encoder of values, such as eventsnn.encode.Latency: got "
                f"{type(self.coding).__name__}"
            )
        return self.coding

    def _rule(self) -> Rule | None:
        if self.rule is not None:
            return self.rule
        if self.network is not None and not self.network.output.fires:
            return EventProp()  # its loss of a readout is the cross-entropy
        if not self._table:
            return None  # that of `train`
        return HM2BP(head="softmax") if self._coder().random else EventProp(early=0.004)

    def _fit_network(self, X: Any, seed: int) -> Network:
        """The network to begin with; TrainingError if it has not enough output neurons."""
        classes = len(self.classes_)
        if self.network is not None:
            if self.network.output.neurons < classes:
                raise TrainingError(
                    f"y holds {number_of(classes, 'class')}, and the output layer "
                    f"{self.network.output.name!r} has {number_of(self.network.output.neurons, 'neuron')}"
                )
            return self.network
        if not self._table:
            raise TrainingError(
                "recordings need a network whose thresholds fit them: SpikingClassifier(network), for "
                "instance eventsnn.Network(eventsnn.Input(34, 34, 2), eventsnn.Dense(100, threshold=10), "
                "eventsnn.Dense(10, threshold=5), seed=1)"
            )
        return make_network(X.shape[1], self.hidden, max(2, classes), self._coder().random, seed)


def make_network(features: int, hidden: Sequence[int], outputs: int, rates: bool, seed: int) -> Network:
    """A network for coded tables: `rates` for many spikes per input, else for one.

    Weights are drawn so that the drive of a neuron does not depend on how many neurons feed it.
    """
    sizes, layers = [*hidden, outputs], []
    sources = 2 * features
    for number, neurons in enumerate(sizes):
        last = number == len(sizes) - 1
        if rates:
            weight, mean, refractory = 3.0 / np.sqrt(sources), 0.5 / sources, 2.0
        else:
            weight, mean, refractory = 3.0 / np.sqrt(sources), 1.0 / sources, 50.0 if last else 0.0
        layers.append(
            Dense(
                int(neurons),
                threshold=1.0,
                tau_m=20.0,
                tau_s=5.0,
                refractory=refractory,
                initial_weight=float(weight),
                initial_mean=float(mean),
            )
        )
        sources = int(neurons)
    return Network(Input(features, 1, 2), *layers, seed=seed)


def _place_classes(classes: np.ndarray, network: Network) -> npt.NDArray[np.int64]:
    """The output neuron of each class: by name where the network has names that are all there."""
    if network.classes is None:
        return np.arange(len(classes))
    names, known = [str(each) for each in classes.tolist()], list(network.classes)
    missing = [name for name in names if name not in known]
    if missing:
        raise TrainingError(
            f"y has classes {', '.join(missing)} that are not among the network's: {', '.join(known)}; "
            "network.with_classes(None) forgets its names"
        )
    return np.array([known.index(name) for name in names], np.int64)


def _name_classes(classes: np.ndarray, places: np.ndarray, network: Network) -> tuple[str, ...] | None:
    """Names for the trained network's outputs; None where they would not be distinct."""
    if network.classes is not None:
        return network.classes
    names = tuple(str(each) for each in classes.tolist())
    return names if len(set(names)) == len(names) and all(names) else None
