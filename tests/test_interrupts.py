"""Ctrl-C that waits for a file to be written."""

import signal
import threading
from collections.abc import Iterator

import pytest

from eventsnn.interrupts import hold_interrupts


@pytest.fixture(autouse=True)
def python_handler() -> Iterator[None]:
    """Whatever started the tests may have set SIGINT to be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupt_waits_for_the_end_of_the_block() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        done.append("rest of the block")
    assert done == ["rest of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_interrupt_does_not_wait() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append("rest of the block")
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_blocks_within_blocks() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), hold_interrupts():
        with hold_interrupts():
            signal.raise_signal(signal.SIGINT)
        done.append("rest of the outer block")
    assert done == ["rest of the outer block"]


def test_error_of_the_block_comes_first() -> None:
    with pytest.raises(ZeroDivisionError), hold_interrupts():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError
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
