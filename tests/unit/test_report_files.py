"""What is told of a session, in each format that a report can be written in."""

from __future__ import annotations

import importlib.metadata
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from html.parser import HTMLParser
from importlib.resources import files

import jsonschema
import pytest
import sample_report
from sample_report import AMD, ARM, HOSTILE, V7

from pytest_dockerbin.manifest import FileRecord
from pytest_dockerbin.report.document import document
from pytest_dockerbin.report.exports import Exports
from pytest_dockerbin.report.grid import Grid, State
from pytest_dockerbin.report.html import html
from pytest_dockerbin.report.markdown import markdown
from pytest_dockerbin.report.model import (
    BuildReport,
    PlatformReport,
    Report,
    RunReport,
    TestReport,
)
from pytest_dockerbin.report.svg import svg
from pytest_dockerbin.report.timeline import Timeline
from pytest_dockerbin.report.wording import duration, line, shown
from pytest_dockerbin.results import Kind
from pytest_dockerbin.steps import StepRecord

EMPTY = Report(started=0.0, seconds=0.0, version="0", exit_status=5)
SCHEMA = json.loads(files("pytest_dockerbin.report").joinpath("schema.json").read_text())
WRITERS = (document, markdown, svg, html)


class Elements(HTMLParser):
    """All elements of an HTML document, and the text that a reader sees of it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.seen, self._inside = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data):
        if self._inside not in ("style", "script"):
            self.seen.append(data)


# -- the matrix -----------------------------------------------------------------------------------


def test_a_cell_says_the_worst_of_its_tests_and_how_many():
    grid = Grid.of(sample_report.report())
    assert [column.title for column in grid.columns] == [AMD, V7, ARM, "together"]
    cells = {row.name: [cell and cell.text for cell in row.cells] for row in grid.rows}
    assert cells["tests/test_cli.py::test_roundtrip"] == ["ok 3/3", "ERROR", "FAIL 1/3", None]
    assert cells["tests/test_cli.py::test_large_file"] == ["ok", "ERROR", "skip", None]
    assert cells["tests/test_server.py::test_signals"] == ["ok", "ERROR", "EMULATOR", None]
    assert cells["tests/test_cli.py::test_unicode"] == ["ok", "ERROR", "xfail", None]
    assert cells["tests/test_config.py::test_stdin"] == [None, "ERROR", "ok", None]
    assert cells["tests/test_same.py::test_same_version"] == [None, None, None, "ok"]
    assert len(grid.rows) == 61


def test_an_emulator_s_fault_is_told_apart_but_hides_no_failure():
    fault = sample_report.run(ARM, kind="emulator-fault")
    bad = sample_report.result("t.py::t", ARM, "failed", "1", runs=(fault,))
    worse = sample_report.result("t.py::t", ARM, "failed", "2")
    (row,) = Grid.of(replace(EMPTY, tests=(bad,))).rows
    assert (row.cells[0].state, row.is_fine) == (State.EMULATOR, False)
    (row,) = Grid.of(replace(EMPTY, tests=(bad, worse))).rows
    assert row.cells[0].text == "FAIL 1/2"


def test_the_matrix_does_not_depend_on_the_order_in_which_tests_ended():
    report = sample_report.report()
    backwards = replace(report, tests=report.tests[::-1])
    assert Grid.of(report).rows == Grid.of(backwards).rows


# -- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("report", [EMPTY, sample_report.report(), sample_report.hostile()])
def test_json_is_what_the_schema_says(report):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    data = json.loads(document(report))
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    assert len(data["tests"]) == len(report.tests)


@pytest.mark.parametrize(
    ("name", "kind", "beside"),
    [
        ("platform", PlatformReport, set()),
        ("build", BuildReport, {"result"}),
        ("step", StepRecord, set()),
        ("file", FileRecord, set()),
        ("test", TestReport, set()),
        ("run", RunReport, set()),
        ("", Report, set()),
    ],
)
def test_the_schema_describes_every_field(name, kind, beside):
    told = SCHEMA["$defs"][name] if name else SCHEMA
    names = {field.name for field in fields(kind)} - beside | ({"schema"} - ({name} - {""}))
    names = names if not name else names - {"schema"}
    assert set(told["properties"]) == set(told["required"]) == names
    assert told["additionalProperties"] is False
    for each in told["properties"].values():
        assert each["description"]


def test_the_schema_knows_every_way_in_which_a_run_ends():
    assert SCHEMA["$defs"]["run"]["properties"]["kind"]["enum"] == [str(kind) for kind in Kind]


def test_a_field_too_many_is_no_report():
    data = json.loads(document(EMPTY)) | {"more": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(data)


# -- Markdown -------------------------------------------------------------------------------------


def test_markdown_has_a_table_and_what_went_wrong():
    text = markdown(sample_report.report())
    lines = text.splitlines()
    assert lines[0] == (
        "### dockerbin: 134 passed, 2 failed, 46 errors, 1 skipped, 1 xfailed on 3 platforms"
    )
    assert lines[2].startswith("| test | `linux/amd64`<br><sub>native</sub> |")
    assert (
        "| `tests/test_cli.py::test_roundtrip` | ✅ ok 3 of 3 | 💥 ERROR | ❌ FAIL 1 of 3 |" in text
    )
    assert "| **build** `server` | built 5.5 s | 💥 failed | built 42.7 s |" in text
    assert "- 14 tests did **not** run: `linux/riscv64 programs can't be run" in text
    assert "and 45 more: `build failed for linux/arm/v7" in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert "undefined reference to `__atomic_load_8'" in text
    table = [each for each in lines if each.startswith("| ")]
    assert len(table) == 2 + 61 + 2
    assert {each.count("|") for each in table} == {6}


def test_what_strangers_wrote_is_no_markdown():
    text = markdown(sample_report.hostile())
    outside = re.sub(r"<pre>.*?</pre>|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert not {"@", "<img", "<script"} & set(re.findall(r"@|<img|<script", outside))
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert "&#64;octocat" in text
    table = [each for each in text.splitlines() if each.startswith("| ")]
    assert {each.count("|") for each in table} == {3}
    assert re.findall(r"^# head$", outside, re.MULTILINE) == []
    tags = [tag for tag, _ in Elements(text).tags]
    assert set(tags) == {"br", "sub", "code", "details", "summary", "pre"}


@pytest.mark.parametrize("limit", [2_000, 5_000, 20_000, 100_000])
def test_markdown_keeps_to_its_limit_at_whole_rows(limit):
    text = markdown(sample_report.report(1700), limit)
    assert len(text.encode()) <= limit
    table = [each for each in text.splitlines() if each.startswith("| `tests")]
    assert {each.count("|") for each in table} == {6}
    assert f"*Left out, for lack of room: {1701 - len(table):,} rows" in text
    assert text.count("<details>") == text.count("</details>")


def test_rows_with_problems_stay_longest():
    text = markdown(sample_report.report(1700), 20_000)
    assert "| `tests/test_server.py::test_signals`" in text
    assert "| `tests/test_many_1.py::test_60`" in markdown(sample_report.report(1700))
    assert text.count("💥 ERROR") == 46
    assert "Left out" not in markdown(sample_report.report(1700))


# -- SVG ------------------------------------------------------------------------------------------


def test_the_picture_has_words_in_each_cell_and_says_what_it_is():
    report = sample_report.report(20)
    root = ET.fromstring(svg(report))
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert root.get("role") == "img"
    assert root.find("svg:title", space).text.startswith("dockerbin: ")
    assert "linux/arm64 (QEMU 7.2.22): " in root.find("svg:desc", space).text
    cells = root.findall("svg:rect", space)[1:]
    words = [each for each in root.findall("svg:text", space) if "word" in each.get("class")]
    assert len(cells) == len(words) == 3 * 20 + 1 + 6
    assert all(each.text for each in words)
    assert "prefers-color-scheme: dark" in root.find("svg:style", space).text


def test_of_many_tests_the_picture_shows_those_with_problems():
    root = ET.fromstring(svg(sample_report.report(1700)))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[-1] == "1,661 more tests not shown"
    assert "tests/test_cli.py::test_roundtrip" in texts


# -- HTML -----------------------------------------------------------------------------------------


def test_the_page_needs_nothing_else():
    text = html(sample_report.report())
    tags = Elements(text).tags
    assert not [tag for tag, _ in tags if tag in ("link", "img", "iframe", "object", "base")]
    leading = [value for _, attrs in tags for key, value in attrs.items() if key in ("src", "href")]
    assert leading
    assert all(value.startswith("#") for value in leading)
    assert "url(" not in text
    assert "@import" not in text


def test_without_a_script_the_matrix_and_the_timeline_are_there():
    elements = Elements(html(sample_report.report()))
    text = "".join(elements.seen)
    assert "FAIL 1/3" in text
    assert "[build 4/5] RUN make -C src" in text
    assert "undefined reference to `__atomic_load_8'" in text
    buttons = [attrs for tag, attrs in elements.tags if tag == "button" and "data-cell" in attrs]
    assert len(buttons) == 60 * 3 - 1 + 1 + 3  # one has no cell; one is of all; 3 problems
    bars = [attrs for _, attrs in elements.tags if attrs.get("role") == "img"]
    assert "[build 4/5] RUN make -C src: 37.7 s, from 1.3 s, emulated" in [
        bar["aria-label"] for bar in bars
    ]


def test_the_page_of_an_empty_session_says_so():
    text = "".join(Elements(html(EMPTY)).seen)
    assert "no tests" in text
    assert "No test used a binary." in text


@pytest.mark.parametrize("write", WRITERS)
def test_nothing_hostile_becomes_markup(write):
    text = write(sample_report.hostile())
    assert "<img" not in text or write is document
    if write is html:
        scripts = [attrs for tag, attrs in Elements(text).tags if tag == "script"]
        assert len(scripts) == 2
        data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]
        (cell,) = json.loads(data)
        assert cell["tests"][0]["text"] == shown(HOSTILE)
    if write is svg:
        ET.fromstring(text)
    assert "\u202e" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_session_gives_the_same_bytes(write):
    assert write(sample_report.report()) == write(sample_report.report())
    lone = replace(EMPTY, notes=("\udcff",))
    assert write(lone).encode()


def test_thousands_of_tests_keep_the_page_lean():
    """The runs are data; the document has a cell for each test, and no more."""
    elements = Elements(html(sample_report.report(1700)))
    assert len(elements.tags) < 5 * 5_100 + 1_000


# -- where the time went, and what was exported ---------------------------------------------------


def test_steps_stand_on_one_axis_for_all_platforms():
    probe, server = Timeline.all_of(sample_report.report().builds)
    assert (probe.title, server.title) == ("probe", "server")
    assert [at for at, _ in server.ticks] == [0, 20, 40]
    ends = [max(bar.left + bar.width for bar in lane.bars) for lane in server.lanes]
    assert [round(end) for end in ends] == [12, 31, 100]
    amd = {
        work.value: (round(seconds, 1), count) for work, seconds, count, _ in server.lanes[0].shares
    }
    assert amd == {"native": (3.1, 2), "other": (1.7, 5), "cached": (0, 2)}


def test_many_steps_leave_out_the_shortest():
    steps = tuple(StepRecord(name=str(at), started=at, seconds=at) for at in range(300))
    build = replace(sample_report.report().builds[0], timeline=steps)
    (timeline,) = Timeline.all_of([build])
    assert timeline.lanes[0].left_out == 100
    assert timeline.lanes[0].bars[0].step.name == "100"


def test_files_of_platforms_stand_side_by_side():
    probe, server = Exports.all_of(sample_report.report().builds)
    assert probe.title == "probe"
    rows = {row.name: row for row in server.rows}
    assert rows["bin/server"].ratio == pytest.approx(8_812_544 / 8_126_464)
    assert rows["bin/serverd"].ratio is None
    assert not rows["lib/simd/kernels-avx2.bin"].is_everywhere
    assert server.left_out == 0


def test_of_many_files_those_stay_that_some_platform_lacks():
    def file(name):
        return FileRecord(name=name, size=1, sha256="0" * 64, mode=0o644)

    common = tuple(file(f"{at:04}") for at in range(600))
    one, other = sample_report.report().builds[:2]
    builds = [
        replace(one, names=("a",), platform=AMD, files=common),
        replace(other, names=("a",), platform=ARM, files=(*common, file("zzz"))),
    ]
    (exports,) = Exports.all_of(builds)
    assert (len(exports.rows), exports.left_out, exports.rows[-1].name) == (500, 101, "zzz")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0124, "12 ms"),
        (1.25, "1.2 s"),
        (59.97, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3_725, "1 h 02 min"),
    ],
)
def test_times_have_the_unit_that_suits_them(seconds, text):
    assert duration(seconds) == text


def test_what_drives_a_terminal_or_a_reader_s_eyes_is_seen():
    assert shown("a\x1b[31mred\x1b[0m\u202eb\tc\n") == "ared\\u202eb\tc\n"
    assert line("a\n b") == "a b"
    assert shown("tëst 漢字") == "tëst 漢字"


def test_the_wheel_has_what_reports_are_made_of():
    """The templates are no modules: a packager may forget them."""
    distribution = importlib.metadata.distribution("pytest-dockerbin")
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        pytest.skip("the checkout is installed, not a wheel")
    names = {str(file) for file in distribution.files}
    templates = ("report.html", "report.css", "report.js", "matrix.svg")
    wanted = ["schema.json", *(f"templates/{name}" for name in templates)]
    assert {f"pytest_dockerbin/report/{name}" for name in wanted} <= names
