"""Sends a session's spans to the collector that OpenTelemetry's variables name, if any do."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dockerbin.reporting.collector import Collector

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def is_wanted() -> bool:
    """Tell whether there is a collector, and the extra that sends spans to it."""
    environment = os.environ
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(environment.get(name) for name in _ENDPOINTS) and _has_extra()


def _has_extra() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # of a package above it
        return False


class Tracing:
    """Registered where spans are wanted, but not in pytest-xdist's workers.

    Args:
        collector: knows what the session did.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._lost = False

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Send them."""
        from pytest_dockerbin.report.telemetry import send  # noqa: PLC0415 (0.3 s, only if wanted)

        self._lost = not send(self._collector.report(int(exitstatus), whole=True))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say it where the collector did not take them: no test fails by that."""
        if self._lost:
            terminalreporter.write_line(
                "dockerbin: the OpenTelemetry collector did not take this session's spans"
            )
