"""The fault table: what each row of reliability.md's tables was tried with, and what held.

``pytest tests/faults --faults N`` says how often; N is small by default. A test names its row by
``@pytest.mark.fault("F1", "what")`` and counts by the fixture ``trial``.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from rig import Bench, Disk, Docker, Project, strace_problem

DEFAULT = 4
ROWS = {
    "F1": "kill -9 at any moment",
    "F2": "damaged entry",
    "F3": "ENOSPC, EDQUOT, EIO, EMFILE, EROFS",
    "F4": "cache folder that can't be used",
    "F5": "another schema on the same root",
    "F6": "inputs edited during the build",
    "F7": "a test changes the binary it got",
    "F8": "many processes at once",
    "F9": "collection while others read",
    "F10": "cache folder full of other files",
    "F11": "clock jumps",
    "F12": "thousands of entries",
    "F13": "lock holder killed",
    "F14": "lock holder that forked killed",
    "F15": "long wait for a lock",
    "F16": "file system without locks",
    "F17": "Ctrl-C",
    "F18": "SIGTERM, SIGKILL to pytest, controller, worker",
    "F19": "worker dies while it builds",
    "F20": "-x while another worker builds",
    "F21": "build or daemon hangs",
    "F22": "daemon lost",
    "F23": "failing build, many workers",
    "F24": "binary hangs, floods, forks",
    "F25": "ETXTBSY, noexec, wrong architecture",
    "F26": "plugin installed and unused",
    "S1": "links out of the export",
    "S2": "special files",
    "S3": "setuid, odd modes, attributes",
    "S4": "huge export",
    "S5": "tar tricks",
    "S6": "option and CSV injection",
    "S7": "secrets",
    "S8": "poisoned cache folder",
    "S9": "environment leaks into the binary",
    "S10": "log injection",
    "S11": "hostile frontend",
}
_PROPERTY = "dockerbin-fault"


def pytest_addoption(parser):
    parser.addoption("--faults", type=int, default=None, metavar="N", help="how often to inject")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(row, what): a row of reliability.md's fault tables")
    config.addinivalue_line("markers", "faults: the fault rig (make faults)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)


# -- counting -------------------------------------------------------------------------------------


class Trials:
    """Counts what was tried, and keeps what did not hold until the test's end."""

    def __init__(self):
        self.tried = 0
        self.failures = []
        self.seconds = []
        self.notes = []

    def hold(self, condition, message="did not hold"):
        """Count one trial."""
        self.tried += 1
        if not condition:
            self.failures.append(str(message))

    def told(self):
        """Return what did not hold, the most frequent first."""
        different = Counter(self.failures).most_common(5)
        lines = [f"{count} times: {message}" for message, count in different]
        return "\n".join([f"{len(self.failures)} of {self.tried} did not hold", *lines])

    def note(self, text):
        """Say something of the row in the table."""
        self.notes.append(text)

    def took(self, seconds):
        """Keep how long something took: told in the table, but never a reason to fail."""
        self.seconds.append(seconds)

    def note_longest(self, what, limit):
        """Tell the longest time beside the one that the row allows on a quiet machine."""
        over = sum(seconds > limit for seconds in self.seconds)
        more = f", {over} of {len(self.seconds)} took longer" if over else ""
        self.note(f"{what}: at most {max(self.seconds):.2f} s (the row's limit: {limit:g} s{more})")


