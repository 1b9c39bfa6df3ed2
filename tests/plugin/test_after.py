"""What is seen when the tests are over: the matrix, failures, and what machines get."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.report.wording import columns

PYTEST_8 = pytest.version_tuple < (9,)
PLATFORMS = "--dockerbin-platforms=linux/amd64,linux/arm64"


@pytest.fixture
def run(built_project):
    """Run tests for two platforms, of which linux/arm64 can't be built."""

    def run(tests, *args, broken="linux/arm64"):
        built_project.makepyfile(test_it=f"import pytest\n\n{tests}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FAKE_BROKEN", broken)
            patch.setenv("COLUMNS", "80")
            return built_project.runpytest_subprocess(PLATFORMS, *args)

    return run


TESTS = """\
@pytest.mark.parametrize("n", range(3))
def test_numbers(dockerbin, n):
    assert n != 1

def test_fine(dockerbin_platform):
    pass

@pytest.mark.skip(reason="not today")
def test_skipped(dockerbin):
    pass
"""

MATRIX = """\
                           linux/amd64  linux/arm64
                               not run      not run
test_it.py::test_numbers      FAIL 1/3    ERROR 3/3
test_it.py::test_skipped          skip         skip
build app/                    built N       failed"""


def matrix_of(result):
    heading = next(n for n, line in enumerate(result.outlines) if "tests x platforms" in line)
    lines = result.outlines[heading + 1 :]
    end = next(n for n, line in enumerate(lines) if line.startswith("==="))
    return lines[:end]


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_the_matrix_has_what_is_not_fine(run, args):
    found = matrix_of(run(TESTS, *args))
    assert [line.split() for line in found[:-1]] == [
        line.split() for line in MATRIX.splitlines()[:-1]
    ]
    assert found[-1].split()[:2] == ["build", "app/"]
    assert found[-1].endswith("failed")
    assert len({len(line) for line in found}) == 1  # columns stand below one another


def test_with_v_it_has_everything(run):
    found = matrix_of(run(TESTS, "-v"))
    assert ["test_it.py::test_fine", "ok", "ok"] in [line.split() for line in found]


@pytest.mark.parametrize("args", [("-q",), ("--collect-only",)])
def test_there_is_none_in_a_quiet_run(run, args):
    assert "tests x platforms" not in run(TESTS, *args).stdout.str()


def test_there_is_none_where_all_is_fine(run):
    result = run("def test_fine(dockerbin): pass", broken="")
    result.assert_outcomes(passed=2)
    assert "tests x platforms" not in result.stdout.str()


def test_colours_repeat_the_words(run):
    result = run(TESTS, "--color=yes")
    assert re.search(r"\x1b\[31m +FAIL 1/3\x1b\[0m", result.stdout.str())


@pytest.mark.parametrize("args", [(), ("-n4",)])
def test_forty_tests_with_one_cause_are_read_in_a_minute(run, args):
    tests = "\n".join(f"def test_{number}(dockerbin): pass" for number in range(40))
    result = run(tests, *args)
    result.assert_outcomes(passed=40, errors=40)
    assert len(result.outlines) + len(result.errlines) < 120
    assert result.stdout.str().count(">>> RUN make") == 1
    assert any("... and 20 more tests that -v shows" in line for line in result.outlines)


