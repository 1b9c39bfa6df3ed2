"""Spans of a session, and what a collector gets of them."""

from __future__ import annotations

from dataclasses import replace

from opentelemetry.trace import StatusCode

from pytest_dockerbin.report.model import BuildReport, Report, RunReport, TestReport
from pytest_dockerbin.report.telemetry import spans
from pytest_dockerbin.steps import StepRecord

RUN = RunReport(
    program="hello",
    platform="linux/arm64",
    args=("qemu-aarch64", "/tree/hello"),
    variables={},
    kind="signaled",
    returncode=-11,
    signal="SIGSEGV",
    runner="qemu",
    emulator="QEMU 7.2.22",
    emulated=True,
    started=1012.0,
    seconds=0.25,
    max_rss=None,
    cpu_time=0.1,
    stdout="",
    stderr="",
    hint="",
)
TEST = TestReport(
    node="t.py::test_x[linux/arm64]",
    name="t.py::test_x",
    case="",
    platform="linux/arm64",
    outcome="failed",
    started=1010.0,
    seconds=3.0,
    reason="assert 1 == 2",
    runs=(RUN,),
)
BUILD = BuildReport(
    key="k",
    label="Dockerfile",
    names=("server",),
    platform="linux/arm64",
    source="built",
    seconds=5.0,
    steps=2,
    cached_steps=1,
    started=1001.0,
    timeline=(
        StepRecord(name="[1/2] COPY . .", started=0.5, seconds=0.0, cached=True),
        StepRecord(name="[2/2] RUN make", started=0.5, seconds=4.0, emulated=True),
    ),
)
REPORT = Report(
    started=1000.0, seconds=20.0, version="1.2", exit_status=1, builds=(BUILD,), tests=(TEST,)
)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_what_is_inside_what():
    made = spans(REPORT, {"TRACEPARENT": f"00-{TRACE}-b7ad6b7169203331-01"})
    by_id = {span.context.span_id: span.name for span in made}
    assert {span.name: by_id.get(span.parent.span_id) for span in made} == {
        "dockerbin session": None,  # the span that TRACEPARENT names
        "build server for linux/arm64": "dockerbin session",
        "[1/2] COPY . .": "build server for linux/arm64",
        "[2/2] RUN make": "build server for linux/arm64",
        "t.py::test_x[linux/arm64]": "dockerbin session",
        "run hello": "t.py::test_x[linux/arm64]",
    }
    assert {f"{span.context.trace_id:032x}" for span in made} == {TRACE}
    assert {span.resource.attributes["service.name"] for span in made} == {"pytest-dockerbin"}


def test_when_it_was_and_how_it_went():
    made = {span.name: span for span in spans(REPORT, {"OTEL_SERVICE_NAME": "ci"})}
    step = made["[2/2] RUN make"]
    assert (step.start_time, step.end_time) == (1001_500_000_000, 1005_500_000_000)
    assert step.attributes["dockerbin.step.emulated"] is True
    assert "dockerbin.step.emulated" not in made["[1/2] COPY . ."].attributes
    test = made["t.py::test_x[linux/arm64]"]
    assert (test.status.status_code, test.status.description) == (StatusCode.ERROR, "assert 1 == 2")
    assert test.attributes["test.case.result.status"] == "fail"
    run = made["run hello"]
    assert (run.attributes["process.exit.code"], run.status.description) == (-11, "SIGSEGV")
    assert run.attributes["process.command_args"] == ("qemu-aarch64", "/tree/hello")
    session = made["dockerbin session"]
    assert session.parent is None
    assert session.status.status_code is StatusCode.UNSET
    assert session.resource.attributes["service.name"] == "ci"


def test_a_build_of_an_earlier_session_is_no_part_of_this_one():
    reused = replace(REPORT, builds=(replace(BUILD, source="reused"),), tests=())
    assert [span.name for span in spans(reused, {})] == ["dockerbin session"]