@pytest.fixture
def trial():
    return Trials()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """Let a test fail, at its end, by what did not hold."""
    trials = pyfuncitem.funcargs.get("trial")
    try:
        result = yield
    except BaseException as error:
        if isinstance(trials, Trials) and trials.failures:
            error.add_note(trials.told())
        raise
    if isinstance(trials, Trials):
        if trials.failures:
            pytest.fail(trials.told(), pytrace=False)
        assert trials.tried, "nothing was tried"
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Put a test's figures on its report, so that they travel from xdist workers too."""
    report = yield
    marker = item.get_closest_marker("fault")
    counts_here = call.when == "call" or (call.when == "setup" and not report.passed)
    if marker and counts_here:
        trials = item.funcargs.get("trial") if hasattr(item, "funcargs") else None
        tried = trials.tried if isinstance(trials, Trials) else 1
        failed = len(trials.failures) if isinstance(trials, Trials) else 0
        if (not report.passed and not report.skipped) or hasattr(report, "wasxfail"):
            tried, failed = max(tried, 1), max(failed, 1)
        reason = ""
        if hasattr(report, "wasxfail"):
            reason = report.wasxfail
        elif report.skipped:
            tried = failed = 0
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        report.user_properties.append(
            (_PROPERTY, [*marker.args, tried, failed, reason, getattr(trials, "notes", [])])
        )
    return report


def pytest_terminal_summary(terminalreporter, config):
    """Print the table."""
    told = [
        figures
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, figures in getattr(report, "user_properties", ())
        if name == _PROPERTY
    ]
    if not told:
        return
    terminalreporter.section(f"fault table (--faults {_times(config)})")
    write = terminalreporter.write_line
    write(f"{'row':<4} {'what':<62} {'tried':>7} {'held':>7} {'failed':>7}")
    rows = {row: [figures for figures in told if figures[0] == row] for row in ROWS}
    for mine in rows.values():
        for line in _merged(mine):
            write(line)
    total = sum(figures[2] for figures in told)
    failed = sum(figures[3] for figures in told)
    write(f"     {'together':<62} {total:>7} {total - failed:>7} {failed:>7}")
    for row, mine in rows.items():
        if not mine and not _is_part(config):
            write(f"{row:<4} {ROWS[row]:<62} not reached: no test")
    if _is_part(config):
        write(f"not tried in this run: {', '.join(row for row in rows if not rows[row])}")


def _merged(figures):
    """Return the lines of one row: tests that try the same thing are added up."""
    for what in dict.fromkeys(each[1] for each in figures):
        same = [each for each in figures if each[1] == what]
        tried, failed = (sum(each[at] for each in same) for at in (2, 3))
        reasons = dict.fromkeys(each[4] for each in same if each[4])
        if tried:
            yield f"{same[0][0]:<4} {what:<62} {tried:>7} {tried - failed:>7} {failed:>7}"
            yield from (f"     known: {each[4]}" for each in same if each[2] and each[4])
        else:
            yield f"{same[0][0]:<4} {what:<62} not reached: {'; '.join(reasons)}"
        yield from (f"     {note}" for each in same for note in each[5])


def _is_part(config):
    """Tell whether somebody chose some of the tests."""
    chosen = config.option.keyword or config.option.markexpr or config.option.deselect
    return bool(chosen) or any("::" in word or word.endswith(".py") for word in config.args)


def _times(config):
    return config.getoption("faults", default=None) or DEFAULT


# -- what tests use -------------------------------------------------------------------------------


@pytest.fixture
def times(pytestconfig):
    """How often to inject a fault: N, or a part of it, but at least once."""
    number = _times(pytestconfig)
    return lambda part=1, least=1: max(least, number // part)


@pytest.fixture
def docker(tmp_path):
    docker = Docker(tmp_path / "bin")
    yield docker
    docker.kill()


@pytest.fixture
def bench(tmp_path, docker):
    bench = Bench(tmp_path, docker)
    yield bench
    bench.close()


@pytest.fixture
def strace():
    """Skip where no system call can be injected; on CI that is a failure."""
    problem = strace_problem()
    if problem:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no strace injection: {problem}")


@pytest.fixture
def disk(tmp_path):
    """Mount tmpfs folders; as root only, and on CI that must be so."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root can mount")
    disks = []

    def mount(options, name="disk"):
        disks.append(Disk(tmp_path / name, options))
        return disks[-1]

    yield mount
    for each in reversed(disks):
        each.close()


@pytest.fixture
def project(bench):
    project = Project(bench)
    yield project
    project.close()
