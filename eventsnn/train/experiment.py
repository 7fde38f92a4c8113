"""Experiment files: TOML that names a network, the rule, the optimiser and how long to train."""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from eventsnn._util.arguments import check_parameters, describe_unknown
from eventsnn._util.numbers import check_magnitudes
from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.data.source import LabelledSource
from eventsnn.data.splits import check_per_class
from eventsnn.encode.encoders import Encoder, find_encoder
from eventsnn.errors import EventSNNError, EventStreamError, NetworkError, SimulationError, TrainingError
from eventsnn.events.reading import ReadingOptions
from eventsnn.learn.optimisers import Optimiser
from eventsnn.learn.rule import Rule, default_rule, rule_from_table
from eventsnn.model import Network
from eventsnn.simulate.engines.arguments import check_dtype
from eventsnn.trace.options import TraceOptions
from eventsnn.train.trainer import TrainResult, check_options, check_settings, train

TABLES = ("network", "rule", "optimiser", "training", "reading", "augmentation", "distortion", "coding")


@dataclass(frozen=True)
class TrainingOptions:
    """The ``[training]`` table; see `eventsnn.train.trainer.train` for the meaning of the fields."""

    epochs: int = 20
    batch_size: int = 5
    seed: int = 1
    valid_fraction: float = 0.1
    engine: str = "exact"
    step_ms: float | None = None
    duration_ms: float | None = None
    stabilise: str | None = None
    per_class: int | None = None
    dtype: str = "float32"

    def __post_init__(self) -> None:
        check_magnitudes(self, TrainingError, "training: ")
        try:
            check_options(self.epochs, self.batch_size, self.seed, self.valid_fraction)
            check_dtype(self.dtype)
            check_settings(self.engine, self.dtype, self.step_ms, self.duration_ms, self.stabilise)
            check_per_class(self.per_class)
        except (TrainingError, SimulationError) as error:
            raise TrainingError(f"training: {error}") from None


