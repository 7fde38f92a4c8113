"""Which output neuron a class of a data set belongs to: by the names that the network keeps."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from eventsnn._util.names import are_numbers, list_names, match_classes
from eventsnn.data.source import LabelledSource
from eventsnn.data.views import view
from eventsnn.errors import EventFileWarning, NetworkError, TrainingError
from eventsnn.model import Network


def name_outputs(network: Network, data: LabelledSource) -> Network:
    """The network with the names of a training set's classes, unless it has some already.

    Class k of the set is output neuron k; where the set knows numbers only, all output neurons are called by
    theirs. Numbers before the first class that has recordings are left out if
    there is no output neuron for them: folders ``1`` to ``10`` fit ten neurons.

    Raises
    ------
    TrainingError
        Two classes of the set have the same name.
    """
    if network.classes is not None:
        return network
    names = tuple(data.classes)
    if getattr(data, "numbered", False):
        names = tuple(str(number) for number in range(max(len(names), network.output.neurons)))
    elif are_numbers(names):
        names = names[_unused_numbers(network, data) :]
    last = int(np.max(data.labels)) + 1
    if len(names) > network.output.neurons >= last:  # those that follow have no recordings
        names = names[:last]
    if not names or len(names) > network.output.neurons:
        return network  # `check_source` says so
    try:
        return network.with_classes(names)
    except NetworkError as error:
        raise TrainingError(f"the training set: {error}") from None


def _unused_numbers(network: Network, data: LabelledSource) -> int:
    """How many class numbers at the beginning are none, where all together are too many for the outputs."""
    first, last = int(np.min(data.labels)), int(np.max(data.labels))
    return first if last >= network.output.neurons > last - first else 0


def match_source(network: Network, data: Any, what: str) -> Any:
    """A data set whose class numbers are the network's output neurons: `data` itself if they are already.

    Classes are matched by name; numbers are the same with zeros before them, and names may differ in case
    where that leaves no doubt. Of a set that knows numbers only, number k is output neuron k, unless the
    names of the network are numbers themselves. For a network without names all sets are taken that way, with
    a warning if they do have names.

    Parameters
    ----------
    network : Network
    data : LabelledSource
    what : str
        What to call the data set in messages.

    Raises
    ------
    TrainingError
        A class that has recordings is not among the network's, or two of them are the same one.
    """
    names = tuple(data.classes)
    if network.classes is None:
        if not are_numbers(names):
            warnings.warn(
                f"{what}: the network holds no class names; its classes {list_names(names)} are taken for "
                f"output neurons in this order. network.with_classes(...) gives it names",
                EventFileWarning,
                stacklevel=3,
            )
        return data
    labels = np.asarray(data.labels)
    known = network.classes
    # A set that has no names speaks of output neurons, unless the network's names are other numbers.
    by_number = getattr(data, "numbered", False) and (
        are_numbers(known) or not all(name.isdecimal() for name in known)
    )
    used = np.unique(labels).tolist() if len(labels) else []
    if by_number and used and used[-1] >= network.output.neurons:
        return data  # `check_source` says so
    places: list[int | None] = [*range(len(names))] if by_number else match_classes(names, known)
    matched: dict[int, str] = {}
    unknown = []
    for number in used:
        place = places[number]
        if place is None or place >= len(known):
            unknown.append(names[number])
        elif place in matched:
            raise TrainingError(
                f"{what}: classes {matched[place]!r} and {names[number]!r} are both the network's class "
                f"{known[place]!r}; give them different names"
            )
        else:
            matched[place] = names[number]
    if unknown:
        raise TrainingError(_describe_unknown(what, unknown, known))
    if all(places[number] == number for number in used):
        return data
    table = np.array([-1 if place is None else place for place in places], np.int64)
    return view(data, np.arange(len(labels)), table[labels], known)


def _describe_unknown(what: str, unknown: list[str], known: tuple[str, ...]) -> str:
    word = "class" if len(unknown) == 1 else "classes"
    return (
        f"{what}: {word} {list_names(unknown)} not among the network's: {list_names(known)}; rename or leave "
        "out the folders, or give the network other names (classes in the experiment's [network], "
        "network.with_classes)"
    )
