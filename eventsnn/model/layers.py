"""Frozen descriptions of the parts of a network. They hold and check numbers, nothing else."""

from __future__ import annotations

import math
import sys
import unicodedata
from dataclasses import dataclass, fields
from typing import Any

from eventsnn._util.numbers import describe
from eventsnn.errors import NetworkError
from eventsnn.model.neuron import LIF

MOST_NEURONS = 2**31 - 1
"""Of a layer or of the input: neurons are numbered in 32 bits."""

LARGEST_DRAWN = 1e30
"""Of a weight that is drawn at random: it is kept in float32."""

LONGEST_MS = 1e12
SHORTEST_MS = 1e-9
"""Of a time constant, ms: the ratio of two of them, and its exponential, must be a number."""


def check_count(owner: str, field: str, value: object) -> None:
    """Raise NetworkError unless `value` is a whole number >= 1, and one that 32 bits hold."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise NetworkError(f"{owner}: {field} must be a whole number >= 1, got {describe(value)}")
    if value > MOST_NEURONS:
        raise NetworkError(f"{owner}: {field} must be at most {MOST_NEURONS}, got {describe(value)}")


def check_number(
    owner: str, field: str, value: object, *, minimum: float = 0.0, maximum: float = sys.float_info.max
) -> None:
    """Raise NetworkError unless `value` is a finite number from `minimum` to `maximum`."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    if not good or value < minimum or value in (math.inf, -math.inf):  # type: ignore[operator]
        bound = f" >= {minimum:g}" if minimum > -math.inf else ""
        raise NetworkError(f"{owner}: {field} must be a finite number{bound}, got {describe(value)}")
    if abs(value) > maximum:  # type: ignore[arg-type]
        raise NetworkError(f"{owner}: {field} must be at most {maximum:g}, got {describe(value)}")


def check_time(owner: str, field: str, value: object, *, constant: bool = False) -> None:
    """Raise NetworkError unless `value` is a time >= 0 ms, or a time constant, that can be computed with."""
    check_number(owner, field, value, maximum=LONGEST_MS)
    if constant and 0.0 < value < SHORTEST_MS:  # type: ignore[operator]
        raise NetworkError(f"{owner}: {field} must be at least {SHORTEST_MS:g} ms, got {value!r}")


LONGEST_NAME = 200
"""Bytes of a name in UTF-8: it is a part of the names of files and of data sets."""


def check_name(owner: str, field: str, value: object) -> None:
    """Raise NetworkError unless `value` can name a layer, and a data set of a file: no path, all visible."""
    if not isinstance(value, str) or not value or "/" in value:
        raise NetworkError(f"{owner}: {field} must be a non-empty text without '/', got {describe(value)}")
    if value in (".", "..") or value != value.strip():
        raise NetworkError(
            f"{owner}: {field} must not be '.' or '..', or begin or end with a space: {value!r:.60}"
        )
    # Control, format and private characters, halves of surrogate pairs, line ends.
    odd = [
        letter
        for letter in value
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    ]
    if odd:
        raise NetworkError(f"{owner}: {field} must be of visible characters, got {describe(value)}")
    if len(value.encode()) > LONGEST_NAME:
        raise NetworkError(
            f"{owner}: {field} must be at most {LONGEST_NAME} bytes long, got {len(value.encode())}"
        )


def _check_probability(owner: str, value: object) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value <= 1.0
    if not good:
        raise NetworkError(f"{owner}: probability must be a number > 0 and <= 1, got {value!r}")


DISTRIBUTIONS = ("uniform", "gaussian", "fixed")
"""How initial weights may be drawn; see `Dense`."""


def check_initial(owner: str, part: Any) -> None:
    """Raise NetworkError unless the fields of `part` that say how its weights are drawn go together.

    These are `initial_weight`, `initial_distribution`, `initial_synapses` and, where there is one,
    `probability`.
    """
    check_number(owner, "initial_weight", part.initial_weight, maximum=LARGEST_DRAWN)
    kind = part.initial_distribution
    if kind not in DISTRIBUTIONS:
        raise NetworkError(
            f"{owner}: initial_distribution must be one of {', '.join(DISTRIBUTIONS)}, got {kind!r}"
        )
    if (kind == "fixed") != (part.initial_synapses is not None):
        raise NetworkError(
            f"{owner}: initial_synapses, the number of synapses of a neuron, goes with initial_distribution "
            f"'fixed' and with no other; got {part.initial_synapses!r} with {kind!r}"
        )
    if kind == "fixed":
        check_count(owner, "initial_synapses", part.initial_synapses)
        if getattr(part, "probability", 1.0) != 1.0:
            raise NetworkError(
                f"{owner}: initial_distribution 'fixed' chooses the synapses itself; leave probability at 1, "
                f"got {part.probability!r}"
            )


