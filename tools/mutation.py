"""Mutation testing: changes the code a little, and expects a test to notice.

    python tools/mutation.py              all targets
    python tools/mutation.py spec store   some of them

Each change is tried in a fork of this process, in which pytest is imported already and the modules
of the package are not: a test run costs what its tests cost. Nothing is written. What survives is
printed: it is a test that is missing, or a change that changes nothing. Code that only subprocesses
of tests run is not changed there.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.util
import os
import signal
import sys
import time
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis  # noqa: F401 - what the tests import, once for all of them
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pytest_dockerbin"

# module -> the test files that are about it
TARGETS = {
    "platforms": ["tests/unit/test_platforms.py"],
    "runners.hints": ["tests/unit/test_run_hints.py", "tests/unit/test_kinds.py"],
    "runners.verdict": ["tests/unit/test_run_hints.py", "tests/unit/test_kinds.py"],
    "selection": ["tests/unit/test_selection.py", "tests/unit/test_parametrise.py"],
    "spec": ["tests/unit/test_spec_identity.py", "tests/unit/test_spec.py"],
    "store": ["tests/unit/test_store.py"],
}

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}

_PYTEST = [
    *("-x", "-q", "-m", "not engine", "--assert=plain", "--hypothesis-profile=ci"),
    *(word for plugin in ("cacheprovider", "html", "xdist") for word in ("-p", f"no:{plugin}")),
    "-Wignore::pytest.PytestAssertRewriteWarning",  # of what is imported already, on purpose
]


@dataclass(frozen=True)
class Mutant:
    """One change: where, what, and the module's code with it."""

    module: str
    line: int
    what: str
    code: CodeType

    def __str__(self) -> str:
        """Return it as editors open it."""
        path = PACKAGE.joinpath(*self.module.split(".")).with_suffix(".py").relative_to(ROOT)
        return f"{path}:{self.line}: {self.what}"


def changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901 (a table)
    """Return what a node might be instead."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARISONS:
            other = copy.deepcopy(node)
            other.ops = [_COMPARISONS[type(operator)]()]
            yield f"{ast.unparse(node)} -> {ast.unparse(other)}", other
        case ast.BoolOp():
            other_bool = copy.deepcopy(node)
            other_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"{ast.unparse(node)} -> {ast.unparse(other_bool)}", other_bool
        case ast.UnaryOp(op=ast.Not()):
            yield f"{ast.unparse(node)} -> {ast.unparse(node.operand)}", node.operand
        case ast.BinOp() if type(node.op) in _OPERATORS:
            other_op = copy.deepcopy(node)
            other_op.op = _OPERATORS[type(node.op)]()
            yield f"{ast.unparse(node)} -> {ast.unparse(other_op)}", other_op
        case ast.Constant(value=bool() as truth):
            yield f"{truth} -> {not truth}", ast.Constant(not truth)
        case ast.Constant(value=int() as number):
            yield f"{number} -> {number + 1}", ast.Constant(number + 1)
        case ast.Constant(value=str() as text):
            yield f"{text!r} -> {text + 'XX'!r}", ast.Constant(text + "XX")
        case ast.IfExp():
            swapped = ast.IfExp(test=node.test, body=node.orelse, orelse=node.body)
            yield f"{ast.unparse(node)} -> {ast.unparse(swapped)}", swapped
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield f"return {ast.unparse(value)} -> return None", ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() as call):
            yield f"{ast.unparse(call)} -> pass", ast.Pass()
        case ast.Break():
            yield "break -> continue", ast.Continue()
        case ast.Continue():
            yield "continue -> break", ast.Break()


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Return every place whose code is run, as parent, field, position and node."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.JoinedStr):  # the words of messages: for golden files
            continue
        for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _is_docstring(child) or _is_type(child):
                continue
            yield node, name, position, child
            yield from _places(child)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_type(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal"


def mutants(module: str) -> Iterator[Mutant]:
    """Return all changes of a module."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for parent, name, position, node in list(_places(tree)):
        for what, instead in changes(node):
            ast.copy_location(instead, node)
            siblings = getattr(parent, name)
            if position is None:
                setattr(parent, name, instead)
            else:
                siblings[position] = instead
            code = compile(ast.fix_missing_locations(tree), str(path), "exec")
            if position is None:
                setattr(parent, name, node)
            else:
                siblings[position] = node
            yield Mutant(module, getattr(node, "lineno", 0), what, code)


class _Changed(MetaPathFinder, Loader):
    """Gives a module with other code than its file has."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name = name
        self._code = code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for one module."""
        if fullname != self._name:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        return importlib.util.spec_from_file_location(
            fullname, found.origin if found else None, loader=self
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run the code."""
        exec(self._code, module.__dict__)  # noqa: S102 - the purpose


def tests_notice(mutant: Mutant | None, files: Sequence[str], patience: int) -> bool:
    """Run the tests with a change, or with none, in a process of their own."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(quiet, number)
        code = 1
        try:
            if mutant:
                sys.meta_path.insert(0, _Changed(f"pytest_dockerbin.{mutant.module}", mutant.code))
            code = int(pytest.main([*_PYTEST, *files]))
        finally:
            os._exit(code)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main(arguments: Sequence[str]) -> int:
    """Try the changes; return 1 if one survives."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try one of N changes")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    # It finds its modules itself; a finder of changed ones goes before it. It imports none of them.
    importlib.import_module("pytest_dockerbin")
    survivors = 0
    for module in options.modules or TARGETS:
        files = TARGETS[module]
        begin = time.monotonic()
        if tests_notice(None, files, 3600):
            print(f"{module}: its tests fail without any change")
            return 1
        broken = compile("raise AssertionError", module, "exec")
        if not tests_notice(Mutant(module, 0, "no module at all", broken), files, 3600):
            print(f"{module}: its tests do not see changes of it")
            return 1
        patience = int((time.monotonic() - begin) * 5) + 30
        tried = killed = 0
        for mutant in list(mutants(module))[:: options.every]:
            tried += 1
            if tests_notice(mutant, files, patience):
                killed += 1
            else:
                survivors += 1
                print(f"survived: {mutant}", flush=True)
        print(f"{module}: {killed} of {tried} changes were noticed", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
