"""OpenTelemetry: a collector gets a session's spans, and no session suffers by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pytest_dockerbin.platforms import Platform

LOST = "dockerbin: the OpenTelemetry collector did not take this session's spans"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def collector(monkeypatch):
    """A collector that is named by OpenTelemetry's variable."""
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "TRACEPARENT"):
        monkeypatch.delenv(name, raising=False)
    with HTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor() as pool:
        server.taken, server.status = [], 200
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        serving = pool.submit(server.serve_forever, 0.05)
        yield server
        server.shutdown()
        serving.result()


@pytest.fixture
def run(pytester, monkeypatch, tmp_path):
    """Run two tests of a prebuilt file, of which one fails."""
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    folder = pytester.mkdir("prebuilt") / Platform.host().slug
    folder.mkdir()
    (folder / "text").write_text("x")
    pytester.makepyfile("""
        def test_text(dockerbin):
            assert (dockerbin / "text").read_text() == "x"

        def test_wrong(dockerbin):
            assert (dockerbin / "text").read_text() == "y"
    """)

    def run(*args):
        result = pytester.runpytest_subprocess("--dockerbin-prebuilt=prebuilt", *args)
        result.assert_outcomes(passed=1, failed=1)
        return result

    return run


def names(collector):
    return sorted(
        span.name.partition("::")[2] or span.name
        for _, request in collector.taken
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_the_collector_gets_a_session_once(collector, run, args):
    assert LOST not in run(*args).outlines
    assert [path for path, _ in collector.taken] == ["/v1/traces"]
    found = names(collector)
    assert found[0] == "dockerbin session"
    assert [name.partition("[")[0] for name in found[1:]] == ["test_text", "test_wrong"]


def test_what_a_collector_refuses_is_said_and_no_test_s_fault(collector, run):
    collector.status = 400
    assert LOST in run().outlines


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")],
)
def test_it_can_be_switched_off(collector, run, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    run()
    assert collector.taken == []
