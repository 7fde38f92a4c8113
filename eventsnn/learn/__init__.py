"""Learning rules, heads and optimisers, each found by name."""

from __future__ import annotations

from eventsnn.learn.eventprop import EventProp
from eventsnn.learn.heads import HEADS
from eventsnn.learn.hm2bp import HM2BP
from eventsnn.learn.optimisers import OPTIMISERS
from eventsnn.learn.rule import RULES, Rule

__all__ = ["HEADS", "HM2BP", "OPTIMISERS", "RULES", "EventProp", "Rule"]
