"""Keeps other people's text from being a command to the CI service that prints it."""

from __future__ import annotations

import re

_ANYWHERE = re.compile(r"##(?=\[|vso\[)", re.IGNORECASE)


def defused(text: str) -> str:
    """Return the text with ``##[`` and ``##vso[`` as ``# #[`` and ``# #vso[``.

    GitHub's runner and Azure's agent look for these anywhere in a line; sources: ``TryParse`` of
    actions/runner's ActionCommand and of azure-pipelines-agent's Command. GitHub's ``::`` counts at
    the beginning of a line only, so that lines of others are printed behind ``| ``.
    """
    return _ANYWHERE.sub("# #", text)