RUNS = """\
import stat

def test_run(dockerbin_platform, tmp_path):
    from pytest_dockerbin import Binary
    from pytest_dockerbin.runners.host import HostRunner
    from pathlib import Path
    runner = HostRunner(
        name="native", timeout=30.0, timeout_factor=1.0, variables=(("QEMU_CPU", "max"),)
    )
    program = Binary(
        path=Path("/bin/sh"), platform=dockerbin_platform, size=0, sha256="",
        runner=lambda *_: runner,
    )
    program.run("-c", "exit 1")
    result = program.run("-c", "echo '::error::no'; kill -SEGV $$", check={check})
    assert result.returncode == 0
"""


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_a_failing_test_tells_of_the_program_that_failed(run, args):
    result = run(RUNS.format(check=False), "-k", "amd64", *args)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines_random(
        [
            r"-+ dockerbin run: sh for linux/amd64 \(native\), SIGSEGV, \d+ ms -+",
            r"env:    QEMU_CPU=max",
            r"argv:   \['/bin/sh', '-c', .*",
            r"\| ::error::no",
            "1 earlier run of this test did not end with exit code 0 either",
        ]
    )
    assert not any(line.startswith("::error") for line in result.outlines)


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_a_build_that_failed_is_told_beside_one_of_the_same_name(run, monkeypatch, args):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    tests = """
def test_a(dockerbin): pass

@pytest.mark.dockerbin(build_args={"BAD": "1"})
def test_b(dockerbin): pass

def test_c(dockerbin): pass
"""
    result = run(tests, "-v", *args, broken="--build-arg=BAD=1")
    result.assert_outcomes(passed=4, errors=2)
    rows = [line.split() for line in matrix_of(result) if line.startswith("build ")]
    assert sorted(words[3] for words in rows) == ["built", "failed"]
    assert sum(line.startswith("::error file=app/Dockerfile") for line in result.outlines) == 2


def test_of_many_builds_those_that_failed_are_told(run):
    tests = "\n".join(
        f"@pytest.mark.dockerbin(build_args={{'N': 'x{number}'}})\n"
        f"def test_{number}(dockerbin): pass\n"
        for number in range(12)
    )
    result = run(tests, "-k", "amd64", broken="--build-arg=N=x7")
    result.assert_outcomes(passed=11, errors=1)
    builds = [line.split() for line in matrix_of(result) if "build" in line]
    assert len(builds) == 2
    assert (builds[0][0], builds[0][3]) == ("build", "failed")
    assert builds[1][:5] == ["...", "and", "11", "more", "builds"]
    (line,) = (line for line in result.outlines if "4 more builds; 11 passed, 1 error" in line)
    assert "(BuildError); app/ [" in line
    assert len([line for line in matrix_of(run(tests, "-v")) if "build" in line]) == 12


def test_a_test_that_says_its_platform_itself_is_in_the_matrix(run):
    tests = """
@pytest.mark.parametrize("dockerbin_platform", ["arm64"], indirect=True)
def test_x(dockerbin):
    assert False
"""
    result = run(tests, broken="")
    result.assert_outcomes(failed=1)
    assert ["test_it.py::test_x", "FAIL"] in [line.split() for line in matrix_of(result)]


def test_a_test_whose_process_crashes_has_not_passed(run):
    tests = "import os\n\ndef test_x(dockerbin):\n    os._exit(9)"
    result = run(tests, "-n1", "-k", "amd64", "--max-worker-restart=0", broken="")
    words = [line.split() for line in matrix_of(result)]
    assert ["test_it.py::test_x", "ERROR"] in words


def test_a_skipped_test_misses_nothing(run):
    tests = """
@pytest.mark.skip(reason="not today")
def test_skipped(dockerbin_binary): pass

@pytest.mark.xfail(run=False)
def test_expected(dockerbin_binary): pass
"""
    result = run(tests, "--dockerbin-runner=none", "--dockerbin-missing=fail", broken="")
    result.assert_outcomes(skipped=2, xfailed=2)


@pytest.mark.parametrize("args", [(), ("-n1",)])
def test_the_whole_error_is_told_where_it_is_seen(run, args):
    tests = """
@pytest.mark.xfail
def test_expected(dockerbin): pass

def test_x(dockerbin): pass

def test_y(dockerbin): pass
"""
    result = run(tests, *args, "-k", "arm64")
    result.assert_outcomes(xfailed=1, errors=2)
    assert result.stdout.str().count(">>> RUN make") == 1


def test_runs_are_told_of_the_test_that_ran_them(run):
    tests = RUNS.format(check=False).replace(
        "def test_run(dockerbin_platform, tmp_path):\n",
        "def test_plain():\n"
        "    from pytest_dockerbin import Platform\n"
        "    dockerbin_platform = Platform.host()\n",
    )
    result = run(f"{tests}\n\ndef test_after(dockerbin_platform): assert False\n")
    result.assert_outcomes(failed=3)
    assert result.stdout.str().count("- dockerbin run:") == 1


