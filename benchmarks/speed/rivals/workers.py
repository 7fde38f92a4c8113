"""A contender in a process of its own: one JSON object a line each way, so that repeats can take turns.

Only one worker works at a time; the others wait for a line. Peak memory is that of the process.
By hand: `python benchmarks speed/rivals/workers NAME MODULE`, then lines like {"do": "infer", "batch": 16}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

from common import command


class Missing(Exception):
    """A contender that cannot be had here; the text says why."""


class Worker:
    """The parent's end."""

    def __init__(self, name: str, module: str = "speed.rivals.contenders") -> None:
        self.name = name
        self.process = subprocess.Popen(
            command("speed/rivals/workers", name, module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, *, limit: float | None = None, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for the answer; Missing or RuntimeError if the worker says so.

        After `limit` seconds the process is ended, which is a RuntimeError too.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = None if limit is None else threading.Timer(limit, self.process.kill)
        try:
            if timer is not None:
                timer.start()
            self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            if timer is not None:
                timer.cancel()
        if not line.endswith("\n"):  # nothing, or what it was writing when it was ended
            raise RuntimeError(f"{self.name}: the process ended with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise Missing(answer["missing"])
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process and wait for it."""
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):  # it has ended, with a request still in the pipe's buffer
                self.process.stdin.close()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(name: str, module: str) -> None:
    """The child's end: answer until standard input closes."""
    # Libraries print what they like; the pipe is for answers only.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import importlib

    from speed.rivals.jobs import Job

    contender = None
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        try:
            if what == "setup":
                contender = importlib.import_module(module).CONTENDERS[name]()
                answer = contender.setup(Job(**request))
                answer["batches"] = getattr(contender, "batches", {})
            elif what == "peak":
                answer = {"peak_mib": _peak_mib()}
            else:
                answer = getattr(contender, what)(**request)
        except ImportError as error:
            answer = {"missing": f"{type(error).__name__}: {error}"}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _peak_mib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    serve(*sys.argv[1:3])
