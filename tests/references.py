"""Names that pages and docstrings put between backticks, and whether there is what they name."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import click

import eventsnn as es
from eventsnn.cli.app import COMMANDS, commands
from eventsnn.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
SOURCES = ("eventsnn", "benchmarks", "tests", "cython_ext", "docs", ".ci")
ENDINGS = (".py", ".pyx", ".pxd", ".pyi", ".h", ".c", ".toml", ".md", ".png")
PACKAGE = ("eventsnn", "cython_ext")
# Names that are not the project's to define: of files that it writes, of other programs, of formulas.
ELSEWHERE = {
    *("rates.png", "linear_cost.png", "accuracy.png", "metrics.jsonl"),
    *("LyonPassiveEar", "EventArray", "bench", "hidden2", "time_s", "timeus", "x_addr", "TD.x"),
    *("model.h5", "checkpoint.h5", "eventsnn/words", "stabilize", "Size", "OUT.h5", "Train.zip"),
    "sample_crc",
    *("mpiexec", "srun", "collate_fn", "functional_call", "cuda", "requires_grad_(False)", "copy.deepcopy"),
    *("double()", "float()", "cuda()", "share_memory()"),
}
LIBRARIES = {"scipy", "numpy", "tonic", "lyon", "sys", "os", "h5py", "torch", "neo", "pyarrow"}
_GROUP = re.compile(r'= Registry\((?:.|\n)*?"(eventsnn\.\w+)"')
_PLAIN_PATH = re.compile(rf"(?<![\w/.-])(?:{'|'.join((*SOURCES[:4], 'docs', 'datasets'))})/[\w./-]*\w")
_FENCES = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_SPANS = re.compile(r"(?<!`)(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_CALL = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\(.*\))?")


@dataclass
class Defined:
    """What the sources define: names of any kind, and the members of each class."""

    names: set[str] = field(default_factory=set)
    members: dict[str, set[str]] = field(default_factory=dict)

    def add(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                self.members.setdefault(node.name, set()).update(_members(node))
            match node:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.names.add(node.name)
                case ast.arg():
                    self.names.add(node.arg)
                case ast.Name():
                    self.names.add(node.id)
                case ast.Attribute():
                    self.names.add(node.attr)
                case ast.keyword(arg=str(name)) | ast.alias(name=name):
                    self.names.update(name.split("."))
                case ast.Constant(value=str(text)) if re.fullmatch(r"[\w.-]{1,40}", text):
                    self.names.add(text)


def _members(cls: ast.ClassDef) -> Iterator[str]:
    """Methods, fields and attributes of a class; the names of its bases."""
    for base in cls.bases:
        if isinstance(base, ast.Name):
            yield f"<{base.id}"
    for node in ast.walk(cls):
        match node:
            case ast.FunctionDef():
                yield node.name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                yield name


@cache
def defined(folder: str) -> Defined:
    """What the sources in a folder define."""
    found = Defined()
    for path in source_files():
        if not path.is_relative_to(ROOT / folder):
            continue
        text = path.read_text(encoding="utf-8")
        found.names.add(path.stem)
        if path.suffix in (".py", ".pyi"):
            found.add(ast.parse(text))
        else:
            found.names.update(re.findall(r"\w+", text))
    return found


def known_names(everywhere: bool) -> list[set[str]]:
    """Names that the package defines, and those of the benchmarks and of the examples of plugins."""
    return [
        defined(folder).names
        for folder in (*PACKAGE, *(("benchmarks", "tests/plugins") if everywhere else ()))
    ]


def source_files() -> list[Path]:
    """Sources, without what builds leave."""
    found = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*"))]
    return [path for path in found if path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".h")]


@cache
def file_names() -> frozenset[str]:
    """Names of all files that belong to the project."""
    folders = [*SOURCES, "datasets"]
    found = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts
    ]
    return frozenset(path.name for path in [*found, *ROOT.iterdir()])


@cache
def rooms() -> frozenset[str]:
    """Folders of the sources that a path may begin with."""
    places = [ROOT, ROOT / "eventsnn", ROOT / "cython_ext", ROOT / "benchmarks"]
    known = [*SOURCES, "datasets"]
    inside = [path.name for place in places[1:] for path in place.iterdir() if path.is_dir()]
    return frozenset(name for name in [*known, *inside] if name != "__pycache__")


def path_exists(text: str, page: Path) -> bool:
    """Whether a path of the project exists, as seen from its top, a room's parent, or the page's folder."""
    places = [
        ROOT,
        ROOT / "eventsnn",
        ROOT / "cython_ext",
        ROOT / "benchmarks",
        page.parent,
        page.parent.parent,
    ]
    return any(list(place.glob(name)) for place in places for name in (text.rstrip("/"), f"{text}.py"))


def resolve(name: str) -> bool:
    """Whether a dotted name that begins with eventsnn or es leads to something."""
    parts = name.split(".")
    current: object = es
    for number, part in enumerate(parts[1:], 1):
        try:
            if hasattr(current, part):
                current = getattr(current, part)
                continue
            fields = getattr(current, "__dataclass_fields__", {}) | getattr(current, "__annotations__", {})
            if part in fields:
                return True
            current = importlib.import_module(".".join(["eventsnn", *parts[1 : number + 1]]))
        except MissingExtraError:  # what the sources say has to do
            return all(each in defined("eventsnn").names for each in parts[number:])
        except ImportError:
            return isinstance(current, type) and is_member(current.__name__, part)
    return True


def is_member(cls: str, name: str) -> bool:
    """Whether a class of that name, or a base of it, has a member."""
    members = defined("eventsnn").members.get(cls)
    if members is None or name in members:
        return members is not None
    return any(
        is_member(member[1:], name) for member in members if member.startswith("<") and member[1:] != cls
    )


@cache
def options() -> frozenset[str]:
    """All options of the program and of the scripts beside it."""
    found = {"--help", "--version"}
    context = click.Context(commands)
    for name in COMMANDS:
        command = commands.get_command(context, name)
        assert command is not None
        found |= {
            word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)
        }
    for path in (path for path in source_files() if path.relative_to(ROOT).parts[0] != "tests"):
        text = path.read_text(encoding="utf-8")
        found |= {f"--{word}" for word in re.findall(r"[\"']--([a-z][\w-]*)", text)}
        keywords = re.findall(r"^        (\w+)=\{", text, flags=re.MULTILINE)
        found |= {f"--{word.replace('_', '-')}" for word in keywords}
    return frozenset(found)


def problem(span: str, page: Path) -> str | None:
    """What a span between backticks names that there is not; None if all is well, or if it names nothing."""
    text = " ".join(span.split())
    if re.fullmatch(r"--[a-z][\w-]*", text):
        return None if text in options() else "no such option"
    command = re.match(r"eventsnn ([a-z]+)", text)
    if command and command[1] not in COMMANDS:
        return "no such command"
    if text.startswith("data/") or text in ELSEWHERE:
        return None  # where the commands put downloads
    if re.fullmatch(r"[\w.*-]+(/[\w.*-]+)+/?|[\w-]+/", text) and text.split("/")[0] in rooms():
        return None if path_exists(text, page) else "no such path"
    if re.fullmatch(r"[\w-]+(\.\w+)+", text) and text.endswith(ENDINGS):
        return None if text in file_names() | ELSEWHERE else "no such file"
    if re.fullmatch(r"eventsnn\.\w+", text) and text in groups():
        return None
    name = re.match(r"(?:eventsnn|es)(?:\.[A-Za-z_]\w*)+", text)
    if name:
        return None if resolve(name[0]) else f"{name[0]} does not exist"
    call = _CALL.fullmatch(text)
    if call is None or text in ELSEWHERE or "{" in text or call[1].split(".")[0] in LIBRARIES:
        return None
    everywhere = page.relative_to(ROOT).parts[0] not in PACKAGE
    if page.suffix != ".md" or call[2] or (call[1][0].isupper() and "." in call[1]):
        return _unknown(call[1], everywhere)
    return None


@cache
def groups() -> frozenset[str]:
    """Groups of entry points."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "eventsnn").rglob("*.py"))
    return frozenset(name for text in texts for name in _GROUP.findall(text))


