"""What a training run was begun with, as its checkpoint and its model keep it: only the same one resumes."""

from __future__ import annotations

import json
import warnings
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eventsnn.data.augment import Augmentation
from eventsnn.data.distort import Distortion
from eventsnn.data.source import CodedSource, LabelledSource, describe_reading
from eventsnn.errors import ResumeWarning, TrainingError
from eventsnn.learn.optimisers import Optimiser
from eventsnn.learn.rule import Rule
from eventsnn.model import Network
from eventsnn.model.settings import DEFAULT_STEP_MS
from eventsnn.model.sparse import is_sparse

# Raised whenever a change gives runs other bits (solver, draws, order of sums): what was begun before cannot
# be continued to the same result.
BITS = 5
OTHER_BITS = (
    ": another build of eventsnn began it, whose results differ in their last digits; "
    "continue with that build, or train again in another folder"
)


def describe_run(
    network: Network,
    rule: Rule,
    optimiser: Optimiser,
    augmentation: Augmentation | None,
    distortion: Distortion | None,
    *,
    real: type[np.floating],
    batch_size: int,
    seed: int,
    training: dict[str, Any],
    validation: dict[str, Any] | None,
    device: str = "cpu",
) -> dict[str, Any]:
    """All that decides the result of a run, as JSON gives it back.

    `training` and `validation` are what `describe_recordings` says of the two sets; see
    `eventsnn.train.trainer.train` for the other arguments.
    """
    from eventsnn import __version__

    weights = {key: _checksum(array) for key, array in network.weights.items()}
    config = {
        "network": network.to_table(),
        "initial_weights": weights,
        "rule": rule.to_table(),
        "optimiser": optimiser.to_table(),
        "augmentation": augmentation.to_table() if augmentation else None,
        "dtype": np.dtype(real).name,
        "batch_size": batch_size,
        "seed": seed,
        "training_set": training,
        "validation_set": validation,
        "eventsnn": __version__,
        "bits": BITS,
    }
    if network.delays:
        config["initial_delays"] = {key: _checksum(each) for key, each in network.delays.items()}
    if device != "cpu":
        config["device"] = device
    if distortion is not None:
        config["distortion"] = asdict(distortion)
    settings = network.settings.to_table()
    if settings.get("step_ms") == DEFAULT_STEP_MS:  # as runs said it before there was a choice
        del settings["step_ms"]
    config.update(settings)
    # As a file gives it back: tuples become lists, so that comparing finds only real differences.
    return json.loads(json.dumps(config))


def describe_recordings(source: LabelledSource, indices: np.ndarray) -> dict[str, Any]:
    """How many recordings, which files, and how they are read."""
    # Files are known by label and name: a data set may be moved between two parts of a run.
    names = "\n".join(
        f"{label}/{Path(path).name}" for path, label in zip(source.paths, source.labels.tolist(), strict=True)
    )
    checksum = zlib.crc32(
        indices.astype(np.int64).tobytes(), zlib.crc32(names.encode("utf-8", "surrogateescape"))
    )
    facts = source.facts() if isinstance(source, CodedSource) else {}
    reading = describe_reading(source)
    if reading:
        facts["reading"] = reading
    return {"recordings": len(indices), "names_crc32": checksum, **facts}


_DERIVED = ("initial_weights", "initial_delays", "training_set", "validation_set")
"""What follows from other settings."""


def check_resumable(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to resume a run from another's checkpoint.

    Parameters
    ----------
    path : Path
        The checkpoint, for messages.
    before, now : dict
        What `describe_run` said when the run began, and says now; devices may differ, see `join_devices`.
        What older versions did not write down is left out of the one, or filled in in the other.

    Raises
    ------
    TrainingError
        They differ: it names the first field that does.
    """
    before, now = ({k: v for k, v in each.items() if k != "device"} for each in (before, now))
    if "classes" not in before.get("network", {}):  # begun before networks kept names
        now["network"].pop("classes", None)
    for name in ("delay_rate", "constant_rate", "warmup"):  # begun before there were these
        before.get("optimiser", {}).setdefault(name, getattr(Optimiser, name))
    if before != now:
        # A setting that was changed is named before what follows from it.
        before, now = (
            dict(sorted(each.items(), key=lambda item: item[0] in _DERIVED)) for each in (before, now)
        )
        field, was, wanted = _first_difference("", before, now)
        advice = OTHER_BITS if field == "bits" else ""
        if field.startswith("initial_"):
            advice = ": it began from other weights"
        if field.endswith("names_crc32"):
            advice = ": there are other files in it, or the same ones in other classes"
        raise TrainingError(
            f"{path}: cannot resume, {field} was {_short(was)} and is now {_short(wanted)}{advice}"
        )


def join_devices(path: Path, before: dict[str, Any], now: dict[str, Any]) -> str:
    """The devices on which a run has been trained, in order, when it goes on as `now` says.

    Weights and moments go from one device to another, last digits do not: that is a ResumeWarning.
    """
    devices, device = before.get("device", "cpu"), now.get("device", "cpu")
    if devices.split(", ")[-1] == device:
        return str(devices)
    warnings.warn(
        f"{path}: the epochs so far were trained on device {devices}, and this run uses {device}: "
        "its last digits will differ from those of an uninterrupted run",
        ResumeWarning,
        stacklevel=2,
    )
    return f"{devices}, {device}"


def _checksum(weights: Any) -> int:
    """CRC-32 of weights and, of sparse ones, of where they are."""
    parts = (weights.data, weights.indices, weights.indptr) if is_sparse(weights) else (weights,)
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
    return checksum


def _first_difference(field: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """(field, value before, value now) of the first leaf in which two configurations differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        dot = "." if field else ""
        # A name says which fields there are to be: its difference explains theirs.
        keys = sorted(now | before, key=lambda key: key != "name")
        pairs = {f"{field}{dot}{key}": (before.get(key), now.get(key)) for key in keys}
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = {f"{field}[{n}]": pair for n, pair in enumerate(zip(before, now, strict=True))}
    else:
        return field, before, now
    name, (old, new) = next((name, pair) for name, pair in pairs.items() if pair[0] != pair[1])
    return _first_difference(name, old, new)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."