def test_a_run_in_the_setup_is_told_once(run):
    tests = RUNS.format(check=False).replace("def test_run(", "@pytest.fixture\ndef it(")
    tests = tests.replace("    assert result.returncode == 0\n", "    yield\n    assert False\n")
    result = run(f"{tests}\ndef test_x(it): assert False\n", "-k", "amd64")
    result.assert_outcomes(failed=1, errors=1)
    assert result.stdout.str().count("- dockerbin run:") == 1


SHELL = """\
import signal, time

import pytest

@pytest.fixture(scope="session")
def shell():
    from pytest_dockerbin import Binary, Platform
    from pytest_dockerbin.runners.host import HostRunner
    from pathlib import Path
    runner = HostRunner(name="native", timeout=30.0, timeout_factor=1.0)
    return Binary(
        path=Path("/bin/sh"), platform=Platform.host(), size=0, sha256="",
        runner=lambda *_: runner,
    )

@pytest.fixture(scope="session")
def server(shell):
    server = shell.popen("-c", "echo it serves >&2; read forever", stdin=-1)
    server.wait_for_line("serves")
    return server

@pytest.fixture(scope="session")
def other(server): ...
"""


def test_a_failing_test_tells_of_the_programs_that_run_beside_it(run):
    result = run(
        f"{SHELL}\n"
        "def test_of_it(server, dockerbin_platform): assert False\n"
        "def test_of_another(dockerbin_platform): assert False\n",
        "-k",
        "amd64",
    )
    result.assert_outcomes(failed=2)
    result.stdout.re_match_lines(
        [
            r"-+ dockerbin run: sh for linux/\S+ \(native\), still running, .* -+",
            r"argv:   \['/bin/sh', '-c', 'echo it serves >&2; read forever'\]",
            "stderr, its end:",
            r"\| it serves",
        ],
    )
    assert result.stdout.str().count("- dockerbin run:") == 1


def test_a_failing_test_tells_of_a_program_that_nobody_waited_for(run):
    tests = """
def test_x(shell, dockerbin_platform):
    program = shell.popen("-c", "echo gone >&2; exit 3")
    with pytest.raises(Exception):
        program.wait_for_line("ready")
    shell.popen("-c", "exit 4").wait()
    assert False
"""
    result = run(f"{SHELL}\n{tests}", "-k", "amd64")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"-+ dockerbin run: sh for \S+ \(native\), exit code 4, .* -+",
            r"argv:   \['/bin/sh', '-c', 'exit 4'\]",
            "1 earlier run of this test did not end with exit code 0 either",
        ],
    )
    assert result.stdout.str().count("- dockerbin run:") == 1


def test_reports_have_the_programs_that_nobody_waited_for(run, built_project):
    tests = """
def test_stopped(shell, dockerbin_platform):
    program = shell.popen("-c", "echo up; read forever", stdin=-1)
    program.wait_for_line("up")

def test_hung_up(shell, dockerbin_platform):
    program = shell.popen("-c", "trap 'echo again' HUP; echo up; while :; do read x; done")
    program.wait_for_line("up")
    program.send_signal(signal.SIGHUP)
    program.send_signal(signal.SIGUSR1)
    program.wait()
    program.close()

def test_crashed(shell, dockerbin_platform):
    program = shell.popen("-c", "kill -SEGV $$")
    program.wait()
    program.terminate()
"""
    result = run(f"{SHELL}\n{tests}", "-k", "amd64", "--dockerbin-report=r.json")
    result.assert_outcomes(passed=3)
    report = json.loads((built_project.path / "r.json").read_text())
    runs = [run for test in report["tests"] for run in test["runs"]]
    assert [(run["signal"], run["stopped"]) for run in runs] == [
        ("SIGTERM", True),
        ("SIGUSR1", True),
        ("SIGSEGV", False),
    ]
    assert [run["stdout"] for run in runs][:1] == ["up"]


