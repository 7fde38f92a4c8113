"""Changes of the bytes of a file, and of the contents of an HDF5 file, as damage or malice makes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np


def mutate_bytes(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """What was changed, and the changed file."""
    kind = rng.choice(("bit", "bit", "bit", "byte", "cut", "zeros", "noise", "swap", "drop", "insert"))
    at, out = rng.randrange(len(data)), bytearray(data)
    length = min(rng.choice((1, 2, 4, 8, 64, 512)), len(data) - at)
    if kind == "bit":
        out[at] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        out[at] = rng.choice((0, 1, 127, 128, 255))
    elif kind == "cut":
        del out[at:]
    elif kind == "zeros":
        out[at : at + length] = bytes(length)
    elif kind == "noise":
        out[at : at + length] = rng.randbytes(length)
    elif kind == "swap":
        other = rng.randrange(len(data) - length + 1)
        out[at : at + length], out[other : other + length] = (
            data[other : other + length],
            data[at : at + length],
        )
    elif kind == "drop":
        del out[at : at + length]
    else:
        out[at:at] = rng.randbytes(length)
    return f"{kind} at {at}, {length}", bytes(out)


def mutate_array(array: np.ndarray, rng: random.Random) -> tuple[str, np.ndarray]:
    """An array that is not what it was: another shape, dtype, or values."""
    flat = np.atleast_1d(array).reshape(-1)
    extreme = (
        np.inf if array.dtype.kind == "f" else np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    )
    changes: dict[str, Callable[[], np.ndarray]] = {
        "empty": lambda: flat[:0],
        "shorter": lambda: np.atleast_1d(array)[:-1],
        "one value": lambda: flat[:1],
        "twice": lambda: np.concatenate([np.atleast_1d(array)] * 2),
        "two dimensions": lambda: array.reshape(1, *array.shape),
        "flat": lambda: array.reshape(-1),
        "scalar": lambda: np.array(1, array.dtype),
        "float32": lambda: array.astype("f4"),
        "float64": lambda: array.astype("f8"),
        "int64": lambda: np.nan_to_num(array).astype("i8"),
        "int8": lambda: np.nan_to_num(array).astype("i1"),
        "text": lambda: array.astype("S8"),
        "complex": lambda: array.astype(complex),
        "big-endian": lambda: array.astype(array.dtype.newbyteorder(">")),
        "nan": lambda: np.full_like(array, np.nan if array.dtype.kind == "f" else -1),
        "extreme": lambda: np.full_like(array, extreme),
        "negative": lambda: (-array.astype("f8") - 5).astype(array.dtype),
        "zeros": lambda: np.zeros_like(array),
        "reversed": lambda: np.atleast_1d(array)[::-1].copy(),
        "one extreme": lambda: _with_value(array, rng, extreme),
        "one zero": lambda: _with_value(array, rng, 0),
        "one less": lambda: _with_value(array, rng, None),
    }
    while True:
        name = rng.choice(list(changes))
        try:
            with np.errstate(all="ignore"):
                return name, changes[name]()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue


def _with_value(array: np.ndarray, rng: random.Random, value: float | None) -> np.ndarray:
    out = array.copy()
    at = rng.randrange(out.size)
    out.reshape(-1)[at] = out.reshape(-1)[at] - 1 if value is None else value
    return out


def mutate_hdf5(path: Path, rng: random.Random) -> str:
    """Change a file through h5py, as somebody would who means harm or well; says what was changed."""
    with h5py.File(path, "r+") as file:
        items: list[str] = []
        file.visit(items.append)
        data = [name for name in items if isinstance(file[name], h5py.Dataset)]
        attributes = [(name, key) for name in ("/", *items) for key in file[name].attrs]
        kind = rng.choice(("value", "value", "attribute", "attribute", "delete", "swap", "extra", "link"))
        name = rng.choice(data)
        if kind == "value":
            what = _replace_dataset(file, name, rng)
        elif kind == "attribute":
            name, key = rng.choice(attributes)
            what = _replace_attribute(file[name].attrs, key, rng)
        elif kind == "delete":
            name, what = rng.choice(items), "deleted"
            del file[name]
        elif kind == "swap":
            what = rng.choice(data)
            if what != name:
                file.move(name, "aside")
                file.move(what, name)
                file.move("aside", what)
        elif kind == "extra":
            what = "doubled"
            file.copy(name, f"{name}_")
        else:
            what = rng.choice(("soft", "external", "hard", "virtual", "stored elsewhere"))
            _point_elsewhere(file, name, what, rng.choice(data))
        return f"{kind} {name}: {what}"


def _replace_dataset(file: h5py.File, name: str, rng: random.Random) -> str:
    old = file[name]
    value = old[()]
    if isinstance(value, bytes):
        what, new = _mutate_text(value.decode(), rng)
    else:
        what, new = mutate_array(np.asarray(value), rng)
    attributes = dict(old.attrs)
    del file[name]
    file[name] = new
    file[name].attrs.update(attributes)
    return what


def _replace_attribute(attributes: h5py.AttributeManager, key: str, rng: random.Random) -> str:
    value = attributes[key]
    if rng.random() < 0.2:
        del attributes[key]
        return f"@{key} deleted"
    if isinstance(value, str):
        what, attributes[key] = _mutate_text(value, rng)
    else:
        what, attributes[key] = mutate_array(np.asarray(value), rng)
    return f"@{key} {what}"


def _mutate_text(text: str, rng: random.Random) -> tuple[str, object]:
    at = rng.randrange(len(text) + 1)
    changes = (
        ("cut", text[:at]),
        ("a letter", f"{text[:at]}{rng.choice('09.-e,:[]{} xn')}{text[at + 1 :]}"),
        ("no text", 5),
        ("null", "null"),
        ("list", "[1]"),
        ("empty", ""),
        ("bytes", np.bytes_(text.encode()[:8])),
        ("digits", text.replace("1", "9")),
    )
    return rng.choice(changes)


def _point_elsewhere(file: h5py.File, name: str, what: str, other: str) -> None:
    shape, dtype = file[name].shape, file[name].dtype
    near = Path(file.filename).with_name("near.h5")
    del file[name]
    if what == "soft":
        file[name] = h5py.SoftLink(f"/{other}")
    elif what == "external":
        file[name] = h5py.ExternalLink(near.name, f"/{other}")
    elif what == "hard":
        if other in file:
            file[name] = file[other]
    elif what == "virtual":
        if shape and not dtype.hasobject:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(near.name, name, shape, dtype)
            file.create_virtual_dataset(name, layout)
    elif not dtype.hasobject:
        size = max(1, int(np.prod(shape)) * dtype.itemsize)
        file.create_dataset(name, shape, dtype, external=[(str(near), 0, size)])
