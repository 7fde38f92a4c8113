"""Ctrl-C that waits for a file to be written."""

import signal
import threading
from collections.abc import Iterator

import pytest

from eventsnn._util.interrupts import hold_interrupts


@pytest.fixture(autouse=True)
def python_handler() -> Iterator[None]:
    """Whatever started the tests may have set SIGINT to be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c(times: int, done: list[str], *, nested: bool = False) -> None:
    """Press Ctrl-C within a held block, and go on there."""
    with hold_interrupts():
        if nested:
            press_ctrl_c(times, done)
        else:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        done.append("rest of the block")


def test_interrupt_waits_for_the_end_of_the_block() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c(1, done)
    assert done == ["rest of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_interrupt_does_not_wait() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c(2, done)
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_blocks_within_blocks() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c(1, done, nested=True)
    assert done == ["rest of the block", "rest of the block"]


def test_error_of_the_block_comes_first() -> None:
    def fail() -> None:
        with hold_interrupts():
            signal.raise_signal(signal.SIGINT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_happens_without_an_interrupt_or_in_a_thread() -> None:
    seen = []

    def enter() -> None:
        with hold_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    enter()
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen[0] is not signal.default_int_handler
    assert seen[1] is signal.default_int_handler


def test_ignored_interrupts_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with hold_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