def test_a_run_that_was_cut_short_is_told(run):
    tests = """
def late(*_):
    pytest.fail("Timeout (>0.1s)")

def test_x(shell, dockerbin_platform):
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    shell.run("-c", "read forever < /dev/zero")
"""
    result = run(f"{SHELL}\n{tests}", "-k", "amd64")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"E\s+Failed: Timeout \(>0.1s\)",
            r"-+ dockerbin run: sh for linux/\S+ \(native\), timeout, .* -+",
            r"hint:   not its own limit ended it, but Failed, raised here",
        ],
    )


def test_runs_are_of_the_test_that_began_them(run, built_project):
    """A session fixture's program ends when pytest sets up the next platform's first test."""
    tests = f"""{SHELL}

@pytest.fixture(scope="session")
def crashing(shell, dockerbin_platform):
    return shell.popen("-c", "exit 5")

def test_a(crashing, dockerbin_platform):
    crashing.wait()
    assert dockerbin_platform.architecture == "amd64"
"""
    result = run(tests, "--dockerbin-report=r.json")
    result.assert_outcomes(passed=1, failed=1)
    report = json.loads((built_project.path / "r.json").read_text())
    assert [[run["returncode"] for run in test["runs"]] for test in report["tests"]] == [[5], [5]]


def test_a_program_s_time_ends_with_it(run, built_project):
    tests = """
def test_x(shell, dockerbin_platform):
    with shell.popen("-c", "exit 4") as program:
        program.stdout.read()
        time.sleep(1)

def test_y(shell, dockerbin_platform):
    with shell.popen("-c", "exit 4", stdout=-3, stderr=-3) as program:
        program.wait()
        time.sleep(1)
"""
    run(f"{SHELL}\n{tests}", "-k", "amd64", "--dockerbin-report=r.json")
    report = json.loads((built_project.path / "r.json").read_text())
    for test in report["tests"]:
        assert test["seconds"] - 1 > test["runs"][0]["seconds"]


def test_the_last_failure_is_the_one_that_ended_last(run):
    tests = """
def test_x(shell, dockerbin_platform):
    shell.popen("-c", "exit 5").wait()
    assert shell.run("-c", "exit 6").returncode == 0
"""
    result = run(f"{SHELL}\n{tests}", "-k", "amd64")
    result.stdout.re_match_lines([r"-+ dockerbin run: sh for \S+ \(native\), exit code 6, .* -+"])


def test_a_server_is_told_of_beside_what_an_error_tells(run):
    tests = """
def test_client(server, shell, dockerbin_platform):
    replace(shell, path=Path("/bin/false")).run(check=True)

def test_closed(shell, dockerbin_platform):
    with shell.popen("-c", "echo up; read forever", stdin=-1) as server:
        server.wait_for_line("up")
        assert False

def test_waits(server, dockerbin_platform):
    server.wait_for_line("nothing of it", timeout=0)
"""
    imports = "from dataclasses import replace\nfrom pathlib import Path\n"
    result = run(f"{imports}{SHELL}\n{tests}", "-k", "amd64")
    result.assert_outcomes(failed=3)
    heads = [line.split(",")[1] for line in result.outlines if "- dockerbin run:" in line]
    assert heads == [" still running", " stopped by the test"]


MISSING = """\
import unittest

import pytest, pytest_dockerbin

named = pytest_dockerbin.fixture("app")

@pytest.fixture
def started(named):
    return named.binary("program").popen()

def test_of_a_fixture(started): ...

class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _given(self, dockerbin):
        self.tree = dockerbin

    def test_one(self):
        self.tree.binary("program").run()

@pytest.mark.xfail
def test_expected(named):
    named.binary("program").run()
"""


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_what_can_t_be_run_is_skipped_wherever_that_is_met(run, monkeypatch, args):
    monkeypatch.setenv("FAKE_PROGRAM", "/bin/true")
    given = ["--dockerbin-runner=none", "-k", "not arm64", *args]
    result = run(MISSING, *given, "--dockerbin-missing=skip", broken="")
    result.assert_outcomes(skipped=3)
    assert any(line.startswith("3 tests did NOT run: ") for line in result.outlines)
    result = run(MISSING, *given, "--dockerbin-missing=fail", broken="")
    result.assert_outcomes(errors=1, failed=1, xfailed=1)


