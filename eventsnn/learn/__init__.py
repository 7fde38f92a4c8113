"""The learning rule: macro level (spike counts), micro level (spike trains), and a brute-force twin."""

from __future__ import annotations

from eventsnn.learn.hm2bp import HM2BP

__all__ = ["HM2BP"]
