"""What is seen of builds before and while they run, in a terminal and without one."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

PLATFORMS = "--dockerbin-platforms=linux/amd64,linux/arm64"


@pytest.fixture
def project(built_project, monkeypatch):
    """Three tests, of which one builds, with a docker that takes a second."""
    monkeypatch.setenv("FAKE_SECONDS", "1")
    built_project.makepyfile(
        test_it="""
        def test_plain():
            print("what tests print")

        def test_text(dockerbin):
            assert len((dockerbin / "text").read_text()) == 2048

        def test_last():
            pass
        """
    )
    return built_project


def ours(lines):
    """Return the lines of ours without what differs from run to run."""
    found = [line for line in lines if re.match(r"(\[gw\d\] )?dockerbin: ", line)]
    masked = [re.sub(r"\(log .*\.log\)", "(log LOG)", line) for line in found]
    return [re.sub(r"\d+\.\d s", "N s", line) for line in masked]


def in_order(lines):
    """Return lines sorted by platform: which build ends first is chance, as they run at once."""
    return sorted(lines, key=lambda line: "linux/arm64 app/" in line)


def dots(lines):
    """Return the letters of results, from wherever lines of them were interrupted."""
    found = (re.fullmatch(r"(?:test_it\.py )?([.FEsxX]+)(?: +\[ *\d+%\])?", each) for each in lines)
    return "".join(each[1] for each in found if each)


BEFORE = [
    "dockerbin: linux/amd64 (native), linux/arm64 (from --dockerbin-platforms)",
    "dockerbin: 1 build x 2 platforms",
]
WHILE = [
    "dockerbin: linux/amd64 app/: building (log LOG)",
    "dockerbin: linux/amd64 app/: built in N s, 1 file, 2.0 KiB",
    "dockerbin: linux/arm64 app/: building (log LOG)",
    "dockerbin: linux/arm64 app/: built in N s, 1 file, 2.0 KiB",
]


@pytest.mark.parametrize("args", [(), ("-v",), ("-s",), ("-p", "no:capture")])
def test_without_a_terminal_there_are_lines(project, args):
    result = project.runpytest_subprocess(PLATFORMS, *args)
    result.assert_outcomes(passed=4)
    told = ours(result.outlines)
    assert told[:2] == BEFORE
    assert in_order(told[2:]) == WHILE


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("-q",), []),
        (("--dockerbin-progress=quiet",), BEFORE),
        (("-o", "dockerbin_progress=quiet"), BEFORE),
        (("--dockerbin-progress=plain",), [*BEFORE, *WHILE]),
    ],
)
def test_how_much_is_told(project, args, expected):
    result = project.runpytest_subprocess(PLATFORMS, *args)
    result.assert_outcomes(passed=4)
    told = ours(result.outlines)
    assert told[:2] == expected[:2]
    assert in_order(told[2:]) == expected[2:]


def test_an_unknown_way_is_one_line(project):
    result = project.runpytest_subprocess("-o", "dockerbin_progress=plane")
    assert [line for line in result.errlines if line] == [
        "ERROR: dockerbin: ini dockerbin_progress: unknown value 'plane'; did you mean 'plain'?"
    ]


def by_workers(lines):
    """Return what workers told, sorted; each line has to begin with who it is."""
    assert all(re.match(r"\[gw[01]\] ", line) for line in lines)
    return sorted(line.partition(" ")[2] for line in lines)


@pytest.mark.parametrize("args", [(), ("-v",), ("-s",)])
def test_what_workers_tell_stands_between_the_controller_s_lines(project, args):
    result = project.runpytest_subprocess(PLATFORMS, "-n2", *args)
    result.assert_outcomes(passed=4)
    assert result.errlines == []
    told = ours(result.outlines)
    assert told[:2] == BEFORE
    assert by_workers(told[2:]) == sorted(WHILE)
    assert not [line for line in result.outlines if re.search(r".dockerbin: .*building", line[6:])]
    if not args:
        assert dots(result.outlines) == "...."


def test_without_a_controller_that_listens_workers_tell_on_standard_error(project):
    project.makeconftest(
        """
        def pytest_configure(config):
            getattr(config, "workerinput", {}).pop("dockerbin_lines", None)
        """
    )
    result = project.runpytest_subprocess(PLATFORMS, "-n2")
    result.assert_outcomes(passed=4)
    assert by_workers(ours(result.errlines)) == sorted(WHILE)


def test_workers_let_the_controller_say_what_their_tests_ask_for(project):
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_text(dockerbin):
            pass
        """
    )
    lines = project.runpytest_subprocess("-n2").outlines
    assert ours(lines)[:2] == ["dockerbin: linux/amd64 (native), linux/arm64", BEFORE[1]]
    assert not ours(project.runpytest_subprocess("-n2", "-q").outlines)


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_without_pytest_s_reporter_it_is_told_on_standard_error(project, workers):
    result = project.runpytest_subprocess(PLATFORMS, "-p", "no:terminal", *workers)
    assert result.ret == 0
    told = [line for line in ours(result.errlines) if line not in BEFORE]
    assert (by_workers(told) if workers else in_order(told)) == (
        sorted(WHILE) if workers else WHILE
    )


