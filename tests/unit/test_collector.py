"""What is gathered of a session: builds of several processes, phases of tests, runs."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.errors import BuildError, DaemonLostError
from pytest_dockerbin.journal import Ran, note
from pytest_dockerbin.manifest import BuildRecord, Manifest
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report.grid import Grid
from pytest_dockerbin.report.model import BuildReport, RunReport, run_from_json
from pytest_dockerbin.reporting.collector import Collector
from pytest_dockerbin.reporting.notes import LATE, NOTE, STOP, Notes
from pytest_dockerbin.results import Kind, RunResult
from pytest_dockerbin.steps import StepRecord

ARM = Platform.parse("linux/arm64")
STEP = StepRecord(name="[1/1] RUN make", started=0.5, seconds=2.0, emulated=True)


def phase(when, outcome, name="t.py::test_x", platform="linux/arm64", **more):
    facts = {
        "platform": platform,
        "name": name,
        "case": "",
        "runs": [],
        "runner": None,
        "order": None,
    }
    facts |= {key: more.pop(key) for key in ("runs", "runner", "order") if key in more}
    sections = more.pop("sections", [])
    longrepr = more.pop("longrepr", None)
    report = pytest.TestReport(
        nodeid=f"{name}[{platform}]",
        location=("t.py", 1, "test_x"),
        keywords={},
        outcome=outcome,
        longrepr=longrepr,
        when=when,
        sections=sections,
        duration=1.0,
        start=100.0,
    )
    setattr(report, NOTE, facts)
    for attribute, value in more.items():
        setattr(report, attribute, value)
    return report


def outcome_of(*phases):
    collector = Collector()
    for each in phases:
        collector.take_report(each)
    (test,) = collector.report().tests
    return test


def run(**facts):
    given = {"returncode": 0, "stdout": "out\n", "stderr": "", "kind": Kind.EXITED} | facts
    return RunResult(
        program=Path("/tree/hello"),
        platform=ARM,
        args=("qemu", "/tree/hello"),
        duration=0.25,
        runner="qemu",
        emulated=True,
        emulator="QEMU 7.2.22",
        **given,
    )


@pytest.mark.parametrize(
    ("phases", "outcome"),
    [
        ([("setup", "passed"), ("call", "passed"), ("teardown", "passed")], "passed"),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "passed")], "failed"),
        ([("setup", "passed"), ("call", "failed"), ("teardown", "failed")], "failed"),
        ([("setup", "passed"), ("call", "passed"), ("teardown", "failed")], "error"),
        ([("setup", "failed"), ("teardown", "passed")], "error"),
        ([("setup", "skipped"), ("teardown", "passed")], "skipped"),
        ([("setup", "passed"), ("call", "skipped"), ("teardown", "failed")], "error"),
        ([("setup", "passed")], "error"),  # a crash, or Ctrl-C
        ([("setup", "passed"), ("teardown", "passed")], "passed"),  # --setup-only
    ],
)
def test_the_phases_of_a_test_make_one_outcome(phases, outcome):
    test = outcome_of(*(phase(when, how) for when, how in phases))
    assert (test.outcome, test.seconds, test.started) == (outcome, len(phases), 100.0)


def test_expected_failures_are_told_apart():
    setup = phase("setup", "passed")
    assert outcome_of(setup, phase("call", "skipped", wasxfail="why")).outcome == "xfailed"
    assert outcome_of(setup, phase("call", "passed", wasxfail="why")).outcome == "xpassed"


def test_a_test_that_is_run_again_counts_by_its_last_try():
    first = [phase("setup", "passed"), phase("call", "rerun"), phase("teardown", "passed")]
    second = [phase("setup", "passed"), phase("call", "passed"), phase("teardown", "passed")]
    test = outcome_of(*first, *second)
    assert (test.outcome, test.seconds) == ("passed", 3.0)


def test_the_subtests_of_a_test_that_is_run_again_count_with_their_try():
    """pytest-rerunfailures reports a try when it is over, and its subtests are told before."""
    failed = phase("call", "failed", context="a")
    rest = [phase("setup", "passed"), phase("call", "passed"), phase("teardown", "passed")]
    first = [failed, phase("setup", "passed"), phase("call", "rerun")]
    assert outcome_of(*first, failed, *rest).outcome == "failed"
    assert outcome_of(*first, *rest).outcome == "passed"
    skipped = phase("call", "skipped", context="a", wasxfail="why")
    assert outcome_of(rest[0], skipped, *rest[1:]).outcome == "passed"


def test_why_a_test_failed_or_was_skipped():
    failed = outcome_of(
        phase("setup", "passed"),
        phase("call", "failed", longrepr="first\nsecond", sections=[("Captured", "text")]),
    )
    assert (failed.reason, failed.text) == ("first", "first\nsecond\n--- Captured ---\ntext")
    skipped = outcome_of(phase("setup", "skipped", longrepr=("t.py", 3, "Skipped: no engine")))
    assert (skipped.reason, skipped.text) == ("no engine", "")


def test_what_stopped_several_tests_is_told_of_each_in_the_same_words():
    later = phase("setup", "failed", longrepr="Failed: dockerbin: it broke; log: /tmp/log")
    setattr(later, STOP, {"cause": "c", "first": False, "skipped": None, "reason": "it broke"})
    assert outcome_of(later).reason == "it broke"


def test_reasons_of_what_did_not_run_are_counted():
    collector = Collector()
    for name in ("a", "b"):
        report = phase("setup", "skipped", name=name)
        setattr(report, STOP, {"cause": "c", "first": False, "skipped": "no engine"})
        collector.take_report(report)
    assert collector.report().missing == (("no engine", 2),)


def test_the_runner_of_a_platform_is_known_once_it_was_decided():
    collector = Collector()
    known = {"platform": "linux/arm64", "runner": "qemu", "emulator": "QEMU 7", "emulated": True}
    unknown = {"platform": "linux/arm64"}
    for facts in (unknown, known, unknown):
        collector.take_report(phase("setup", "passed", runner=facts))
    (platform,) = collector.report().platforms
    assert (platform.runner, platform.emulator, platform.emulated) == ("qemu", "QEMU 7", True)


def test_runs_are_heard_of_while_notes_are_made(tmp_path):
    notes = Notes()
    note(run())
    notes.close()
    note(run())
    assert [each.program for each in notes._runs] == ["hello"]


def test_runs_come_with_their_test():
    ran = RunReport.of(Ran(run(returncode=-11, kind=Kind.SIGNALED, stderr="a\x1b[2Jb\n"), 5.0))
    assert (ran.signal, ran.stdout, ran.stderr, ran.is_fine) == ("SIGSEGV", "out", "a[2Jb", False)
    test = outcome_of(phase("setup", "passed"), phase("call", "failed", runs=[asdict(ran)]))
    assert test.runs == (ran,)
    assert not test.emulator_failed
    fault = RunReport.of(Ran(run(kind=Kind.EMULATOR_FAULT), 5.0))
    test = outcome_of(phase("setup", "passed"), phase("call", "failed", runs=[asdict(fault)]))
    assert test.emulator_failed
    both = [asdict(fault), asdict(ran)]
    test = outcome_of(phase("setup", "passed"), phase("call", "failed", runs=both))
    assert not test.emulator_failed  # the program failed after that
    assert run_from_json(asdict(ran)) == ran


def test_a_run_that_ended_late_is_of_the_test_that_began_it():
    collector = Collector()
    for when in ("setup", "call", "teardown"):
        collector.take_report(phase(when, "passed"))
    ran = asdict(RunReport.of(Ran(run(), 5.0)))
    name = "t.py::test_x[linux/arm64]"
    later = phase("setup", "passed", name="t.py::test_y")
    setattr(later, LATE, [[name, "linux/arm64", ran], ["t.py::test_plain", "", ran]])
    collector.take_report(later)
    assert {test.node: len(test.runs) for test in collector.report().tests} == {
        name: 1,
        "t.py::test_y[linux/arm64]": 0,
    }


def test_of_long_output_the_end_is_kept():
    ran = RunReport.of(Ran(run(stdout="".join(f"{n}\n" for n in range(1000))), 5.0))
    assert ran.stdout.splitlines() == [str(n) for n in range(960, 1000)]
    assert len(RunReport.of(Ran(run(stdout=b"x" * 100_000), 5.0)).stdout) == 16 * 1024


def test_a_build_travels_as_json(tmp_path):
    begun = BuildReport.begun("key", ARM, "Dockerfile", ("server",))
    assert (begun.source, begun.error, begun.title) == ("failed", "interrupted", "server")
    error = BuildError(
        "it failed", log_path=tmp_path / "log", place=("Dockerfile", 3), steps=(STEP,)
    )
    failed = begun.failed(error, ("app/Dockerfile", 3))
    assert (failed.reason, failed.place, failed.timeline) == (
        "it failed",
        ("app/Dockerfile", 3),
        (STEP,),
    )
    assert BuildReport.from_json(failed.to_json()) == failed
    record = BuildRecord(
        seconds=2.5, steps=1, cached_steps=0, log_path=None, ref="r", started=9.0, timeline=(STEP,)
    )
    manifest = Manifest(platform=ARM, files=(), build=record)
    ended = begun.ended(Artifact(tree=tmp_path / "tree", manifest=manifest, runner=None))
    assert (ended.source, ended.error, ended.timeline) == ("built", "", (STEP,))
    assert BuildReport.from_json(ended.to_json()) == ended
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_builds_of_several_processes_are_one():
    collector = Collector()
    for name in ("server", "client", "server"):
        collector.take_build(BuildReport.begun("key", ARM, "Dockerfile", (name,)))
    collector.take_build(BuildReport.begun("other", ARM, "Dockerfile", ()))
    assert [build.title for build in collector.report().builds] == ["Dockerfile", "server, client"]


def test_different_builds_of_one_title_are_told_apart():
    collector = Collector()
    collector.take_build(BuildReport.begun("1111111", ARM, "Dockerfile", ()))
    for name in ("client", "server"):
        collector.take_build(BuildReport.begun("2222222", ARM, "Dockerfile", (name,)))
    for key, names in (("3333333", ()), ("4444444", ("server", "client")), ("5555555", ("one",))):
        collector.take_build(BuildReport.begun(key, ARM, "Dockerfile", names))
    collector.take_build(BuildReport.begun("6666666", ARM, "Dockerfile", ("one",)))
    assert [build.title for build in collector.report().builds] == [
        "Dockerfile [111111]",
        "Dockerfile [333333]",
        "client, server",
        "one [555555]",
        "one [666666]",
        "server, client",
    ]


def test_a_build_that_one_process_left_may_have_ended_in_another():
    for order in (1, -1):
        collector = Collector()
        left = BuildReport.begun("key", ARM, "Dockerfile", ())
        for build in (left, replace(left, source="built", error=""))[::order]:
            collector.take_build(build)
        (build,) = collector.report().builds
        assert (build.source, build.error) == ("built", "")


def test_an_error_of_a_build_keeps_its_steps_between_processes():
    for kind in (BuildError, DaemonLostError):
        error = kind("lost", place=("Dockerfile", 1), steps=(STEP,))
        again = kind.from_json(error.to_json())
        assert (again.place, again.steps) == (("Dockerfile", 1), (STEP,))


@pytest.mark.parametrize("arrived", [["linux/arm64", "linux/386"], ["linux/386", "linux/arm64"]])
def test_platforms_are_in_the_order_in_which_they_were_asked_for(arrived):
    """Whichever worker is the first; what no test was collected for comes behind, sorted."""
    order = ["linux/s390x", "linux/arm64", "linux/386"]
    collector = Collector()
    for name in ["windows/amd64", "linux/amd64", *arrived]:
        collector.take_build(BuildReport.begun("key", Platform.parse(name), "Dockerfile", ()))
    for name in arrived:
        report = phase("setup", "skipped", platform=name, runner={"platform": name}, order=order)
        setattr(report, STOP, {"skipped": f"no {name}"})
        collector.take_report(report)
    report = collector.report()
    wanted = ["linux/arm64", "linux/386", "linux/amd64", "windows/amd64"]
    assert [each.platform for each in report.platforms] == wanted
    assert [build.platform for build in report.builds] == wanted
    assert report.missing == (("no linux/arm64", 1), ("no linux/386", 1))
    assert [column.platform for column in Grid.of(report).columns] == wanted


def test_of_a_build_on_another_machine_there_are_no_files():
    build = replace(BuildReport.begun("key", ARM, "Dockerfile", ()), result="/nowhere/result")
    collector = Collector()
    collector.take_build(build)
    (told,) = collector.report(whole=True).builds
    assert told.files == ()
