"""The report as a JSON document, by the schema that lies beside this file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dockerbin.report.model import Report


def document(report: Report) -> str:
    """Return all that is told of a session as JSON; ``schema.json`` describes it."""
    data = report.to_json()
    for build in data["builds"]:
        del build["result"]  # a folder of the session, which ends now
    return json.dumps(data, indent=1) + "\n"
