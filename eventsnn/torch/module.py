"""A network as a PyTorch module."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np

from eventsnn._util.arguments import check_choice, check_kind
from eventsnn._util.threads import Pool, check_threads
from eventsnn.errors import SimulationError, TrainingError
from eventsnn.learn.constants import LearnedConstants
from eventsnn.learn.eventprop import EventProp
from eventsnn.learn.optimisers import Optimiser
from eventsnn.learn.rule import Rule, default_rule
from eventsnn.model import Network
from eventsnn.model.sparse import is_sparse, with_data
from eventsnn.model.steps import check_network
from eventsnn.simulate.engines import ENGINES, preferred
from eventsnn.simulate.engines.arguments import check_dtype
from eventsnn.simulate.engines.arrivals import EVERYONE
from eventsnn.simulate.engines.blocks import WIDTH
from eventsnn.torch.ahead import ReadAhead
from eventsnn.torch.batch import ReadyBatch, SpikeBatch, as_batch
from eventsnn.torch.library import torch
from eventsnn.torch.step import OUTPUTS, Model, Pass, Step
from eventsnn.torch.weights import Codec, SharedParameters
from eventsnn.train.dropout import Dropout
from eventsnn.train.frozen_prefix import split_frozen_prefix
from eventsnn.train.learners import check_learner, make_learner

# What exists is derived, and nothing is added: no pull on silent neurons, no bound of derivatives.
EXACT = EventProp(silent_label=0.0, silent_hidden=0.0, least_slope=0.0)


class SpikingNetwork(torch.nn.Module):
    """A network as a module: recordings in; spike counts, spike times or a readout out; gradients back.

    It runs on the CPU, with the engines and kernels of `eventsnn.train`. The whole network is one function to
    autograd. What comes back through it depends on what it gives out:

    - spike counts: HM2-BP, or another rule that sends errors. Counts are whole numbers and have no useful
      derivative; this is the rule's substitute for it, and no finite difference agrees with it;
    - spike times and readouts: their exact derivatives, as long as no spike appears or vanishes.

    Parameters
    ----------
    network : Network
        What `eventsnn.train` can train. The module has weights of its own, `to_network` gives them back.
    output : {"counts", "first", "times", "readout"}, optional
        What `forward` returns. By default the readout of a network that ends in one, the first spikes for a
        rule of exact derivatives, else counts.
    rule : Rule, optional
        How gradients go back. By default `HM2BP` for counts; for all else, the exact derivatives and nothing
        but these. With ``EventProp()`` silent neurons are pulled up, and small slopes are bounded, as in
        training; its loss is not used, and pulls are scaled for a loss that is a mean over the mini-batch.
        Of `HM2BP` losses, weight penalties and boosting are not used.
    dtype : torch.dtype
        ``torch.float32`` or ``torch.float64``: precision of weights, state and gradients. `double` and
        `float` change it.
    threads : int, optional
        As of `eventsnn.train`.

    Attributes
    ----------
    weights : mapping of str to Parameter
        By key of `Network.weights`. They *are* the memory that the kernels read, laid out as these want it:
        (blocks, sources, 32) with 32 neurons to a block, the last one padded. `weight` gives the usual form.
    constants : mapping of str to Parameter
        Delays, time constants and thresholds that layers or connections ``learn``, by ``layer/name``: of a
        delay the change in ms, of the others the natural logarithm of the factor (of a threshold: of its
        height above rest, where that is above 0), all 0 at first. float64.

    Raises
    ------
    TrainingError, SimulationError
        For a network or rule that cannot be trained so, or an argument that makes no sense.
    """

    def __init__(
        self,
        network: Network,
        *,
        output: str | None = None,
        rule: Rule | None = None,
        dtype: torch.dtype = torch.float32,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        check_network(network)
        if rule is not None:
            check_kind("rule", rule, Rule, TrainingError)
        if threads is not None:
            check_threads(threads)
        self.output, self.rule = _choose(network, output, rule)
        self._threads, self._dropout_seed = threads, 0
        self._pool: tuple[int, Pool] | None = None
        self._whole: tuple[tuple[int, ...], Model] | None = None
        self._build(network, dtype)
        self.weights = SharedParameters(self._model.blocks, _WeightCodec(self))
        arrays = self._model.variables
        self.constants = SharedParameters(arrays, Codec(arrays))

    def forward(self, data: Any, labels: torch.Tensor | None = None) -> torch.Tensor:
        """Run recordings through the network.

        Parameters
        ----------
        data : list of recordings, SpikeBatch, or tuple of padded tensors (times, neurons, lengths)
            See `as_batch`.
        labels : int64 tensor (recordings,), optional
            For what the rule does about silent output neurons, see `HM2BP` and `EventProp`. Left out, the
            neuron that the loss wants most to fire stands in the place of the label's, which is the same
            where it wants no other to fire more, or earlier.

        Returns
        -------
        tensor, of the dtype of the weights
            - "counts": output spikes, (recordings, outputs);
            - "first": time of the first spike, ms, (recordings, outputs); of a silent neuron, the end of the
              recording and the rule's ``silent_after``, 10 ms by default, later, which is a constant;
            - "times": all spike times, ms, (recordings, outputs, most spikes of a neuron), infinite where
              there is no spike;
            - "readout": what the readout layer gives, (recordings, outputs).

        Raises
        ------
        SimulationError
            For input that does not fit, or a network that cannot run.
        """
        self._rejoin()
        model = self._present()
        if isinstance(data, ReadyBatch) and data.is_ready(model.packed):
            times, samples = data.times, data.prepared
        else:
            batch = as_batch(data, self._network)
            times, samples = batch.times, batch.arrivals(self._network.settings.duration_ms)
        kept = EVERYONE
        if self._dropout and self.training:
            draw = int(torch.randint(2**31, ()))
            kept = self._dropout.draw(draw, np.arange(len(samples)))
        numbers = None if labels is None else _check_labels(labels, len(samples), self._network)
        step = Step(model, self.rule, self.output, samples, kept, numbers, self._threads_now())
        if times.requires_grad and self._prefix is not None:
            raise SimulationError("gradients do not go back through a reservoir, to the times of its input")
        found: torch.Tensor = Pass.apply(step, times, *self.weights.present, *self.constants.present)
        return found

    def read_ahead(self, loader: Iterable[Any]) -> ReadAhead[Any]:
        """The mini-batches of a loader, the next one read while the present one is used.

        As `eventsnn.train` does: on a thread of its own, with what kernels need to know of the spikes before
        it is their turn. The results have the same bits.

        Parameters
        ----------
        loader : iterable
            For instance a DataLoader with `collate`. Its items are `SpikeBatch`, or tuples or lists that
            begin with one; other items are read ahead and nothing more.

        Returns
        -------
        iterable
            Of the same items in the same order; it can be gone through again, as the loader can.
        """
        return ReadAhead(loader, self._ready)

    def weight(self, key: str) -> torch.Tensor:
        """The weights of a layer or connection as (post, pre), or (channels, inputs of a position).

        A copy that is differentiable, for penalties and pictures. Sparse weights have a column for each of
        the most synapses that a neuron has.
        """
        parameter = self.weights[key]
        n = self._sizes()[key]
        return parameter.transpose(1, 2).reshape(-1, parameter.shape[1])[:n]

    def to_network(self) -> Network:
        """The network with the present weights, delays, time constants and thresholds: a copy."""
        self._rejoin()
        self._settle(self._model)
        constants = self._model.constants
        weights = self._dropout.whole(self._model.packed.weights())
        network = self._network.with_weights({**self._network.weights, **weights})
        return network.with_constants(constants.values) if constants else network

    @property
    def dtype(self) -> torch.dtype:
        """Precision of weights, state and gradients."""
        return torch.float32 if self._model.packed.real is np.float32 else torch.float64

    def extra_repr(self) -> str:
        """What is shown between the brackets."""
        return f"{self._network!r}, output={self.output!r}, rule={type(self.rule).__name__}, {self.dtype}"

    # -- what PyTorch asks of a module
    # -------------------------------------------------------------------------

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """What `to`, `double`, `cuda` and others do to every tensor; here, to the whole module or not."""
        probe = torch.zeros(1, dtype=self.dtype)
        try:
            found = fn(probe)
        except (AssertionError, RuntimeError) as error:  # this PyTorch has no such device
            raise SimulationError(f"{_CPU_ONLY} ({str(error).splitlines()[0]})") from error
        if found.device.type != "cpu":
            raise SimulationError(f"{_CPU_ONLY}: it cannot be moved to {found.device}")
        if found.is_shared():
            raise SimulationError(
                "a SpikingNetwork cannot be shared among processes: its weights are the memory of kernels. "
                "Give each process a copy, and exchange state_dict()"
            )
        if found.dtype != self.dtype:
            self._convert(found.dtype)
        return self

    def _convert(self, dtype: torch.dtype) -> None:
        self._build(self.to_network(), dtype, self._model.constants)
        self.weights.bind(self._model.blocks)

    def __getstate__(self) -> dict[str, Any]:
        # Kernels' arrays and threads are made anew.
        self._rejoin()
        left = {"_model": None, "_pool": None, "_whole": None, "_prefix": None, "_dropout": None}
        return {**self.__dict__, **left, "_real": self.dtype}

    def __setstate__(self, state: dict[str, Any]) -> None:
        dtype = state.pop("_real")
        super().__setstate__(state)
        self._build(self._network, dtype)
        self.weights.bind(self._model.blocks)
        arrays = self._model.variables
        self.constants.codec = Codec(arrays)
        self.constants.bind(arrays)

    # -- models
    # -------------------------------------------------------------------------------------------------

    def _build(self, network: Network, dtype: torch.dtype, constants: LearnedConstants | None = None) -> None:
        """Make the kernels' form of a network; `constants` are those that it learns already."""
        name = str(dtype).removeprefix("torch.")
        real, settings = check_dtype(name), network.settings
        reason = ENGINES.get(preferred(settings)[0]).refuse_dtype(name)
        if reason is not None:
            raise SimulationError(f"{reason}: {dtype} cannot be had")
        self._prefix, chain = split_frozen_prefix(network, settings.step_ms)
        check_learner(chain, self.rule, settings.step_ms)
        self._network, self._real = network, real
        self._dropout = Dropout(chain, self._dropout_seed)
        if constants is None:
            constants = LearnedConstants([*chain.layers, *chain.connections], Optimiser(), chain.delays)
        self._chain, self._model = chain, self._make(self._dropout.thin(chain), constants)

    def _make(self, network: Network, constants: LearnedConstants) -> Model:
        step = self._network.settings.step_ms
        packed, learner = make_learner(network, self.rule, self._real, step, self._prefix, constants)
        return Model(packed, learner, constants)

    def _present(self) -> Model:
        """The model with the present parameters."""
        if self.weights.replaced or self.constants.replaced:
            return self._stand_in()
        self._settle(self._model)
        if self._dropout and not self.training:
            return self._undropped()
        return self._model

    def _ready(self, item: Any) -> Any:
        """An item of a loader with its spikes checked, and prepared for the kernels."""
        if type(item) in (tuple, list) and item:
            return type(item)([self._ready(item[0]), *item[1:]]) if isinstance(item[0], SpikeBatch) else item
        if not isinstance(item, SpikeBatch):
            return item
        batch, model = as_batch(item, self._network), self._model
        arrivals = batch.arrivals(self._network.settings.duration_ms)
        # Dropout makes other samples of them; one thread gains nothing.
        if not self._dropout and check_threads(self._threads) > 1:
            arrivals = model.learner.prepare(arrivals)
        return ReadyBatch.make(batch, model.packed, arrivals)

    def _rejoin(self) -> None:
        if self.weights.rejoin() | self.constants.rejoin():
            self._whole = None

    def _settle(self, model: Model) -> None:
        """Make the kernels see what an optimiser did."""
        for key, size in self._sizes().items():
            if size % WIDTH:  # no neuron stands behind these
                model.blocks[key][-1, :, size % WIDTH :] = 0.0
        for one in model.learned:
            one.clip()
        if model.constants:
            model.learner.change(model.constants.values)

    def _stand_in(self) -> Model:
        """A model of its own for the tensors that stand in for the parameters (``functional_call``)."""
        chain = self._chain
        constants = LearnedConstants([*chain.layers, *chain.connections], Optimiser(), chain.delays)
        model = self._make(chain, constants)
        arrays = [*model.blocks.values(), *model.variables.values()]
        given = [*self.weights.present, *self.constants.present]
        for array, tensor in zip(arrays, given, strict=True):
            array[...] = tensor.detach().numpy()
        self._settle(model)
        return model

    def _undropped(self) -> Model:
        """Where training drops neurons: the whole network."""
        versions = tuple(each._version for each in (*self.weights.present, *self.constants.present))
        if self._whole is None or self._whole[0] != versions:
            whole = self._dropout.whole(self._model.packed.weights())
            network = self._model.packed.network.with_weights(whole)
            self._whole = versions, self._make(network, self._model.constants)
        return self._whole[1]

    def _sizes(self) -> dict[str, int]:
        """Number of neurons, or channels, that the weights of each key lead to."""
        layers = {str(layer.name): layer.channels for layer in self._chain.layers}
        shapes = self._chain.weight_shapes()
        return {key: layers.get(key, shapes[key][0]) for key in self._model.blocks}

    def _threads_now(self) -> Pool:
        """Threads of this process: those of one that was forked are gone."""
        if self._pool is None or self._pool[0] != os.getpid():
            self._pool = os.getpid(), Pool(self._threads)
        return self._pool[1]