def test_pytest_s_own_lines_go_on_where_they_were(project):
    alone = "--dockerbin-jobs=0"  # tests keep their order
    plain = project.runpytest_subprocess(PLATFORMS, alone).outlines
    assert sum(line.startswith("test_it.py") for line in plain) == 1
    assert dots(plain) == "...."
    told = project.runpytest_subprocess(PLATFORMS, alone, "-v").outlines
    results = [line for line in told if "PASSED" in line]
    assert [line.split()[:2] for line in results] == [
        ["test_it.py::test_plain", "PASSED"],
        ["test_it.py::test_text[linux/amd64]", "PASSED"],
        ["test_it.py::test_text[linux/arm64]", "PASSED"],
        ["test_it.py::test_last", "PASSED"],
    ]
    first, last = told.index(results[0]), told.index(results[-1])
    assert "" not in told[first:last]


def test_a_line_between_two_tests_does_not_repeat_a_name(project):
    project.makeconftest(
        """
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logfinish(nodeid):
            if "plain" in nodeid:
                plugin.say("dockerbin: said between two tests")

        def pytest_runtestloop(session):
            global plugin
            plugin = session.config.pluginmanager.get_plugin("dockerbin-between")
        """
    )
    lines = project.runpytest(PLATFORMS, "-v").outlines
    at = lines.index("dockerbin: said between two tests")
    told = [line for line in lines[at:] if "::test_" in line]
    assert told, lines
    for line in told:
        assert line.count("::test_") == 1, lines


@pytest.mark.parametrize("style", ["progress", "classic"])
@pytest.mark.parametrize("args", [(), ("-v",), ("-n2",), ("-n2", "-v")])
def test_lines_of_ours_leave_no_blank_lines(project, args, style):
    """Wherever they come between those of pytest; nor a name that stands there for nothing."""
    project.makepyfile(test_more="def test_first(): pass\ndef test_second(): pass")
    project.makeconftest(
        """
        import pytest

        def pytest_configure(config):
            global plugins
            plugins = config.pluginmanager

        def say(what):
            between = plugins.get_plugin("dockerbin-between")
            if between:  # a worker has none
                between.say(f"dockerbin: said {what}")

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logstart():
            say("after a test's beginning")

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logfinish():
            say("between two tests")
        """
    )
    quiet = "--dockerbin-progress=quiet"
    lines = project.runpytest_subprocess(
        PLATFORMS, quiet, *args, "-o", f"console_output_style={style}"
    ).outlines
    said = [at for at, line in enumerate(lines) if line.startswith("dockerbin: said")]
    assert len(said) == 2 * 6
    between = [line.strip() for line in lines[said[0] : said[-1]]]
    assert "" not in between
    names = [line for line in between if re.fullmatch(r"\S+::\S+", line)]
    assert len(names) == len(set(names))


def test_a_test_that_builds_by_itself_leaves_the_lines_whole_too(project):
    project.makepyfile(
        test_it="""
        def test_text(dockerbin_build):
            assert dockerbin_build("app").files
        """
    )
    lines = project.runpytest_subprocess("-v").outlines
    assert any(re.match(r"test_it.py::test_text PASSED +\[100%\]", line) for line in lines)


def test_a_build_that_fails_is_said_to_have_failed(project, monkeypatch):
    monkeypatch.setenv("FAKE_BROKEN", "linux/amd64")
    result = project.runpytest_subprocess("--dockerbin-platforms=linux/amd64")
    assert ours(result.outlines)[2:4] == [WHILE[0], "dockerbin: linux/amd64 app/: failed"]


def in_terminal(project, *args):
    """Run pytest in a terminal of 60 columns, and return what it wrote."""
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", PLATFORMS, *args],
        cwd=project.path,
        env=environment,
        stdin=its,
        stdout=its,
        stderr=its,
    ) as process:
        os.close(its)
        written = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # nobody has the other end any more
                break
            if not piece:
                break
            written += piece
    os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode()


