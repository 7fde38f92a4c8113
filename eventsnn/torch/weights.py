"""Parameters that share the memory of packed weights, or of constants that are learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from eventsnn.errors import NetworkError
from eventsnn.torch.library import torch


class SharedParameters(torch.nn.Module):
    """Parameters over arrays of ours, by key: what an optimiser writes, the kernels read.

    The names of parameters are the keys, ``_`` for each dot. `state_dict` has what `Codec` makes of the
    arrays, so that its shapes do not depend on how kernels lay out weights.

    Parameters
    ----------
    arrays : mapping of str to array
    codec : Codec
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], codec: Codec) -> None:
        super().__init__()
        self.codec, self._names = codec, {key: key.replace(".", "_") for key in arrays}
        if len(set(self._names.values())) < len(self._names):
            raise NetworkError(f"two of the names {', '.join(arrays)} are the same without their dots")
        # Not by `register_parameter`, which refuses names of methods: layers may have them.
        for key, name in self._names.items():
            self._parameters[name] = torch.nn.Parameter(torch.from_numpy(arrays[key]))
        self.bind(arrays)

    def __getitem__(self, key: str) -> torch.nn.Parameter:
        return self._parameters[self._names[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @property
    def present(self) -> list[torch.Tensor]:
        """The parameters; or, within ``torch.func.functional_call``, the tensors in their places."""
        return [self._parameters[name] for name in self._names.values()]

    @property
    def replaced(self) -> bool:
        """Whether others stand in the places of the parameters."""
        return any(self._parameters[name] is not self._own[name] for name in self._own)

    def bind(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take other arrays, and give them the values of the parameters."""
        self._arrays = dict(arrays)
        self._own = {name: self._parameters[name] for name in self._names.values()}
        self.rejoin()

    def rejoin(self) -> bool:
        """Where somebody has given a parameter other memory (``parameter.data = ...``), take its values.

        Returns whether it was so.
        """
        joined = True
        for key, name in self._names.items():
            parameter, array = self._own[name], self._arrays[key]
            if parameter.data_ptr() != array.ctypes.data or parameter.dtype != torch.from_numpy(array).dtype:
                joined = False
                if parameter.shape != array.shape:
                    raise NetworkError(
                        f"the parameter {key!r} must have shape {array.shape}, got {tuple(parameter.shape)}"
                    )
                array[...] = parameter.detach().numpy()
                gradient = parameter.grad
                parameter.grad = None  # it could not stay that of a parameter of another type
                parameter.data = torch.from_numpy(array)
                parameter.grad = None if gradient is None else gradient.to(parameter.dtype)
        return not joined

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        self.rejoin()
        for key, values in self.codec.read().items():
            destination[prefix + self._names[key]] = torch.from_numpy(np.array(values))

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        self.rejoin()
        known, changed = self.codec.read(), {}
        places = {prefix + self._names[key]: key for key in known}
        for name, key in places.items():
            if name not in state_dict:
                missing_keys.append(name)
            elif tuple(state_dict[name].shape) != np.shape(known[key]):
                error_msgs.append(
                    f"{name} has shape {tuple(state_dict[name].shape)}, here it is {np.shape(known[key])}"
                )
            else:
                changed[key] = state_dict[name].detach().cpu().numpy()
        unexpected_keys += [name for name in state_dict if name.startswith(prefix) and name not in places]
        with torch.no_grad():  # as PyTorch, so that it knows of the change
            for key, array in self.codec.write({**known, **changed}).items():
                self._own[self._names[key]].copy_(torch.from_numpy(array))


class Codec:
    """Between arrays as kernels hold them and as a `state_dict` has them; by default they are the same."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = dict(arrays)

    def read(self) -> dict[str, np.ndarray]:
        """The present values, by key."""
        return {key: array.copy() for key, array in self._arrays.items()}

    def write(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Such values as kernels hold them."""
        return {key: np.asarray(values[key], array.dtype) for key, array in self._arrays.items()}