@pytest.mark.skipif(PYTEST_8, reason="its subtests are another plugin's")
@pytest.mark.parametrize("body", ["pytest.skip()", "pytest.xfail()", "assert 0"])
def test_what_failed_in_a_test_counts_before_what_was_skipped(run, built_project, body):
    tests = f"""
def test_x(dockerbin_platform, subtests):
    with subtests.test("a"):
        {body}
    assert 0

def test_y(dockerbin_platform, subtests):
    with subtests.test("a"):
        pytest.skip()
"""
    run(tests, "-k", "amd64", "--dockerbin-report=r.json")
    found = json.loads((built_project.path / "r.json").read_text())["tests"]
    assert [test["outcome"] for test in found] == ["failed", "passed"]


def test_forty_tests_that_build_by_themselves_tell_of_one_cause_once(run):
    tests = """
@pytest.mark.parametrize("n", range(40))
def test_x(dockerbin_build, n):
    dockerbin_build("app")

@pytest.fixture(scope="session")
def built(dockerbin_build):
    return dockerbin_build("app")

def test_y(built): ...

def test_it_can_be_expected(dockerbin_build):
    with pytest.raises(Exception, match="RUN make"):
        dockerbin_build("app")
"""
    result = run(tests, broken=str(Platform.host()))
    result.assert_outcomes(failed=40, errors=1, passed=1)
    assert result.stdout.str().count(">>> RUN make") == 1
    assert len(result.outlines) < 120
    assert "together: 1 passed, 40 failed, 1 error" in result.outlines
    result.stdout.fnmatch_lines(["dockerbin: 40 more errors have a cause that is told above"])


def test_a_build_with_a_warning_that_is_an_error_was_built(run, built_project):
    (built_project.path / "cache").write_text("no folder")
    tests = "def test_x(dockerbin): pass\n"
    args = ["-W", "error", "-k", "amd64", "--dockerbin-cache-dir=cache"]
    result = run(tests, *args, "--dockerbin-report=r.json", broken="")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E  *DockerbinWarning: *"])
    (build,) = json.loads((built_project.path / "r.json").read_text())["builds"]
    assert (build["source"], build["error"]) == ("built", "")


def test_a_run_that_only_plans_builds_nothing(run, built_project):
    result = run(TESTS, "--setup-plan", "--dockerbin-report=r.json", "--dockerbin-progress=plain")
    assert not any(line.startswith("dockerbin: ") for line in result.outlines)
    assert not (built_project.path / "r.json").exists()


def test_a_wide_name_leaves_the_columns_where_they_are(run):
    tests = "def test_x日本語(dockerbin_platform): assert 0\n\ndef test_y(dockerbin): assert 0\n"
    lines = matrix_of(run(tests))
    assert {columns(line) for line in lines} == {len(lines[0])}


CASES = """\
import unittest

import pytest

@pytest.mark.platform("linux/s390x")
@pytest.mark.dockerbin(target="other")
class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _given(self, dockerbin):
        self.tree = dockerbin

    def test_one(self): assert self.tree

    def test_two(self): assert not self.tree
"""


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_a_test_case_is_a_row_of_its_platform(run, args):
    result = run(CASES, "-v", *args, broken="")
    result.assert_outcomes(passed=1, failed=1, warnings=4)
    lines = matrix_of(result)
    assert [line.split() for line in lines if "TestIt" in line] == [
        ["test_it.py::TestIt::test_one", "ok"],
        ["test_it.py::TestIt::test_two", "FAIL"],
    ]
    assert lines[0].split() == ["linux/amd64"]
    for name in ("platform", "dockerbin"):
        words = f"*DockerbinWarning: @pytest.mark.{name} has no effect on a unittest.TestCase: *"
        result.stdout.fnmatch_lines([words])


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_the_failed_build_of_a_test_case_is_told_once(run, args):
    result = run(CASES, *args, broken="linux/amd64")
    result.assert_outcomes(errors=2)
    assert result.stdout.str().count(">>> RUN make") == 1


