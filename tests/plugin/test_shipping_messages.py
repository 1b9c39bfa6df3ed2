"""``--dockerbin-output`` and ``--dockerbin-prebuilt`` as users meet them; nothing here builds.

What is tested is a folder of two platforms with a text file each, so no docker is needed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.tiny import tiny_program


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS", "PYTEST_DOCKERBIN_MISSING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.fixture
def folder(pytester):
    """A folder as docker writes it, with sums."""
    folder = pytester.path / "prebuilt"
    lines = []
    for slug in ("linux_amd64", "linux_arm64"):
        (folder / slug).mkdir(parents=True)
        (folder / slug / "text").write_text(slug)
        lines.append(f"{hashlib.sha256(slug.encode()).hexdigest()}  {slug}/text\n")
    (folder / "SHA256SUMS").write_text("".join(lines))
    return folder


@pytest.fixture
def run(pytester, folder):
    """Run tests of the prebuilt folder, each for both platforms, and write them to ``dist``."""

    def run(tests, *args, platforms="linux/amd64,linux/arm64"):
        pytester.makepyfile(f"import pytest\n\n{tests}")
        options = ["--dockerbin-prebuilt=prebuilt", "--dockerbin-output=dist", "-ra"]
        if platforms:
            options.append(f"--dockerbin-platforms={platforms}")
        return pytester.runpytest_subprocess(*options, "-p", "no:cacheprovider", *args)

    return run


def said(result):
    """Return the line about what was written."""
    return next(line for line in result.outlines if "written to dist" in line)


def written(pytester):
    dist = pytester.path / "dist"
    return sorted(path.name for path in dist.iterdir()) if dist.exists() else []


ALL = ["SHA256SUMS", "dockerbin.json", "linux_amd64", "linux_arm64"]
AMD64_ONLY = ["SHA256SUMS", "dockerbin.json", "linux_amd64"]
UNCOLLECTED = "tests are missing that could not be collected"
XDIST = pytest.mark.parametrize("workers", [(), ("-n2",)])


# -- at the start ---------------------------------------------------------------------------------


def test_a_folder_that_can_t_be_used_is_one_line_and_exit_code_4(pytester, folder, monkeypatch):
    pytester.makepyfile("def test_unrelated(): pass")
    here = pytester.path
    (here / "mine").mkdir()
    (here / "mine" / "notes").write_text("")
    foreign = (
        f"--dockerbin-output: '{here}/mine' holds other files, such as 'notes'; expected a new "
        "folder, an empty one, or one that was written by this option"
    )
    no_folder = "there is no folder"
    same = f"--dockerbin-output: '{here}/prebuilt' is what --dockerbin-prebuilt tests"
    for args, message in (
        (["--dockerbin-output=mine"], foreign),
        (["--dockerbin-prebuilt=none"], f"--dockerbin-prebuilt: {no_folder} '{here}/none'"),
        (["--dockerbin-prebuilt=prebuilt", "--dockerbin-output=./prebuilt"], same),
        *(
            ([f"{option}="], f"{option}: expected a path, and there is nothing")
            for option in (
                "--dockerbin-output",
                "--dockerbin-prebuilt",
                "--dockerbin-cache-dir",
                "--dockerbin-report",
            )
        ),
    ):
        result = pytester.runpytest_subprocess(*args)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert [line for line in result.errlines if line] == [f"ERROR: dockerbin: {message}"]
    monkeypatch.setenv("PYTEST_DOCKERBIN_PREBUILT", "mine")
    result = pytester.runpytest_subprocess()
    beginning = f"ERROR: dockerbin: PYTEST_DOCKERBIN_PREBUILT: '{here}/mine' holds no platform's "
    assert next(line for line in result.errlines if line).startswith(beginning)


# -- what is tested -------------------------------------------------------------------------------


def test_the_header_and_the_end_say_what_is_tested(pytester, run, folder):
    result = run("def test_it(dockerbin): assert dockerbin.build.source == 'prebuilt'")
    result.stdout.fnmatch_lines(
        [
            f"dockerbin: * (from --*-platforms); prebuilt {folder} (from --dockerbin-prebuilt)",
            "linux/amd64*: */ prebuilt; 1 passed",
        ]
    )


@XDIST
def test_that_nothing_could_be_compared_is_told_in_reports_too(pytester, run, folder, workers):
    """And where there are sums, nothing is."""
    told = f"{folder} has no SHA256SUMS: whether it is what was built was not checked"
    for notes in ([], [told]):
        result = run("def test_it(dockerbin): pass", "--dockerbin-report=report.json", *workers)
        result.assert_outcomes(passed=2)
        assert json.loads((pytester.path / "report.json").read_text())["notes"] == notes
        assert (told in result.outlines) is bool(notes)
        (folder / "SHA256SUMS").unlink(missing_ok=True)


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("1", "errors")])
def test_a_platform_that_is_not_there_skips_or_fails(pytester, folder, monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTEST_DOCKERBIN_PREBUILT", "prebuilt")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(3))
        @pytest.mark.platform("linux/amd64", "linux/s390x")
        def test_it(dockerbin, number): pass
        """
    )
    result = pytester.runpytest_subprocess("-ra")
    result.assert_outcomes(passed=3, **{outcome: 3})
    told = "has nothing for linux/s390x; it has linux/amd64, linux/arm64"
    result.stdout.fnmatch_lines([f"*dockerbin: the prebuilt folder '{folder}' {told}*"])


