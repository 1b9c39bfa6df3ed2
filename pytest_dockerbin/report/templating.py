"""The templates of reports, filled in with what strangers wrote: all of it is escaped."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_dockerbin.report import wording
from pytest_dockerbin.report.grid import State
from pytest_dockerbin.tables import size_text

if TYPE_CHECKING:
    from collections.abc import Callable

_FILTERS: tuple[Callable[..., str], ...] = (
    wording.axis,
    wording.duration,
    wording.ending,
    wording.many,
    wording.moment,
    wording.runs_with,
    wording.build_words,
)


def render(name: str, **values: Any) -> str:  # noqa: ANN401 (each template has its own)
    """Return a template of the package filled in."""
    return _environment().get_template(name).render(**values)


def source(name: str) -> str:
    """Return a file among the templates as it is."""
    return (_loader().get_source(_environment(), name))[0]


@cache
def _loader() -> PackageLoader:
    return PackageLoader("pytest_dockerbin.report")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=_loader(),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({each.__name__: each for each in _FILTERS})
    environment.filters |= {"size": size_text, "label": _label, "breakable": _breakable}
    return environment


def _label(state: State, count: int) -> str:
    """Return what so many tests of a state are called."""
    names = {State.EMULATOR: "emulator fault", State.ERROR: "error"}
    return f"{names[state]}{'s' * (count != 1)}" if state in names else state.value


def _breakable(text: str) -> Markup:
    """Return a name that goes on in a second line after a sign, not in the middle of a word."""
    parts = re.split(r"(?<=[_/.])", wording.shown(text))
    return Markup("<wbr>").join(parts)  # which escapes them


def _shown(value: object) -> object:
    """Return a value as it is put into a template: control characters are seen, not obeyed."""
    return wording.shown(value) if type(value) is str else value
