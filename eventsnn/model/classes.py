"""Names of the classes of the output neurons."""

from __future__ import annotations

from collections.abc import Sequence

from eventsnn._util.names import class_key
from eventsnn.errors import NetworkError


def check_classes(classes: Sequence[str] | None, outputs: int) -> tuple[str, ...] | None:
    """Names of a network's output neurons, checked; None where it has none.

    Parameters
    ----------
    classes : sequence of str or int, optional
        Name of output neuron 0, 1, ...; there may be fewer names than neurons.
    outputs : int
        Number of output neurons.

    Raises
    ------
    NetworkError
        More names than neurons, a name that is empty or not a text, or two that are the same.
    """
    if classes is None:
        return None
    if hasattr(classes, "tolist"):  # a NumPy array
        classes = classes.tolist()
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise NetworkError(f"classes must be a list of names, got {classes!r}")
    if not classes:
        raise NetworkError("classes: the list is empty; leave it out for a network without class names")
    if len(classes) > outputs:
        raise NetworkError(f"classes: {len(classes)} names for {outputs} output neurons")
    names: dict[str, str] = {}
    for name in classes:
        whole = isinstance(name, int) and not isinstance(name, bool)
        if not (isinstance(name, str) or whole) or not str(name).strip():
            raise NetworkError(f"classes: a name must be a text that is not empty, got {name!r}")
        text, key = str(name), class_key(str(name))
        if key in names:
            raise NetworkError(f"classes: {text!r} and {names[key]!r} are the same name")
        names[key] = text
    return tuple(names.values())