def test_a_corrupted_file_is_told_once(run, folder):
    (folder / "linux_arm64" / "text").write_text("LINUX_ARM64")
    result = run("@pytest.mark.parametrize('n', range(5))\ndef test_it(dockerbin, n): pass")
    result.assert_outcomes(passed=5, errors=5)
    told = "'linux_arm64/text' differs from its sum in SHA256SUMS"
    result.stdout.fnmatch_lines(
        [
            f"dockerbin: the prebuilt folder '{folder}' can't be used for linux/arm64: {told}",
            "hint:     copy it again from where it was written",
            "dockerbin: 4 more errors have a cause that is told above",
        ]
    )
    assert said(result) == "linux/amd64 written to dist; left out: linux/arm64 (5 errors)"


@pytest.mark.parametrize(("missing", "outcome"), [("fail", "errors"), ("skip", "skipped")])
def test_a_test_that_builds_by_itself_can_t(run, missing, outcome):
    tests = "def test_it(dockerbin_build): dockerbin_build('.')"
    result = run(tests, f"--dockerbin-missing={missing}", platforms="")
    outcome = "failed" if outcome == "errors" else outcome  # it is the test that calls
    result.assert_outcomes(**{outcome: 1})
    told = "dockerbin_build builds, and with --dockerbin-prebuilt nothing is built"
    result.stdout.fnmatch_lines([f"*dockerbin: {told}"])


def test_a_dynamic_program_s_sysroot_needs_a_build(pytester, folder):
    host = Platform.host()
    program = folder / host.slug / "hello"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(sysroot_target="runtime", verify=False)
        def test_it(dockerbin_binary): pass
        """
    )
    result = pytester.runpytest_subprocess(
        "--dockerbin-prebuilt=prebuilt", "--dockerbin-missing=fail"
    )
    result.assert_outcomes(errors=1)
    told = f"sysroot_target: the loader and libraries of 'hello' for {host} are copied by a build"
    result.stdout.fnmatch_lines([f"dockerbin: {told}, and with --dockerbin-prebuilt nothing is *"])


# -- what is written ------------------------------------------------------------------------------

EACH = """
@pytest.fixture
def torn_down(dockerbin):
    yield
    assert dockerbin.platform.architecture != "ppc64le"

def test_it(dockerbin, torn_down):
    assert dockerbin.platform.architecture != "arm64"
    if dockerbin.platform.architecture == "riscv64":
        pytest.skip("not here")

@pytest.mark.platform("linux/s390x")
def test_matrix(dockerbin_matrix):
    assert not dockerbin_matrix
