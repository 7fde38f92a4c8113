"""Network: layers, connections and their synaptic weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.network.layers import BIAS, Connection, Dense, Input, Projection, build_from_table
from eventsnn.network.sparse import check_sparse, draw_sparse, is_sparse, row_of
from eventsnn.network.spatial import Conv, Pool, Shape, fit_source, lower_weights

INPUT = "input"
KINDS: dict[str, type[Dense | Conv | Pool]] = {"dense": Dense, "conv": Conv, "pool": Pool}
Layer: TypeAlias = Dense | Conv | Pool


class Network:
    """An immutable spiking network: an input, layers in a chain, further connections, weights.

    Parameters
    ----------
    input : Input
        The sensor.
    *layers : Dense, Conv or Pool
        Each is fed by the one before it, the first by the input; the last is the output.
    connections : iterable of Connection
        Further projections: recurrent, feedback, skip.
    weights : mapping of str to array, optional
        Synaptic weights of every layer (key: its name) and connection (key: its `key`), each of shape
        (post, pre), float32 or float64, finite; of a `Conv` (channels, source channels, y, x). May be scipy
        sparse arrays or matrices, but for a `Conv`. A `Pool` has none.
    seed : int, optional
        Draws the weights from uniform(-initial_weight, initial_weight) as float32; 0 when neither is given.
        Where a layer's or connection's `probability` is below 1, as a sparse array.

    Attributes
    ----------
    input : Input
    layers : tuple of Dense, Conv or Pool
        With their names and the shapes of their sources filled in.
    connections : tuple of Connection
    weights : read-only mapping of str to read-only array (post, pre)
        ``scipy.sparse.csr_array`` where they are sparse.

    Raises
    ------
    NetworkError
        Naming the layer or connection and the field.
    """

    def __init__(
        self,
        input: Input,
        *layers: Layer,
        connections: Iterable[Connection] = (),
        weights: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(input, Input):
            raise NetworkError(f"the first argument must be an Input, got {type(input).__name__}")
        if not layers:
            raise NetworkError("a network needs at least one layer after its input")
        for layer in layers:
            if not isinstance(layer, Dense | Conv | Pool):
                raise NetworkError(f"layers must be Dense, Conv or Pool, got {type(layer).__name__}")
        self.input = input
        self.layers = _fit_layers(input, _name_layers(layers))
        if input.has_bias and "bias" in self.names:
            raise NetworkError("layer 'bias': the name is the bias neuron's; give the layer another")
        self.connections = tuple(connections)
        self.projections = self._list_projections()
        shapes = self.weight_shapes()
        if weights is None:
            weights = self._draw_weights(0 if seed is None else seed)
        elif seed is not None:
            raise NetworkError("give either weights or a seed, not both")
        self.weights: Mapping[str, Any] = MappingProxyType(_check_weights(weights, shapes))

    # -- structure
    # ---------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers, first to last."""
        return tuple(str(layer.name) for layer in self.layers)

    @property
    def output(self) -> Layer:
        """The last layer."""
        return self.layers[-1]

    def index(self, name: str) -> int:
        """Number of the layer called `name`; -1 for the input.

        Raises
        ------
        NetworkError
            If there is none; the text lists the names.
        """
        if name == INPUT:
            return -1
        try:
            return self.names.index(name)
        except ValueError:
            raise NetworkError(f"no layer {name!r}; there are {', '.join((INPUT, *self.names))}") from None

    def __getitem__(self, name: str) -> Layer:
        """The layer called `name`."""
        index = self.index(name)
        if index < 0:
            raise NetworkError("the input is not a layer of neurons: use Network.input")
        return self.layers[index]

    @property
    def is_recurrent(self) -> bool:
        """True if spikes of a layer can come back to it other than by its own lateral inhibition."""
        return any(p.source >= p.target and not p.lateral for p in self.projections)

    def source_size(self, source: int) -> int:
        """Number of neurons of layer `source`; of the input for -1, 1 for the bias neuron."""
        if source == BIAS:
            return 1
        return self.input.neurons if source < 0 else self.layers[source].neurons

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the weights of every projection that has some: (post, pre), or those of a `Conv`.

        Those of the biases are the last column of their layer's.
        """
        found: dict[str, tuple[int, ...]] = {}
        for p in self.projections:
            target = self.layers[p.target]
            if isinstance(target, Conv) and p.key == target.name:
                found[p.key] = target.weight_shape
            elif (
                p.source != BIAS and not p.lateral and not (isinstance(target, Pool) and p.key == target.name)
            ):
                bias = self.input.has_bias and p.key == target.name
                found[p.key] = (target.neurons, self.source_size(p.source) + bias)
        return found

    @property
    def is_spatial(self) -> bool:
        """True if it has convolution or pooling layers."""
        return any(not isinstance(layer, Dense) for layer in self.layers)

    @cached_property
    def lowered(self) -> Network:
        """The same network of dense layers alone, weights of the spatial ones written out, sparse."""
        if not self.is_spatial:
            return self
        weights = dict(self.weights)
        layers = []
        for layer in self.layers:
            if isinstance(layer, Dense):
                layers.append(layer)
                continue
            weights[str(layer.name)] = lower_weights(layer, self.weights.get(str(layer.name)))
            common = {field: getattr(layer, field) for field in ("name", "threshold", "tau_m", "tau_s")}
            layers.append(Dense(layer.neurons, refractory=layer.refractory, delay=layer.delay, **common))
        return Network(self.input, *layers, connections=self.connections, weights=weights)

    @property
    def sparse_keys(self) -> tuple[str, ...]:
        """Keys of the layers and connections whose weights are sparse."""
        return tuple(key for key, weights in self.weights.items() if is_sparse(weights))

    def projection_weights(self, projection: Projection) -> np.ndarray:
        """Weights (post, pre) of a projection, dense; of lateral inhibition -w0 off the diagonal."""
        if not projection.lateral:
            weights = self.lowered.weights[self._weight_key(projection)]
            array = np.asarray(weights.toarray() if is_sparse(weights) else weights)
            size = self.source_size(projection.source)
            return array[:, -1:] if projection.source == BIAS else array[:, :size]
        size = self.layers[projection.target].neurons
        return np.asarray(-projection.lateral * (1.0 - np.eye(size)))

    def afferent_weights(self, projection: Projection, neuron: int) -> np.ndarray:
        """Weights from all neurons of a projection's source to one of its target, float64 array (pre,)."""
        if projection.lateral:
            row = np.full(self.layers[projection.target].neurons, -projection.lateral)
            row[neuron] = 0.0
            return row
        weights = self.lowered.weights[self._weight_key(projection)]
        row = row_of(weights, neuron) if is_sparse(weights) else np.asarray(weights[neuron], np.float64)
        return row[-1:] if projection.source == BIAS else row[: self.source_size(projection.source)]

    def _weight_key(self, projection: Projection) -> str:
        """Key of the weights of a projection that is not lateral."""
        return self.names[projection.target] if projection.source == BIAS else projection.key

    # -- the same network otherwise
    # ----------------------------------------------------------------------------

    def with_weights(self, weights: Mapping[str, Any]) -> Network:
        """The same network with other weights."""
        return Network(self.input, *self.layers, connections=self.connections, weights=weights)

    def to_table(self) -> dict[str, Any]:
        """The description without weights, as plain values that TOML and JSON can hold."""
        return {
            "input": _input_to_table(self.input),
            "layers": [_layer_to_table(layer) for layer in self.layers],
            "connections": [asdict(replace(c, name=c.key)) for c in self.connections],
        }

    @classmethod
    def from_table(
        cls,
        table: Any,
        *,
        weights: Mapping[str, Any] | None = None,
        seed: int | None = None,
        where: str = "network",
    ) -> Network:
        """Build from what `to_table` gives, or the ``[network]`` table of an experiment file.

        Raises
        ------
        NetworkError
            Naming `where`, the layer and the field.
        """
        if not isinstance(table, dict):
            raise NetworkError(f"{where} must be a table")
        for key in table:
            if key not in ("input", "layers", "connections"):
                raise NetworkError(f"{where}: unknown field {key!r}; there are input, layers, connections")
        for key, kind in (("input", dict), ("layers", list)):
            if not isinstance(table.get(key), kind):
                raise NetworkError(f"{where}: field {key!r} is missing or not a {kind.__name__}")
        sensor = build_from_table(Input, table["input"], f"{where}.input")
        layers = [_layer_from_table(t, f"{where}.layers[{n}]") for n, t in enumerate(table["layers"])]
        more = [
            build_from_table(Connection, t, f"{where}.connections[{n}]")
            for n, t in enumerate(table.get("connections", []))
        ]
        return cls(sensor, *layers, connections=more, weights=weights, seed=seed)

    def save(self, path: str | os.PathLike[str], **attributes: Any) -> None:
        """Write description and weights to one HDF5 file; see `eventsnn.network.file.save_network`."""
        from eventsnn.network.file import save_network

        save_network(self, path, **attributes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read a network written by `save`; see `eventsnn.network.file.load_network`."""
        from eventsnn.network.file import load_network

        return load_network(path)

    def __repr__(self) -> str:
        sizes = "-".join(str(n) for n in (self.input.neurons, *(layer.neurons for layer in self.layers)))
        more = f", {len(self.connections)} further connections" if self.connections else ""
        return f"<Network {sizes} ({', '.join(self.names)}){more}>"

    # -- construction
    # ------------------------------------------------------------------------------------------

    def _list_projections(self) -> tuple[Projection, ...]:
        found = [
            Projection(str(layer.name), n - 1, n, float(layer.delay)) for n, layer in enumerate(self.layers)
        ]
        for connection in self.connections:
            if connection.target == INPUT:
                raise NetworkError(f"connection {connection.key!r}: the input cannot be a target")
            if connection.key in {p.key for p in found}:
                raise NetworkError(f"connection {connection.key!r}: the name is taken; give it another")
            try:
                source, target = self.index(connection.source), self.index(connection.target)
            except NetworkError as error:
                raise NetworkError(f"connection {connection.key!r}: {error}") from None
            found.append(Projection(connection.key, source, target, float(connection.delay)))
        for n, layer in enumerate(self.layers):
            if self.input.has_bias:
                if not isinstance(layer, Dense):
                    raise NetworkError(
                        f"input: bias_interval is for networks of dense layers, and {layer.name!r} is none"
                    )
                found.append(Projection(f"{layer.name}:bias", BIAS, n, float(layer.delay)))
            if layer.lateral_inhibition:
                found.append(Projection(f"{layer.name}:lateral", n, n, 0.0, float(layer.lateral_inhibition)))
        return tuple(found)

    def _draw_weights(self, seed: int) -> dict[str, Any]:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise NetworkError(f"seed must be a whole number >= 0, got {seed!r}")
        limits = {str(x.name): x.initial_weight for x in self.layers if not isinstance(x, Pool)}
        limits |= {connection.key: connection.initial_weight for connection in self.connections}
        chances = {str(layer.name): layer.probability for layer in self.layers}
        chances |= {connection.key: connection.probability for connection in self.connections}
        weights: dict[str, Any] = {}
        for n, (key, shape) in enumerate(self.weight_shapes().items()):
            # One generator per projection: adding a layer at the end leaves the earlier weights as they were.
            generator = np.random.default_rng([int(seed), n])
            if chances[key] < 1.0:
                weights[key] = draw_sparse(generator, (shape[0], shape[1]), chances[key], limits[key])
            else:
                weights[key] = (limits[key] * generator.uniform(-1.0, 1.0, shape)).astype(np.float32)
        return weights


def _name_layers(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    named: list[Layer] = []
    stems = {Dense: "hidden", Conv: "conv", Pool: "pool"}
    for n, layer in enumerate(layers):
        name = layer.name
        if name is None:
            of_kind = sum(type(other) is type(layer) for other in layers[:n])
            name = f"{stems[type(layer)]}{of_kind + 1 if of_kind else ''}"
            if n == len(layers) - 1:
                name = "output"
        if name == INPUT or name in {other.name for other in named}:
            raise NetworkError(f"layer {name!r}: the name is taken; give every layer a name of its own")
        named.append(replace(layer, name=name))
    return tuple(named)


def _fit_layers(input: Input, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """The layers, spatial ones with the shape of their source."""
    fitted: list[Layer] = []
    shape: Shape = (input.polarities, input.height, input.width)
    for layer in layers:
        if isinstance(layer, Dense):
            shape = (layer.neurons, 1, 1)
            fitted.append(layer)
        else:
            fitted.append(fit_source(layer, shape, str(fitted[-1].name) if fitted else INPUT))
            shape = fitted[-1].shape  # type: ignore[union-attr]
    return tuple(fitted)


def _input_to_table(sensor: Input) -> dict[str, Any]:
    table = asdict(sensor)
    if not sensor.has_bias:  # files of networks without stay as they were before there were biases
        del table["bias_interval"]
    return table


def _layer_to_table(layer: Layer) -> dict[str, Any]:
    table = asdict(layer)
    table.pop("source_shape", None)
    kind = next(name for name, cls in KINDS.items() if type(layer) is cls)
    # Files of dense networks stay as they were before there were other kinds.
    return table if kind == "dense" else {"type": kind, **table}


def _layer_from_table(table: Any, owner: str) -> Layer:
    if isinstance(table, dict) and "type" in table:
        kind = table["type"]
        if kind not in KINDS:
            raise NetworkError(f"{owner}: type must be one of {', '.join(KINDS)}, got {kind!r}")
        if "source_shape" in table:
            raise NetworkError(f"{owner}: unknown field 'source_shape'; it follows from the layer before")
        table = {field: value for field, value in table.items() if field != "type"}
        layer: Layer = build_from_table(KINDS[kind], table, owner)
        return layer
    dense: Layer = build_from_table(Dense, table, owner)
    return dense


def _check_weights(weights: Mapping[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    for key in weights:
        if key not in shapes:
            raise NetworkError(f"weights: no layer or connection {key!r}; there are {', '.join(shapes)}")
    checked: dict[str, Any] = {}
    for key, shape in shapes.items():
        axes = "(post, pre)" if len(shape) == 2 else "(channels, source channels, y, x)"
        if key not in weights:
            raise NetworkError(f"weights of {key!r} are missing; give an array of shape {shape} {axes}")
        if is_sparse(weights[key]) and len(shape) == 2:
            checked[key] = check_sparse(key, weights[key], (shape[0], shape[1]))
            continue
        array = np.asarray(weights[key])
        if array.dtype not in (np.float32, np.float64):
            if array.dtype.kind not in "iuf":
                raise NetworkError(f"weights of {key!r} must be numbers, got dtype {array.dtype}")
            array = array.astype(np.float64)
        if array.shape != shape:
            raise NetworkError(f"weights of {key!r} must have shape {shape} {axes}, got {array.shape}")
        if not np.isfinite(array).all():
            where = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
            place = ", ".join(
                f"{axis.strip('() ')} {n}" for axis, n in zip(axes.split(","), where, strict=True)
            )
            raise NetworkError(f"weights of {key!r}: the weight of {place} is {array[where]}")
        array = np.array(array, order="C")
        array.flags.writeable = False
        checked[key] = array
    return checked