def left_on_screen(written):
    """Return the lines that a person sees in the end."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", written.replace("\r\n", "\n"))
    return [line.rpartition("\x1b[2K")[2] for line in plain.split("\n")]


@pytest.mark.parametrize("args", [(), ("-s",), ("-v",)])
def test_in_a_terminal_one_line_is_rewritten_and_gone_in_the_end(project, args):
    written = in_terminal(project, *args)
    states = re.findall(r"\r\x1b\[2K([^\r\n\x1b]*)", written)
    assert any("s, [build 1/1] RUN make" in state for state in states)
    assert all(len(state) < 60 for state in states)
    seen = left_on_screen(written)
    assert not any(word in line for line in seen for word in ("building", "RUN make"))
    if not args:
        assert dots(seen) == "...."


@pytest.mark.parametrize("args", [("--dockerbin-progress=plain",), ("-n2",)])
def test_a_terminal_can_have_lines_too(project, args):
    seen = left_on_screen(in_terminal(project, *args))
    assert sum("building (log" in line for line in seen) == 2


def test_the_plan_tells_of_stored_results_where_they_may_serve(project):
    def planned(*args):
        return ours(project.runpytest_subprocess(*args).outlines)[1].removeprefix("dockerbin: ")

    amd, both = "--dockerbin-platforms=linux/amd64", PLATFORMS
    reuse, only = "--dockerbin-cache=reuse", "--dockerbin-cache=only"
    assert planned(amd, reuse) == "1 build x 1 platform: 1 to build"
    assert planned(both, reuse) == "1 build x 2 platforms: 1 cached, 1 to build"
    assert planned(both, reuse, "--dockerbin-no-cache") == "1 build x 2 platforms: 2 to build"
    assert planned(both, reuse, "-n2") == "1 build x 2 platforms: 2 cached"
    (project.path / "app" / "Dockerfile").write_text("FROM scratch\nRUN make all\n")
    assert planned(both, only) == "1 build x 2 platforms: 2 missing"


@pytest.mark.parametrize(
    ("args", "variable", "said"),
    [
        ((), None, ""),
        ((), "mine", "; builder mine (from BUILDX_BUILDER)"),
        (("-o", "dockerbin_builder=ours"), "mine", "; builder ours (from ini dockerbin_builder)"),
        (
            ("--dockerbin-builder=linux/arm64=far", "--dockerbin-builder=near"),
            None,
            "; builder linux/arm64=far, near (from --dockerbin-builder)",
        ),
    ],
)
def test_the_header_names_the_builder_that_was_chosen(project, monkeypatch, args, variable, said):
    if variable:
        monkeypatch.setenv("BUILDX_BUILDER", variable)
    project.makepyfile(test_it="def test_platform(dockerbin_platform): pass")
    lines = project.runpytest_subprocess(*args).outlines
    assert f"dockerbin: linux/amd64 (native){said}" in lines


def test_the_plan_tells_how_many_builds_there_are(project):
    project.makepyfile(
        test_more="""
        import pytest

        @pytest.mark.platform("linux/amd64")
        @pytest.mark.dockerbin(build_args={"A": "1"})
        def test_other(dockerbin):
            pass

        @pytest.mark.skip
        def test_skipped(dockerbin):
            pass
        """
    )
    result = project.runpytest_subprocess(PLATFORMS)
    assert "dockerbin: 2 builds x 2 platforms, 3 in all" in result.outlines


def test_a_reporter_of_somebody_else_s_is_left_to_write_lines(project):
    project.makeconftest(
        """
        import pytest

        class Mine(pytest.TerminalReporter):
            pass

        @pytest.hookimpl(trylast=True)
        def pytest_configure(config):
            plugins = config.pluginmanager
            plugins.unregister(plugins.get_plugin("terminalreporter"))
            plugins.register(Mine(config), "terminalreporter")
        """
    )
    result = project.runpytest_subprocess(PLATFORMS)
    result.assert_outcomes(passed=4)
    assert in_order(ours(result.outlines)[2:6]) == WHILE


def test_pytest_rich_s_console_writes_our_lines_where_it_stands_for_the_reporter(project):
    project.makeconftest(
        """
        class Rich:
            console = property(lambda self: self)

            def print(self, line, **_):
                with open("rich.txt", "a") as file:
                    file.write(line + "\\n")

        def pytest_configure(config):
            config.pluginmanager.register(Rich(), "rich-terminal-reporter")
        """
    )
    project.runpytest_subprocess(PLATFORMS, "-p", "no:terminal")
    lines = (project.path / "rich.txt").read_text().splitlines()
    assert [line for line in in_order(ours(lines)) if ": 1 build" not in line][-4:] == WHILE
