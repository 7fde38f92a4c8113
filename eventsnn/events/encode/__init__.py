"""Encoders: still values and signals to spikes, and back where that is possible. One method per file."""

from __future__ import annotations

from eventsnn.events.encode.bsa import BSA, gaussian_kernel
from eventsnn.events.encode.delta import Delta
from eventsnn.events.encode.latency import Latency
from eventsnn.events.encode.rate import Bernoulli, Poisson

__all__ = ["BSA", "Bernoulli", "Delta", "Latency", "Poisson", "gaussian_kernel"]
