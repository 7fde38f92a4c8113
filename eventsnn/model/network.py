"""Network: layers, connections and their synaptic weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.model import description, edit, projections
from eventsnn.model.chain import build_chain, find_layer
from eventsnn.model.classes import check_classes
from eventsnn.model.delays import check_same_synapses, take_delays
from eventsnn.model.drawing import draw_weights
from eventsnn.model.layers import BIAS, Connection, Input, Layer, Projection
from eventsnn.model.projections import AfferentSynapses
from eventsnn.model.settings import RunSettings
from eventsnn.model.sparse import is_sparse
from eventsnn.model.weights import check_weights


class Network:
    """An immutable spiking network: an input, layers in a chain, further connections, weights.

    Parameters
    ----------
    input : Input
        The sensor.
    *layers : Dense, Conv, Pool, Reservoir or Readout
        Each is fed by the one before it, the first by the input; the last is the output, which alone may be a
        Readout.
    connections : iterable of Connection
        Further projections: recurrent, feedback, skip.
    weights : mapping of str to array, optional
        Synaptic weights of every layer (key: its name) and connection (key: its `key`), each of shape
        (post, pre), float32 or float64, finite; of a `Conv` (channels, source channels, y, x). May be scipy
        sparse arrays or matrices, but for a `Conv`. A `Pool` has none.
    delays : mapping of str to array, optional
        By key of sparse weights: a delay for each synapse, ms, as for `Connection`.
    seed : int, optional
        Draws the weights as float32, as each layer or connection says; 0 when neither is given. Where its
        `probability` is below 1, as a sparse array.
    classes : sequence of str, optional
        Names of the classes that the output neurons stand for, in their order; there may be fewer names than
        neurons. Training fills them in from its data set; data sets are matched by them.
    settings : RunSettings, optional
        How samples are run through it unless asked otherwise; exact time by default. Training fills them in.

    Attributes
    ----------
    input : Input
    layers : tuple of Dense, Conv, Pool, Reservoir or Readout
        With their names and the shapes of their sources filled in.
    connections : tuple of Connection
    weights : read-only mapping of str to read-only array (post, pre)
        ``scipy.sparse.csr_array`` where they are sparse.
    delays : read-only mapping of str to read-only float64 array (synapses,)
        By key: where synapses have delays of their own, ms, these, in the order of the weights' ``data``.
    classes : tuple of str or None
    settings : RunSettings

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
        delays: Mapping[str, Any] | None = None,
        seed: int | None = None,
        classes: Sequence[str] | None = None,
        settings: RunSettings | None = None,
    ) -> None:
        self.input, self.layers = input, build_chain(input, layers)
        self.classes = check_classes(classes, self.output.neurons)
        self.connections = tuple(connections)
        self.delays: Mapping[str, np.ndarray] = MappingProxyType({})
        self.projections = projections.list_projections(self)
        shapes = self.weight_shapes()
        if weights is None:
            weights = draw_weights(self, 0 if seed is None else seed)
        elif seed is not None:
            raise NetworkError("give either weights or a seed, not both")
        self.settings = settings or RunSettings()
        self.weights: Mapping[str, Any] = MappingProxyType(check_weights(weights, shapes, self.weight_axes()))
        found = take_delays(self, delays or {}, weights, seed or 0)
        if found:
            self._set_delays(found)

    # -- structure ---------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the layers, first to last."""
        return tuple(str(layer.name) for layer in self.layers)

    @property
    def output(self) -> Layer:
        """The last layer."""
        return self.layers[-1]

    @property
    def decides(self) -> str:
        """What decides: the `value` of a readout layer, else `RunSettings.decision`."""
        return self.output.value or self.settings.decision

    @cached_property
    def firing(self) -> Network | None:
        """The network without its last layer where this never fires; None if nothing is left."""
        return self if self.output.fires else edit.without_readout(self)

    def index(self, name: str) -> int:
        """Number of the layer called `name`; -1 for the input.

        Raises
        ------
        NetworkError
            If there is none; the text lists the names.
        """
        return find_layer(self.names, name)

    def __getitem__(self, name: str) -> Layer:
        """The layer called `name`."""
        index = self.index(name)
        if index < 0:
            raise NetworkError("the input is not a layer of neurons: use Network.input")
        return self.layers[index]

    @property
    def is_recurrent(self) -> bool:
        """True if a layer's spikes can return to it other than through its own lateral inhibition."""
        return any(p.source >= p.target and not p.lateral for p in self.projections)

    @property
    def deliveries(self) -> list[Projection]:
        """Projections in the order in which simultaneous deliveries are applied: by source, biases last."""
        return sorted(self.projections, key=lambda p: (p.source == BIAS, p.source))

    def source_size(self, source: int) -> int:
        """Number of neurons of layer `source`; of the input for -1, 1 for the bias neuron."""
        if source == BIAS:
            return 1
        return self.input.neurons if source < 0 else self.layers[source].neurons

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the weights of every projection that has some: a layer's own, else (post, pre).

        Those of the biases are the last column of their layer's.
        """
        return projections.shapes_of_weights(self)

    def weight_axes(self) -> dict[str, tuple[str, ...]]:
        """What the axes of the weights of every projection are: ("post", "pre") from neuron to neuron."""
        return projections.axes_of_weights(self)

    @property
    def is_spatial(self) -> bool:
        """True if it has convolution or pooling layers."""
        return any(layer.shares_weights for layer in self.layers)

    @cached_property
    def lowered(self) -> Network:
        """The same network of dense layers alone, weights of the spatial ones written out, sparse."""
        return edit.lower(self)

    @property
    def numbered(self) -> Network:
        """The same network, shared and sparse weights being their own numbers, in order, from 1 on: its
        `afferent_synapses` tell which synapse has which weight.
        """
        return self._shared(weights=MappingProxyType(edit.number_weights(self)))

    @property
    def sparse_keys(self) -> tuple[str, ...]:
        """Keys of the layers and connections whose weights are sparse."""
        return tuple(key for key, weights in self.weights.items() if is_sparse(weights))

    def projection_weights(self, projection: Projection) -> np.ndarray:
        """Weights (post, pre) of a projection, dense; of lateral inhibition -w0 off the diagonal."""
        return projections.weights_of(self, projection)

    def senders(self, projection: Projection) -> int:
        """Number of what arrives apart: source neurons, or synapses where they have delays of their own."""
        return projections.senders(self, projection)

    def sender_weights(self, projection: Projection) -> np.ndarray:
        """Weight of each synapse of a projection whose synapses have delays of their own, by its branch."""
        return projections.weights_by_branch(self, projection)

    def afferent_weights(self, projection: Projection, neuron: int) -> np.ndarray:
        """Weights from all neurons of a projection's source to one of its target, float64 array (pre,)."""
        return projections.weights_to(self, projection, neuron)

    def afferent_synapses(self, projection: Projection, neurons: np.ndarray) -> AfferentSynapses | None:
        """Synapses of a projection onto some neurons; None if all pairs of neurons have one."""
        return projections.synapses_to(self, projection, neurons)

    def fan_out(self, projection: Projection, *, nonzero: bool = False) -> np.ndarray:
        """Synapses of each neuron of a projection's source, int64 (pre,): all, or those not of weight 0."""
        return projections.fan_out(self, projection, nonzero)

    # -- the same network otherwise ----------------------------------------------------------------

    def with_weights(self, weights: Mapping[str, Any]) -> Network:
        """The same network with other weights; of the same synapses where these have delays."""
        same = self._shared()
        same.weights = MappingProxyType(check_weights(weights, self.weight_shapes(), self.weight_axes()))
        for key in self.delays:
            check_same_synapses(key, self.weights[key], same.weights[key])
        return same

    def with_delays(self, delays: Mapping[str, Any]) -> Network:
        """The same network and weights with other delays of single synapses, by key of the weights.

        Parameters
        ----------
        delays : mapping of str to array (synapses,) or None
            ms, in the order of the weights' ``data``; None: one delay for all again. The others stay.

        Raises
        ------
        NetworkError
            Naming the projection and the synapse, for a delay that cannot be.
        """
        same = self._shared()
        same.layers, same.connections, found = edit.replace_delays(self, delays)
        same._set_delays(found)
        return same

    def with_constants(self, constants: Mapping[str, Mapping[str, Any]]) -> Network:
        """The same network and weights with other thresholds, time constants or delays, by the name of the
        layer or the key of the connection; ``"delays"`` are those of single synapses.

        Raises
        ------
        NetworkError
            Naming the layer and the field, for a value that cannot be.
        """
        changes, synaptic = edit.split_delays(constants)
        same = self._shared()
        same.layers, same.connections = edit.replace_fields(self, changes)
        same.projections = projections.list_projections(same)
        return same.with_delays(synaptic) if synaptic else same

    def with_classes(self, classes: Sequence[str] | None) -> Network:
        """The same network with other class names, or with none; NetworkError if they cannot be."""
        return self._shared(classes=check_classes(classes, self.output.neurons))

    def with_settings(self, settings: RunSettings) -> Network:
        """The same network, whose samples are run otherwise unless asked."""
        return self._shared(settings=settings)

    def _shared(self, **changes: Any) -> Network:
        """Another network of the same parts, which are read-only, but for these attributes."""
        same = object.__new__(type(self))
        same.__dict__.update(self.__dict__ | changes)
        for derived in ("lowered", "firing"):
            same.__dict__.pop(derived, None)
        return same

    def _set_delays(self, delays: Mapping[str, np.ndarray]) -> None:
        """Take checked delays of single synapses."""
        self.delays = MappingProxyType(dict(delays))
        self.projections = projections.list_projections(self)

    def replace(self, name: str, /, **changes: Any) -> Network:
        """The same network, and the same weights, with other parameters of a layer or connection.

        Parameters
        ----------
        name : str
            Name of the layer, ``"input"``, or key of a connection (``"hidden->hidden"``).
        **changes
            Its fields: ``network.replace("hidden", threshold=12, tau_m=32)``.

        Returns
        -------
        Network
            A new one; this one stays as it is.

        Raises
        ------
        NetworkError
            No such layer or field, a value that cannot be, or a change that needs weights of another shape.
        """
        return edit.replace_part(self, name, changes)

    def to_table(self) -> dict[str, Any]:
        """The description without weights, as plain values that TOML and JSON can hold."""
        return description.to_table(self)

    @classmethod
    def from_table(
        cls,
        table: Any,
        *,
        weights: Mapping[str, Any] | None = None,
        delays: Mapping[str, Any] | None = None,
        seed: int | None = None,
        where: str = "network",
    ) -> Network:
        """Build from the result of `to_table`, or the ``[network]`` table of an experiment file.

        Raises
        ------
        NetworkError
            Naming `where`, the layer and the field.
        """
        sensor, layers, options = description.read_table(table, where)
        return cls(sensor, *layers, **options, weights=weights, delays=delays, seed=seed)

    def save(self, path: str | os.PathLike[str], **attributes: Any) -> None:
        """Write description and weights to one HDF5 file; see `eventsnn.model.file.save_network`."""
        from eventsnn.model.file import save_network

        save_network(self, path, **attributes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Network:
        """Read a network written by `save`; see `eventsnn.model.file.load_network`."""
        from eventsnn.model.file import load_network

        return load_network(path)

    def to_nir(self, dialect: str = "portable", dt: float | None = None, *, strict: bool = False) -> Any:
        """As a NIR graph, for `nir.write` and for other simulators; needs the extra ``nir``.

        Parameters
        ----------
        dialect : {"portable", "snntorch", "norse", "rockpool", "spyx"}
            The program that will read the graph: NIR's own meaning, or that of one of these.
        dt : float, optional
            The step of that program, seconds; 1e-4 for snnTorch and 1e-3 for the others by default. The
            portable meaning has none.
        strict : bool
            Whether to refuse what cannot be written exactly.

        Returns
        -------
        nir.NIRGraph
            `from_nir` makes the same network of it, bit by bit.

        Raises
        ------
        NetworkError
            What cannot be written at all, by name; with `strict` also what is not exactly the same.
        MissingExtraError
            Without the package nir.

        Warns
        -----
        ConversionWarning
            Of all that is not exactly the same, in one list.
        """
        from eventsnn.model.nir import to_nir

        return to_nir(self, dialect, dt, strict)

    @classmethod
    def from_nir(
        cls,
        source: Any,
        dialect: str | None = None,
        *,
        unit: str | None = None,
        dt: float | None = None,
        strict: bool = False,
    ) -> Network:
        """The network of a NIR graph or file; needs the extra ``nir``.

        Parameters
        ----------
        source : nir.NIRGraph or path
        dialect : {"portable", "snntorch", "norse"}, optional
            What its numbers mean: NIR's equations, or what one of these programs writes. By default a graph
            of ours is the same network again, one with r = tau / 1e-4 s is snnTorch's, and any other is
            portable.
        unit : {"s", "ms"}, optional
            The unit of time; seconds by default if all time constants are below 1, else ms.
        dt : float, optional
            The step of the program that wrote it, seconds; 1e-4 for snnTorch and 1e-3 for Norse by default.
        strict : bool
            Whether to refuse what cannot be read exactly.

        Raises
        ------
        NetworkError
            Naming the file, the node, the edge or the parameter; with `strict` also what is not exactly the
            same.
        MissingExtraError
            Without the package nir.

        Warns
        -----
        ConversionWarning
            Of all that is not exactly the same, in one list.
        """
        from eventsnn.model.nir import from_nir

        return from_nir(source, dialect, unit, dt, strict)

    def __reduce__(self) -> tuple[Any, ...]:
        # The view on the weights cannot be pickled, and what is unpickled must be read-only again.
        return partial(Network, self.input, **edit.parts(self)), self.layers

    def __repr__(self) -> str:
        return description.to_text(self)

    def describe_delay(self, key: str, delay: float | Sequence[float]) -> str:
        """The delay of a layer or connection as text, ms; "0.5 to 3" where there are several."""
        return description.delay_text(self.delays.get(key, delay))

    def _repr_html_(self) -> str:
        return description.to_html(self)