_CPU_ONLY = "a SpikingNetwork runs on the CPU only; leave it there, and move what comes out of it"


class _WeightCodec(Codec):
    """Weights as `Network.weights` has them; of sparse ones the synapses."""

    def __init__(self, module: SpikingNetwork) -> None:
        # Not as an attribute of a module, which would make the two children of each other.
        self._module = module

    def read(self) -> dict[str, np.ndarray]:
        module = self._module
        found = module._dropout.whole(module._model.packed.weights())
        return {key: np.asarray(each.data if is_sparse(each) else each) for key, each in found.items()}

    def write(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        module, real = self._module, self._module._real
        known: Any = module._chain.weights
        weights = {
            key: with_data(known[key], each.astype(real)) if is_sparse(known[key]) else each
            for key, each in values.items()
        }
        chain = module._dropout.thin(module._chain.with_weights(weights))
        return module._make(chain, module._model.constants).blocks


def _check_labels(labels: torch.Tensor, n: int, network: Network) -> np.ndarray:
    """Labels as an array; SimulationError unless there is an output neuron for each of `n` recordings."""
    outputs = network.output.neurons
    if labels.shape != (n,) or labels.dtype != torch.int64:
        raise SimulationError(
            f"labels must be int64 of shape ({n},): got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    numbers: np.ndarray = labels.numpy()
    if n and not 0 <= numbers.min() <= numbers.max() < outputs:
        raise SimulationError(f"labels must be 0 to {outputs - 1}, numbers of output neurons: got {numbers}")
    return numbers


def _choose(network: Network, output: str | None, rule: Rule | None) -> tuple[str, Rule]:
    """What the module gives out, and by which rule gradients go back; TrainingError for what cannot be."""
    if output is None:
        sends = "errors" if rule is None else rule.sends
        output = "readout" if not network.output.fires else "counts" if sends == "errors" else "first"
    check_choice("output", output, OUTPUTS, TrainingError)
    if (output == "readout") == network.output.fires:
        kind = "fires" if network.output.fires else "is a readout, which never fires"
        raise TrainingError(
            f"output {output!r} cannot be had: layer {network.output.name!r} {kind}; leave output out"
        )
    if rule is None:
        rule = default_rule() if output == "counts" else EXACT
    wanted = "errors" if output == "counts" else "derivatives"
    if rule.sends != wanted:
        kinds = {
            "errors": "errors of counts, such as HM2BP",
            "derivatives": "exact derivatives, as EventProp",
        }
        raise TrainingError(f"output {output!r} needs a rule of {kinds[wanted]}: got {rule.name!r}")
    if rule.penalty(np.ones((1, 1))).any():
        raise TrainingError(
            f"rule {rule.name!r}: penalties of weights belong to PyTorch's optimiser or loss here; leave "
            "penalty_lambda and weight_decay out"
        )
    return output, rule
