"""The Python in the documentation can be copied: it is whole, and imports what it uses."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

import pytest

import pytest_dockerbin

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
SAMPLES = [
    pytest.param(text, id=f"{page.name}-{number}")
    for page in PAGES
    for number, text in enumerate(
        re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL), 1
    )
]


def bound(tree):
    """Yield every name that a sample makes: imports, definitions, arguments, assignments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name:
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def unknown(source):
    """Return the names that a sample uses and does not make."""
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return used - set(bound(tree)) - set(dir(builtins))


def test_what_is_missing_is_seen():
    assert unknown("import a.b as c\ndef f(x): return c, len(x), pytest\n") == {"pytest"}


@pytest.mark.parametrize("source", SAMPLES)
def test_a_sample_has_what_it_needs(source):
    assert unknown(source) == set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "pytest_dockerbin":
            for alias in node.names:
                assert hasattr(pytest_dockerbin, alias.name)
