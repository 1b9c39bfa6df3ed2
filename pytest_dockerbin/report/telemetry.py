"""A session as OpenTelemetry spans: one for it, for each build, step, test and run.

With the extra ``pytest-dockerbin[otel]``, and where OpenTelemetry's own variables name a collector,
they are sent to it when the session ends, as part of the trace that TRACEPARENT names.
Sources: the OpenTelemetry specification, "Environment Variables" and "OTLP Exporter Configuration";
its semantic conventions for ``test``, ``process`` and ``error``; W3C Trace Context.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan

    from pytest_dockerbin.report.model import BuildReport, Report, TestReport

_NANOSECONDS = 1_000_000_000  # in a second
_STATUS = {"passed": "pass", "xfailed": "pass", "xpassed": "pass", "failed": "fail"}
_STATUS |= {"error": "fail"}  # of a skipped test the conventions know none


def send(report: Report) -> bool:
    """Send a session's spans to the collector, and tell whether it took them.

    It may take the seconds of OTEL_EXPORTER_OTLP_TIMEOUT, 10 by default.
    """
    exporter = OTLPSpanExporter()
    try:
        return exporter.export(spans(report, os.environ)) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call] # theirs to annotate


def spans(report: Report, environment: Mapping[str, str]) -> Sequence[ReadableSpan]:
    """Return the spans of a session.

    Args:
        report: what the session did.
        environment: where OTEL_SERVICE_NAME and TRACEPARENT are looked up.
    """
    trace = _Trace(report.version, environment.get("OTEL_SERVICE_NAME") or "pytest-dockerbin")
    outside = TraceContextTextMapPropagator().extract(
        {"traceparent": environment.get("TRACEPARENT", "")}
    )
    session = trace.add(
        "dockerbin session",
        (report.started, report.seconds),
        {
            "dockerbin.platforms": [each.platform for each in report.platforms],
            "dockerbin.exit_status": report.exit_status,
        },
        outside,
    )
    for build in report.builds:
        if build.started and build.source in ("built", "rebuilt", "failed"):
            _add_build(trace, build, session)
    for test in report.tests:
        _add_test(trace, test, session)
    return trace.spans


def _add_build(trace: _Trace, build: BuildReport, session: Context) -> None:
    inside = trace.add(
        f"build {build.title} for {build.platform}",
        (build.started, build.seconds),
        {
            "dockerbin.platform": build.platform,
            "dockerbin.build.source": build.source,
            "dockerbin.build.steps": build.steps,
            "dockerbin.build.cached_steps": build.cached_steps,
            "dockerbin.builder": build.builder,
            "error.type": build.error or None,
        },
        session,
        failed=build.reason,
    )
    for step in build.timeline:
        trace.add(
            step.name,
            (build.started + step.started, step.seconds),
            {
                "dockerbin.platform": build.platform,
                "dockerbin.step.cached": step.cached,
                "dockerbin.step.emulated": step.emulated,
            },
            inside,
            failed=step.error,
        )


def _add_test(trace: _Trace, test: TestReport, session: Context) -> None:
    inside = trace.add(
        test.node,
        (test.started, test.seconds),
        {
            "test.case.name": test.node,
            "test.case.result.status": _STATUS.get(test.outcome),
            "dockerbin.platform": test.platform,
            "dockerbin.test.outcome": test.outcome,
        },
        session,
        failed=test.reason if test.outcome in ("failed", "error") else "",
    )
    for run in test.runs:
        trace.add(
            f"run {run.program}",
            (run.started, run.seconds),
            {
                "dockerbin.platform": run.platform,
                "dockerbin.run.kind": run.kind,
                "dockerbin.runner": run.runner,
                "dockerbin.emulator": run.emulator,
                "dockerbin.emulated": run.emulated,
                "process.command_args": list(run.args),
                "process.exit.code": run.returncode,
            },
            inside,
            failed="" if run.is_fine else run.signal or run.kind,
        )


class _Trace:
    """Makes spans of what is over."""

    def __init__(self, version: str, service: str) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self._tracer = provider.get_tracer("pytest-dockerbin", version)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All that were made."""
        return self._kept.get_finished_spans()

    def add(
        self,
        name: str,
        time: tuple[float, float],
        facts: Mapping[str, Any],
        outer: Context,
        *,
        failed: str = "",
    ) -> Context:
        """Make a span and return where others can be inside it.

        Args:
            name: what people see.
            time: when it began, in seconds since the epoch, and how many seconds it took.
            facts: its attributes; None stands for one that is not known.
            outer: where it is inside.
            failed: why it failed, or nothing.
        """
        began, seconds = time
        known = {key: value for key, value in facts.items() if value is not None}
        start = int(began * _NANOSECONDS)
        span = self._tracer.start_span(name, outer, attributes=known, start_time=start)
        if failed:
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end(start + int(seconds * _NANOSECONDS))
        return set_span_in_context(span, outer)