def drop_default_initial(table: dict[str, Any]) -> dict[str, Any]:
    """A description without the fields that files had not when all weights were uniform, where they are."""
    if table.get("initial_distribution") == "uniform":
        del table["initial_distribution"], table["initial_synapses"]
    return table


SHORTEST_BIAS_MS = 1e-3


@dataclass(frozen=True)
class Input:
    """The sensor: `width` x `height` pixels of `polarities` polarities, or `Input(78)` for 78 channels.

    The input neuron of an event is ``p * width * height + y * width + x``.

    Parameters
    ----------
    width, height, polarities : int
    bias_interval : float
        If above 0, every layer has biases: synapses from one more neuron, the bias neuron, which fires every
        so many ms, for the first time after one interval, until the last event of the recording. Their
        weights are the last column of each layer's. 0 for none.
    """

    width: int
    height: int = 1
    polarities: int = 1
    bias_interval: float = 0.0

    def __post_init__(self) -> None:
        for field in ("width", "height", "polarities"):
            check_count("input", field, getattr(self, field))
        check_time("input", "bias_interval", self.bias_interval)
        if 0.0 < self.bias_interval < SHORTEST_BIAS_MS:
            raise NetworkError(
                f"input: bias_interval must be 0 (none) or at least {SHORTEST_BIAS_MS:g} ms, got "
                f"{self.bias_interval!r}"
            )
        if self.neurons > MOST_NEURONS:
            raise NetworkError(
                f"input: {' x '.join(map(str, self.sensor_size))} neurons are more than {MOST_NEURONS}"
            )

    @property
    def has_bias(self) -> bool:
        """Whether the layers have biases."""
        return self.bias_interval > 0.0

    @property
    def neurons(self) -> int:
        """Number of input neurons."""
        return self.width * self.height * self.polarities

    @property
    def sensor_size(self) -> tuple[int, int, int]:
        """(width, height, polarities), as tonic writes it."""
        return (self.width, self.height, self.polarities)


class LifLayer:
    """What all layers of LIF neurons have in common."""

    name: str | None
    threshold: float
    tau_m: float
    tau_s: float
    refractory: float
    delay: float
    lateral_inhibition: float = 0.0
    resting: float = 0.0
    probability: float = 1.0

    @property
    def owner(self) -> str:
        """The layer, as error texts call it."""
        return f"layer {describe(self.name)}" if self.name else "layer"

    @property
    def lif(self) -> LIF:
        """The neuron's parameters."""
        return LIF(
            float(self.threshold),
            float(self.tau_m),
            float(self.tau_s),
            float(self.refractory),
            float(self.resting),
        )

    def check_lif(self) -> None:
        """Raise NetworkError for a name or a constant of the neuron that cannot be."""
        if self.name is not None:
            check_name("layer", "name", self.name)
        check_number(self.owner, "threshold", self.threshold)
        for field in ("tau_m", "tau_s", "refractory", "delay"):
            check_time(self.owner, field, getattr(self, field), constant=field.startswith("tau"))
        for problem in self.lif.problems():
            raise NetworkError(f"{self.owner}: {problem}")