@dataclass(frozen=True)
class Experiment:
    """Contents of an experiment file.

    Attributes
    ----------
    network : dict
        The ``[network]`` table, as `Network.from_table` takes it.
    rule : Rule
    optimiser : Optimiser
    training : TrainingOptions
    reading : ReadingOptions
        How recordings are read; for whoever opens the data, `run` takes it as it is:
        ``es.data.Folder(root, **experiment.reading.given())``.
    augmentation : Augmentation or None
    distortion : Distortion or None
    coding : Encoder or None
        How images become spikes; for whoever opens the data, `run` takes it as it is.
    """

    network: dict[str, Any]
    rule: Rule = field(default_factory=default_rule)
    optimiser: Optimiser = field(default_factory=Optimiser)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    augmentation: Augmentation | None = None
    distortion: Distortion | None = None
    coding: Encoder | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Experiment:
        """Read an experiment file.

        Raises
        ------
        TrainingError, NetworkError
            Naming the file, the table and the field.
        """
        file = Path(path)
        try:
            # Editors on Windows write a byte-order mark.
            table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise TrainingError(f"{file}: cannot be read ({error.strerror})") from None
        except UnicodeDecodeError as error:
            text = f"is not text in UTF-8 (byte {error.start}); save it in this encoding"
            raise TrainingError(f"{file}: {text}") from None
        except ValueError as error:  # of TOML, of a whole number with too many digits
            raise TrainingError(f"{file}: is not TOML ({error})") from None
        except RecursionError:
            raise TrainingError(f"{file}: is nested too deeply") from None
        try:
            return cls.from_table(table)
        except NetworkError as error:
            raise NetworkError(f"{file}: {error}") from None
        except EventSNNError as error:
            raise TrainingError(f"{file}: {error}") from None

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Experiment:
        """From the tables of an experiment file."""
        for name, value in table.items():
            if name not in TABLES:
                raise TrainingError(describe_unknown(name, TABLES, "table"))
            if not isinstance(value, dict):
                raise TrainingError(f"{name} must be a table, got {value!r}")
        if "network" not in table:
            raise TrainingError("the table [network] is missing")
        experiment = cls(
            network=table["network"],
            rule=rule_from_table(table.get("rule", {})),
            optimiser=Optimiser.from_table(table.get("optimiser", {})),
            training=_from_table(TrainingOptions, table.get("training", {}), "training"),
            reading=_read_reading(table.get("reading", {})),
            augmentation=_from_table(Augmentation, table["augmentation"], "augmentation")
            if "augmentation" in table
            else None,
            distortion=_from_table(Distortion, table["distortion"], "distortion")
            if "distortion" in table
            else None,
            coding=_read_coding(table["coding"]) if "coding" in table else None,
        )
        experiment.make_network()
        return experiment

    def augmented(self, changes: Mapping[str, float]) -> Experiment:
        """The same with other augmentation: fields of `Augmentation` and `Distortion`, by their names.

        Raises
        ------
        TrainingError
            There is no such field, or its value is out of range.
        """
        changed: dict[str, Any] = {}
        kinds: tuple[tuple[str, Any, Any], ...] = (
            ("augmentation", Augmentation, self.augmentation),
            ("distortion", Distortion, self.distortion),
        )
        for kind, cls, current in kinds:
            chosen = {name: changes[name] for name in inspect.signature(cls).parameters if name in changes}
            if chosen:
                changed[kind] = cls(**((asdict(current) if current else {}) | chosen))
        known = [name for _, cls, _ in kinds for name in inspect.signature(cls).parameters]
        for name in changes:
            if name not in known:
                raise TrainingError(f"no augmentation {name!r}; there are {', '.join(known)}")
        return replace(self, **changed)

    def make_network(self, seed: int | None = None) -> Network:
        """The network with random weights drawn from `seed`, that of the file by default."""
        return Network.from_table(self.network, seed=self.training.seed if seed is None else seed)

    def run(
        self,
        data: LabelledSource,
        *,
        out: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        valid: LabelledSource | None = None,
        valid_fraction: float | None = None,
        epochs: int | None = None,
        seed: int | None = None,
        engine: str | None = None,
        step_ms: float | None = None,
        duration_ms: float | None = None,
        per_class: int | None = None,
        threads: int | None = None,
        start_from: Network | None = None,
        resume: bool = False,
        progress: bool = False,
        trace: str | os.PathLike[str] | TraceOptions | None = None,
        device: str = "cpu",
    ) -> TrainResult:
        """Train as the file describes; arguments override it. See `eventsnn.train.trainer.train`.

        With `start_from` the weights are at first those of another network of the same shape, such as
        the best one of an earlier run, and so are the delays, time constants and thresholds that it has
        learned; its class names hold, too, unless the file has some (``classes``).
        """
        overrides: dict[str, Any] = {
            "valid_fraction": valid_fraction,
            "epochs": epochs,
            "seed": seed,
            "engine": engine,
            "step_ms": step_ms,
            "duration_ms": duration_ms,
            "per_class": per_class,
        }
        options = self.training
        if engine == "exact":  # the file's step is that of the clock, which is not to run
            options = replace(options, engine=engine, step_ms=None)
        options = replace(options, **{name: value for name, value in overrides.items() if value is not None})
        network = self.make_network(options.seed)
        return train(
            network if start_from is None else _take_weights(network, start_from),
            data,
            out=out,
            overwrite=overwrite,
            valid=valid,
            rule=self.rule,
            optimiser=self.optimiser,
            augmentation=self.augmentation,
            distortion=self.distortion,
            **vars(options),
            threads=threads,
            resume=resume,
            progress=progress,
            trace=trace,
            device=device,
        )


def _take_weights(network: Network, source: Network) -> Network:
    """The network with the weights of another; TrainingError, naming a layer, if they do not fit."""
    needed, offered = network.weight_shapes(), source.weight_shapes()
    for name in needed | offered:
        if needed.get(name) != offered.get(name):
            raise TrainingError(
                f"the weights to start from do not fit the experiment: layer {name!r} needs "
                f"{needed.get(name, 'none')}, and there are {offered.get(name, 'none')}"
            )
    parts = {str(layer.name): layer for layer in source.layers} | {c.key: c for c in source.connections}
    learned = {key: part.learned for key, part in parts.items()}
    result = network.with_weights(source.weights) if not network.delays else network
    if network.delays or source.delays:  # which belong to the synapses that there are now
        result = Network(
            network.input,
            *network.layers,
            connections=network.connections,
            weights=source.weights,
            delays=source.delays,
            classes=network.classes,
            settings=network.settings,
        )
    result = result.with_constants(learned)
    return result if network.classes is not None else result.with_classes(source.classes)


def _read_reading(table: dict[str, Any]) -> ReadingOptions:
    try:
        return ReadingOptions.from_table(table)
    except EventStreamError as error:
        raise TrainingError(f"reading: {error}") from None


def _read_coding(table: dict[str, Any]) -> Encoder:
    options = {"name": "bernoulli", **table}
    try:
        encoder = find_encoder(options.pop("name"), "values")
    except SimulationError as error:
        raise TrainingError(f"coding: {error}") from None
    coding: Encoder = _from_table(encoder, options, "coding")
    return coding


def _from_table(cls: Any, table: dict[str, Any], name: str) -> Any:
    check_parameters(name, cls, table, TrainingError)
    return cls(**table)
