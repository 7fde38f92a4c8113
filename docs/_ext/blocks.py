"""Code blocks of Markdown pages: finds them, and runs those of a page in order.

The Python blocks of a page share one interpreter, its shell blocks one folder. Both the site (`executed.py`,
which shows what they print) and the tests (``tests/docs/``) run them with `run_page`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SHELL = ("bash", "console")
MARKS = ("not run:", "command:", "commands:", "code:")
"""What the comments of blocks begin with that do not run here: never, or from nothing in ``.ci/run``."""
_FENCE = re.compile(
    r"^(?:<!-- (?P<comment>[^\n]*?) -->\n)?"
    r"(?P<ticks>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=ticks)$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, first line in the page, and the comment on the line above it.

    ``<!-- not run: REASON -->`` above a block says that it is not run; all others of Python or shell are.
    """

    language: str
    text: str
    line: int
    end: int
    comment: str

    @property
    def is_run(self) -> bool:
        return self.language in ("python", *SHELL) and not self.comment.startswith(MARKS)

    @property
    def commands(self) -> str:
        """The lines of a shell block without prompts; of a console, those that begin with one."""
        if self.language == "bash":
            return self.text
        lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return "\n".join(lines) + "\n"


@dataclass
class Outcome:
    """What a block printed, the pictures that it wrote, and how it failed, if it did."""

    printed: str = ""
    pictures: tuple[str, ...] = ()
    failure: str = ""


def find_blocks(page: str) -> list[Block]:
    """All fenced blocks of a page; `end` is the offset in the page right after a block."""
    found = []
    for match in _FENCE.finditer(page):
        line = page.count("\n", 0, match.start("ticks")) + 1
        comment = match["comment"] or ""
        found.append(Block(match["language"].strip(), match["text"], line, match.end(), comment))
    return found


def run_page(
    blocks: Sequence[Block],
    folder: Path,
    *,
    prelude: str = "",
    arguments: Mapping[str, str] | None = None,
    timeout: float = 900.0,
) -> list[Outcome]:
    """Run the blocks of a page in a folder, in an interpreter of their own; stops at the first failure.

    `prelude` is Python that runs first, unseen; `arguments` holds more arguments for a command of eventsnn.
    The result has an outcome for each block that was begun.
    """
    with tempfile.TemporaryDirectory() as place:
        job, answer = Path(place) / "job.json", Path(place) / "outcomes.json"
        job.write_text(json.dumps({"blocks": [asdict(block) for block in blocks], "prelude": prelude}))
        done = subprocess.run(
            [sys.executable, Path(__file__), job, answer],
            cwd=folder,
            env=_environment(Path(place), arguments or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if not answer.exists():
            raise RuntimeError(f"the blocks ended their interpreter:\n{done.stderr}")
        return [Outcome(**outcome) for outcome in json.loads(answer.read_text())]


def _environment(place: Path, arguments: Mapping[str, str]) -> dict[str, str]:
    """An environment in which ``eventsnn`` and ``python`` are those of this interpreter."""
    more = "".join(f'{command}) set -- "$@" {words};; ' for command, words in arguments.items())
    for name, module in (("eventsnn", "-m eventsnn"), ("python", "")):
        script = place / name
        choice = f'case "$1" in {more}esac\n' if module else ""
        script.write_text(f'#!/bin/sh\n{choice}exec "{sys.executable}" {module} "$@"\n')
        script.chmod(0o755)
    return os.environ | {
        "PATH": f"{place}{os.pathsep}{os.environ['PATH']}",
        "MPLBACKEND": "agg",
        "COLUMNS": "100",
    }


def _run_all(blocks: list[Block], prelude: str) -> Iterator[Outcome]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(prelude, "<prelude>", "exec"), names)
    for block in blocks:
        before = _pictures()
        outcome = Outcome()
        if block.is_run and block.language == "python":
            outcome = _run_python(block, names)
        elif block.is_run:
            outcome = _run_shell(block)
        outcome.pictures = tuple(
            sorted(path for path, time in _pictures().items() if before.get(path) != time)
        )
        yield outcome
        if outcome.failure:
            return


def _run_python(block: Block, names: dict[str, Any]) -> Outcome:
    """Run a block; the value of its last line is printed unless it is None, as in a notebook."""
    printed = io.StringIO()
    try:
        tree = ast.parse("\n" * block.line + block.text)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            exec(compile(tree, "<page>", "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<page>", "eval"), names)
                if value is not None:
                    print(repr(value))
    except BaseException:
        return Outcome(printed.getvalue(), failure=traceback.format_exc())
    return Outcome(printed.getvalue())


def _run_shell(block: Block) -> Outcome:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.commands],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    failure = f"exit code {done.returncode}:\n{done.stdout}" if done.returncode else ""
    return Outcome(done.stdout, failure=failure)


def _pictures() -> dict[str, int]:
    """Pictures below the current folder, with the times of their last change."""
    return {str(path): path.stat().st_mtime_ns for path in Path().rglob("*.png")}


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    blocks = [Block(**block) for block in job["blocks"]]
    outcomes = [asdict(outcome) for outcome in _run_all(blocks, job["prelude"])]
    Path(sys.argv[2]).write_text(json.dumps(outcomes))