def _unknown(name: str, everywhere: bool) -> str | None:
    """What is wrong with a name in a docstring: it, or the member of the class, is nowhere defined."""
    first, *rest = name.split(".")
    if first in defined("eventsnn").members:
        return None if not rest or is_member(first, rest[0]) else f"{first} has no {rest[0]}"
    known = {"self"}.union(*known_names(everywhere))
    return None if all(part in known or hasattr(builtins, part) for part in (first, *rest)) else "not defined"


def spans(text: str) -> Iterator[str]:
    """What stands between backticks, fenced blocks left out."""
    for match in _SPANS.finditer(_FENCES.sub("", text)):
        yield match[2]


def docstrings(path: Path) -> Iterator[str]:
    """All strings of a module that are statements: docstrings of modules, classes, functions, constants."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".pyx", ".pxd"):
        yield from re.findall(r'"""(.*?)"""', text, flags=re.DOTALL)
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(doc))):
                yield doc


def pages() -> list[Path]:
    """Pages in Markdown."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("datasets/*/*.md")]
    return sorted([*found, *ROOT.glob("benchmarks/*.md")])


def modules() -> list[Path]:
    """Modules whose docstrings are read."""
    found = [
        *ROOT.glob("eventsnn/**/*.py"),
        *ROOT.glob("cython_ext/**/*.p[yx][xd]"),
        *ROOT.glob("benchmarks/**/*.py"),
    ]
    return sorted(found)


def dead(path: Path) -> list[str]:
    """References of a page or module that lead nowhere, with the reason."""
    whole = path.read_text(encoding="utf-8")
    texts = [whole] if path.suffix == ".md" else docstrings(path)
    named = [(span, problem(span, path)) for text in texts for span in spans(text)]
    plain = set(_PLAIN_PATH.findall(whole)) - ELSEWHERE
    named += [(name, "no such path") for name in plain if not path_exists(name, path)]
    return [f"`{' '.join(span.split())}`: {reason}" for span, reason in named if reason is not None]