"""


@XDIST
def test_a_platform_that_did_not_pass_is_left_out(pytester, run, folder, workers):
    names = ["amd64", "arm64", "ppc64le", "riscv64", "s390x"]
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    for name in names:
        (folder / f"linux_{name}").mkdir(exist_ok=True)
        (folder / f"linux_{name}" / "text").write_text(name)
    result = run(EACH, *workers, platforms=",".join(f"linux/{name}" for name in names))
    assert said(result) == (
        "linux/amd64 written to dist; left out: linux/arm64 (1 failed), linux/ppc64le (1 error), "
        "linux/riscv64 (not tested: 1 skipped), linux/s390x (1 failed)"
    )
    assert written(pytester) == AMD64_ONLY


def test_an_expected_failure_leaves_nothing_out(pytester, run):
    tests = "def test_a(dockerbin): pass\n\n@pytest.mark.xfail\ndef test_b(dockerbin): assert 0"
    run(tests).assert_outcomes(passed=2, xfailed=2)
    assert written(pytester) == ALL


def test_a_level_of_a_processor_is_the_same_export(pytester, run):
    """What is written for linux/amd64 is what linux/amd64/v1 ran, too."""
    tests = "def test_it(dockerbin): assert dockerbin.platform.variant != 'v1'"
    result = run(tests, platforms="linux/amd64,linux/amd64/v1,linux/arm64")
    assert said(result) == "linux/arm64 written to dist; left out: linux/amd64 (1 failed)"


def test_the_first_platform_of_a_unittest_is_known(pytester, run):
    result = run(
        "import unittest\n\n"
        "@pytest.mark.usefixtures('dockerbin')\n"
        "class TestIt(unittest.TestCase):\n"
        "    def test_it(self): assert False\n\n"
        "def test_all(dockerbin): pass\n"
    )
    assert said(result) == "linux/arm64 written to dist; left out: linux/amd64 (1 failed)"


@XDIST
@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("def test_it(request): assert not request.getfixturevalue('dockerbin')", "1 failed"),
        (
            "def test_it(request): assert not request.getfixturevalue('dockerbin_matrix')",
            "1 failed",
        ),
        (
            (
                "@pytest.fixture\n"
                "def mine(request): assert not request.getfixturevalue('dockerbin')\n\n"
                "def test_it(mine): pass"
            ),
            "1 error",
        ),
    ],
)
def test_a_test_that_asks_while_it_runs_counts_when_it_fails(run, test, why, workers):
    passed = "def test_all(dockerbin): pass\n\ndef test_other(request, tmp_path): assert 0"
    result = run(f"{passed}\n\n{test}", *workers)
    assert said(result) == f"linux/arm64 written to dist; left out: linux/amd64 ({why})"


def test_tests_that_x_left_out_are_not_passed(pytester, run):
    """Both are complete or not there: of linux/arm64 nothing was tested."""
    result = run("def test_a(dockerbin): assert 0\n\ndef test_b(dockerbin): pass", "-x")
    left_out = "linux/amd64 (1 failed, 1 not run), linux/arm64 (2 not run)"
    assert said(result) == f"nothing written to dist; left out: {left_out}"
    assert written(pytester) == []
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("tests", "args", "reason"),
    [
        ("def test_it(dockerbin): raise KeyboardInterrupt", [], "the run ended early"),
        ("def test_it(dockerbin): pytest.exit('enough')", ["-n2"], "the run ended early"),
        ("def test_it(dockerbin): pass\n\nassert 0", [], UNCOLLECTED),
        ("def test_it(dockerbin): pass\n\nassert 0", ["-n2"], UNCOLLECTED),
        ("def test_it(): pass", [], "no test asked for a build"),
    ],
)
def test_nothing_is_written_of_a_run_that_ended_early(pytester, run, tests, args, reason):
    run("def test_it(dockerbin): pass")
    result = run(tests, *args)
    older = "what is there is of an earlier run"
    assert said(result) == f"nothing written to dist: {reason}; {older}"
    assert written(pytester) == ALL  # what was there before is left alone


def test_tests_that_could_not_be_collected_may_have_been_of_any_platform(pytester, run):
    pytester.makepyfile(test_broken="assert 0")
    result = run("def test_it(dockerbin): pass", "--continue-on-collection-errors")
    result.assert_outcomes(passed=2, errors=1)
    assert said(result) == f"nothing written to dist: {UNCOLLECTED}"
    assert written(pytester) == []


def test_a_worker_that_crashed_leaves_its_test_s_platform_out(pytester, run):
    result = run(
        "import os\n\n"
        "def test_it(dockerbin):\n"
        "    if dockerbin.platform.architecture == 'arm64': os._exit(1)",
        "-n2",
    )
    assert said(result) == "linux/amd64 written to dist; left out: linux/arm64 (1 not run)"
    assert written(pytester) == AMD64_ONLY


def test_quiet_runs_write_too_and_say_nothing(pytester, run):
    result = run("def test_it(dockerbin): pass", "-q")
    assert "written" not in result.stdout.str()
    assert written(pytester) == ALL


def test_collecting_writes_nothing_and_says_nothing(pytester, run):
    result = run("def test_it(dockerbin): pass", "--collect-only")
    assert "written" not in result.stdout.str()
    assert written(pytester) == []


def test_a_folder_that_can_t_be_written_does_not_change_the_exit_code(pytester, run):
    pytester.path.joinpath("dist").mkdir()
    result = run(
        "import pathlib\n\n"
        "def test_it(dockerbin):\n"
        "    place = pathlib.Path('dist')\n"
        "    if place.is_dir(): place.rmdir()\n"
        "    place.write_text('in the way')"
    )
    assert said(result).startswith("nothing written to dist: ")
    assert result.ret == pytest.ExitCode.OK


# -- what is asked for ----------------------------------------------------------------------------


def test_without_a_parameter_the_platform_is_the_first_that_auto_means(run):
    result = run(
        """
        def test_it(request):
            platform = request.getfixturevalue("dockerbin_platform")
            assert platform == request.getfixturevalue("dockerbin").platform
            assert str(platform) in ("linux/amd64", "linux/arm64")
        """.replace("\n        ", "\n"),
        platforms="auto",
    )
    result.assert_outcomes(passed=1)


def test_a_program_that_can_t_be_put_back_is_the_next_test_s_error(run, folder):
    host = Platform.host()
    program = folder / host.slug / "text"
    program.write_bytes(tiny_program(host, 0))
    program.chmod(0o755)
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    result = run(
        """
        import shutil

        def test_changes(dockerbin):
            (dockerbin / "text").write_text("changed")
            shutil.rmtree("prebuilt")

        def test_next(dockerbin): pass
        """.replace("\n        ", "\n"),
        "--dockerbin-missing=fail",
        platforms="native",
    )
    result.assert_outcomes(passed=1, errors=1)
    why = "'.' can't be read: No such file or directory"
    told = f"dockerbin: the prebuilt folder '{folder}' can't be used: {why}"
    result.stdout.fnmatch_lines(["*ERROR at setup of test_next*", told])