@dataclass(frozen=True)
class Dense(LifLayer):
    """A layer of LIF neurons, each fed by every neuron of the layer before it.

    Parameters
    ----------
    neurons : int
        Number of neurons.
    name : str, optional
        Name of the layer and key of its weights; ``hidden``, ``hidden2``, ... and ``output`` by default.
    threshold, tau_m, tau_s, refractory : float
        See `LIF`; times in ms.
    delay : float
        Axonal delay of the feed-forward projection into this layer, ms, >= 0.
    lateral_inhibition : float
        w0 >= 0: every neuron's spike adds -w0 to the synaptic current of every other neuron of the layer, at
        once. Not trained.
    initial_weight, initial_distribution : float, {"uniform", "gaussian", "fixed"}
        How random weights are drawn: from uniform(-initial_weight, initial_weight); from the normal
        distribution of mean 0 and standard deviation `initial_weight`; or `initial_synapses` weights of each
        neuron, from sources drawn without repetition, are `initial_weight` or -`initial_weight` with equal
        probability, and the rest are 0, those of the biases among them.
    initial_synapses : int, optional
        With "fixed" only, where it is needed.
    resting : float
        Resting potential, below the threshold: what the membrane potential tends to without input. A constant
        current of strength J, in the unit of synaptic current, is a resting potential of J tau_m / tau_s.
    probability : float
        Of each synapse of the feed-forward projection to exist when weights are drawn at random, 0 <
        probability <= 1; below 1 they are sparse. Weights that are given may be sparse in any case.

    Raises
    ------
    NetworkError
        Naming the layer and the field.
    """

    neurons: int
    name: str | None = None
    threshold: float = 15.0
    tau_m: float = 64.0
    tau_s: float = 8.0
    refractory: float = 2.0
    delay: float = 0.0
    lateral_inhibition: float = 0.0
    initial_weight: float = 1.0
    resting: float = 0.0
    probability: float = 1.0
    initial_distribution: str = "uniform"
    initial_synapses: int | None = None

    def __post_init__(self) -> None:
        check_count(self.owner, "neurons", self.neurons)
        check_number(self.owner, "lateral_inhibition", self.lateral_inhibition)
        _check_probability(self.owner, self.probability)
        check_initial(self.owner, self)
        check_number(self.owner, "resting", self.resting, minimum=-math.inf)
        self.check_lif()


@dataclass(frozen=True)
class Connection:
    """A further projection, all-to-all or sparse: recurrent (source is target), feedback or skip.

    Parameters
    ----------
    source, target : str
        Names of layers; the source may be ``"input"``.
    delay : float
        Axonal delay, ms, >= 0.
    name : str, optional
        Key of its weights, ``"source->target"`` by default.
    initial_weight, initial_distribution, initial_synapses
        How random weights are drawn, as for `Dense`.
    probability : float
        Of each synapse to exist when weights are drawn at random, 0 < probability <= 1; below 1 they are
        sparse.
    """

    source: str
    target: str
    delay: float = 0.0
    name: str | None = None
    initial_weight: float = 1.0
    probability: float = 1.0
    initial_distribution: str = "uniform"
    initial_synapses: int | None = None

    def __post_init__(self) -> None:
        owner = f"connection {self.key!r}"
        for field in ("source", "target", "key"):
            check_name(owner, field, getattr(self, field))
        check_time(owner, "delay", self.delay)
        _check_probability(owner, self.probability)
        check_initial(owner, self)

    @property
    def key(self) -> str:
        """Key of its weights."""
        return self.name if self.name is not None else f"{self.source}->{self.target}"


BIAS = -2
"""What `Projection.source` is for the bias neuron."""


@dataclass(frozen=True)
class Projection:
    """One bundle of synapses as the engines see it; made by `Network.projections`.

    Attributes
    ----------
    key : str
        Key of the weights in `Network.weights`; for lateral inhibition the layer's name plus ``":lateral"``.
    source, target : int
        Layer numbers; the input is -1, the bias neuron `BIAS`.
    delay : float
        Axonal delay, ms.
    lateral : float
        Strength of a lateral inhibition, 0 for a projection with weights of its own.

    A projection from `BIAS` has the last column of the weights of its layer; its key is the layer's name
    plus ``":bias"``.
    """

    key: str
    source: int
    target: int
    delay: float
    lateral: float = 0.0


def build_from_table(cls: type[Any], table: Any, owner: str) -> Any:
    """Make a description from a table of a file, refusing fields that it does not have.

    Raises
    ------
    NetworkError
        Naming `owner`, the field and the fields there are.
    """
    if not isinstance(table, dict):
        raise NetworkError(f"{owner} must be a table, got {table!r}")
    known = [field.name for field in fields(cls) if field.init]
    for key in table:
        if key not in known:
            raise NetworkError(f"{owner}: unknown field {key!r}; there are {', '.join(known)}")
    try:
        return cls(**table)
    except TypeError as error:
        raise NetworkError(f"{owner}: {error}") from None
