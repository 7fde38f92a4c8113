"""The engines and the choice among them; each engine says which networks it cannot run."""

from __future__ import annotations

from dataclasses import replace

from eventsnn._util.registry import Registry
from eventsnn.errors import SimulationError
from eventsnn.model import Network, RunSettings
from eventsnn.model.settings import DEFAULT_STEP_MS
from eventsnn.simulate.engines.engine import BrokenOff, Engine, Limits, Run, Settings, State, Train

__all__ = [
    "AUTOMATIC",
    "ENGINES",
    "BrokenOff",
    "Engine",
    "Limits",
    "Run",
    "Settings",
    "State",
    "Train",
    "can_run",
    "candidates",
    "choose",
    "preferred",
]

ENGINES: Registry[Engine] = Registry(
    "engine",
    "engine",
    {
        "queue": "eventsnn.simulate.engines.queue:ENGINE",
        "sweep": "eventsnn.simulate.engines.sweep:ENGINE",
        "gpu": "eventsnn.simulate.engines.gpu:ENGINE",
        "twin": "eventsnn.simulate.engines.twin:ENGINE",
        "clocked": "eventsnn.simulate.engines.clocked:ENGINE",
    },
    SimulationError,
    "eventsnn.engines",
    extra=("auto",),
)
"""Engines by name. The engine "auto" stands for one of them; see `candidates`."""

AUTOMATIC = ("sweep", "queue")
"""Engine "auto" is, in exact time, the first of these that can run the network."""


def candidates(network: Network, engine: str) -> list[Engine]:
    """The engines that `engine` may mean, the first that can run the network to be taken.

    "auto" means: as the network was trained (`Network.settings`), by default in exact time.

    Raises
    ------
    SimulationError
        An unknown engine.
    """
    automatic = isinstance(engine, str) and engine == "auto"  # an array is compared value by value
    names = preferred(network.settings) if automatic else (engine,)
    return [ENGINES.get(name) for name in names]


def preferred(settings: RunSettings) -> tuple[str, ...]:
    """The engines that "auto" may mean for a network that was trained so."""
    return AUTOMATIC if settings.engine == "exact" else (settings.engine,)


def choose(network: Network, engine: str, settings: Settings) -> tuple[Engine, Settings]:
    """The engine to run a network with, and the settings completed by its dtype and step.

    Parameters
    ----------
    network : Network
    engine : str
        A registered name, or "auto"; see `candidates`.
    settings : Settings

    Raises
    ------
    SimulationError
        An unknown engine, or one that cannot run the network so; a step for exact time.
    """
    *others, last = candidates(network, engine)
    if last.exact and settings.step_ms is not None:
        raise SimulationError(
            f"step_ms is for engine 'clocked', and engine {engine!r} runs this network in exact time; "
            "leave it out, or choose engine 'clocked'"
        )
    if not last.exact and settings.step_ms is None:
        settings = replace(settings, step_ms=network.settings.step_ms or DEFAULT_STEP_MS)
    for each in others:
        divided = settings.ranks.size == 1 or each.undivided(network, settings) is None
        if divided and each.refusal(network, settings) is None:
            return each, each.complete(network, settings)
    return last, last.settle(network, settings)


def can_run(network: Network, engine: str, settings: Settings) -> bool:
    """Whether `choose` finds an engine."""
    try:
        choose(network, engine, settings)
    except SimulationError:
        return False
    return True