def test_a_test_that_builds_itself_is_a_row(run):
    tests = """
def test_x(dockerbin_build):
    assert not dockerbin_build("app").files
"""
    result = run(tests, broken="")
    result.assert_outcomes(failed=1)
    lines = matrix_of(result)
    assert lines[0].split() == [str(Platform.host()), "together"]
    assert ["test_it.py::test_x", "-", "FAIL"] in [line.split() for line in lines]


def test_what_an_error_tells_already_is_not_told_twice(run):
    result = run(RUNS.format(check=True), "-k", "amd64")
    result.assert_outcomes(failed=1)
    assert "dockerbin run:" not in result.stdout.str()
    assert result.stdout.str().count("| ::error::no") == 1


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_junit_files_have_properties(run, built_project, args):
    run("def test_text(dockerbin): pass", "--junitxml=junit.xml", *args)
    tree = ET.parse(built_project.path / "junit.xml")
    found = {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in tree.iter("testcase")
    }
    built = found["test_text[linux/amd64]"]
    assert built["dockerbin.platform"] == "linux/amd64"
    assert built["dockerbin.digest"].startswith("sha256:")
    assert built["dockerbin.cached"] == "false"
    assert found["test_text[linux/arm64]"] == {"dockerbin.platform": "linux/arm64"}


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_junit_files_have_what_ran_a_program(run, built_project, args):
    tests = RUNS.format(check=False) + "\ndef test_none(dockerbin_platform): pass\n"
    run(tests, "--junitxml=junit.xml", "-k", "amd64", *args)
    tree = ET.parse(built_project.path / "junit.xml")
    found = {
        case.get("name"): [(each.get("name"), each.get("value")) for each in case.iter("property")]
        for case in tree.iter("testcase")
    }
    assert found["test_none[linux/amd64]"] == [("dockerbin.platform", "linux/amd64")]
    assert found["test_run[linux/amd64]"] == [
        ("dockerbin.platform", "linux/amd64"),
        ("dockerbin.runner", "native"),
        ("dockerbin.emulated", "false"),
    ]


def test_pytest_html_has_the_runs(run, built_project, monkeypatch):
    monkeypatch.delenv("PYTEST_ADDOPTS")
    run(RUNS.format(check=False), "--html=report.html", "--self-contained-html", "-k", "amd64")
    assert "runs" in (built_project.path / "report.html").read_text()


GITHUB = (
    "::error file=app/Dockerfile,line=2,title=build of app/ for linux/arm64::"
    "build failed for linux/arm64: Dockerfile:2 "
)


@pytest.mark.parametrize("args", [(), ("-n2",), ("-q",)])
@pytest.mark.parametrize(
    ("variable", "error", "fold"),
    [
        ("GITHUB_ACTIONS=true", GITHUB, ("::group::log of the build", "::endgroup::")),
        (
            "TF_BUILD=True",
            "##vso[task.logissue type=error;sourcepath=app/Dockerfile;linenumber=2]build of app/",
            ("##[group]log of the build", "##[endgroup]"),
        ),
        ("GITLAB_CI=true", None, ("\x1b[0Ksection_start:", "\x1b[0Ksection_end:")),
    ],
)
def test_ci_services_are_told_once(run, monkeypatch, args, variable, error, fold):
    monkeypatch.setenv(*variable.split("="))
    result = run(TESTS, *args)
    lines = result.stdout.str().split("\n")
    if error:
        assert sum(line.startswith(error) for line in lines) == 1
    first, last = (n for n, line in enumerate(lines) if line.startswith(fold))
    # GitLab's title comes behind a carriage return, which is read as a line's end here
    folded = [line for line in lines[first + 1 : last] if not line.startswith("\x1b[0Klog of")]
    assert any("RUN make" in line for line in folded)
    assert all(line.startswith("| ") for line in folded)


def test_ci_services_see_files_from_the_checkout(run, built_project, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(built_project.path.parent))
    result = run(TESTS)
    place = f"{built_project.path.name}/app/Dockerfile"
    assert any(line.startswith(f"::error file={place},line=2") for line in result.outlines)


def test_elsewhere_nobody_is_told(run):
    assert "::" not in [line[:2] for line in run(TESTS).outlines]
