"""What buildx writes: recordings of two versions in tests/data/rawjson, and crafted events."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dockerbin.progress import BuildLog, clean

RECORDED = Path(__file__).parents[1] / "data" / "rawjson"
ALL = sorted(path.name for path in RECORDED.glob("*.txt"))


def read(*pieces):
    lines = []
    log = BuildLog(lines.append)
    for piece in pieces:
        log.feed(piece)
    log.close()
    return log, lines


def recorded(name):
    return (RECORDED / name).read_text()


def vertex(name="[1/1] RUN make", digest="sha256:1", **facts):
    return json.dumps({"vertexes": [{"digest": digest, "name": name, **facts}]}) + "\n"


def output(data, digest="sha256:1", stream=1):
    text = base64.b64encode(data).decode()
    return json.dumps({"logs": [{"vertex": digest, "stream": stream, "data": text}]}) + "\n"


def summary(log):
    steps = [(s.name, s.cached, s.ended, s.error, s.log) for s in log.steps]
    return steps, log.failed and log.failed.name, log.excerpt, log.error, log.lines, log.tail


# -- recordings -----------------------------------------------------------------------------------

COMPILING = """["/bin/sh", "-c", "echo compiling; echo 'warning: unused' >&2; printf 'héllo\\n'"]"""
COMMAND = "/bin/sh -c echo cc -c main.c; echo 'main.c:1: error: no such thing' >&2; exit 3"


@pytest.mark.parametrize("version", ["0.13", "0.29"])
def test_a_build_that_succeeds(version):
    log, lines = read(recorded(f"buildx-{version}-built.txt"))
    assert [step.name for step in log.steps] == [
        "[stage-1 1/1] COPY --from=build /bin/sh /hello",
        f"[build 2/2] RUN {COMPILING}",
        "[build 1/2] COPY busybox /bin/sh",
    ]
    assert log.failed is None
    assert log.excerpt is None
    assert not any(step.cached for step in log.steps)
    run = next(step for step in log.steps if "RUN" in step.name)
    assert sorted(run.log) == ["compiling", "héllo", "warning: unused"]
    assert f"#{run.number} compiling" in lines
    assert f"#{run.number} DONE" in lines
    assert log.lines == len(lines)


def test_a_build_from_the_cache():
    log, lines = read(recorded("buildx-0.29-cached.txt"))
    assert [step.cached for step in log.steps] == [True, True, True]
    assert sum(line.endswith(" CACHED") for line in lines) == 3


@pytest.mark.parametrize("version", ["0.13", "0.29"])
def test_a_step_that_fails(version):
    log, lines = read(recorded(f"buildx-{version}-failed.txt"))
    assert log.failed.name.startswith('[build 2/2] RUN ["/bin/sh", "-c", "echo cc -c main.c;')
    assert log.failed.error == (f'process "{COMMAND}" did not complete successfully: exit code: 3')
    assert log.failed.log == ["cc -c main.c", "main.c:1: error: no such thing"]
    file, line, text = log.excerpt
    assert (file, line) == ("Dockerfile.fails", 3)
    assert text.splitlines()[2].startswith('   3 | >>> RUN ["/bin/sh"')
    assert log.error.startswith("process ")
    assert log.error.endswith("exit code: 3")
    assert lines[-1].startswith("ERROR: failed to ")
    assert log.tail[-1] == f"#{log.failed.number} ERROR: {log.failed.error}"


def test_the_timeline_has_every_step_that_began():
    log, _ = read(recorded("buildx-0.29-built.txt"))
    timeline = log.timeline(lambda name: "RUN" in name)
    assert timeline[0].name == "[internal] load build definition from Dockerfile"
    assert timeline[0].started == 0
    assert [step.started for step in timeline] == sorted(step.started for step in timeline)
    first, make, last = (
        next(step for step in timeline if step.name.startswith(name))
        for name in ("[build 1/2]", "[build 2/2]", "[stage-1 1/1]")
    )
    assert first.started < make.started < make.started + make.seconds <= last.started
    assert (first.emulated, make.emulated) == (False, True)
    assert all(step.seconds >= 0 and not step.error for step in timeline)
    cached, _ = read(recorded("buildx-0.29-cached.txt"))
    assert sum(step.cached for step in cached.timeline(lambda _: True)) == 3
    failed, _ = read(recorded("buildx-0.29-failed.txt"))
    assert [bool(step.error) for step in failed.timeline(lambda _: None)][-1]


def test_a_step_without_an_end_lasts_until_the_last_thing_that_happened():
    log, _ = read(
        vertex("[1/4] RUN a", digest="a", started="2026-01-01T00:00:00Z"),
        vertex(
            "[2/4] RUN b",
            digest="b",
            started="2026-01-01T00:00:01Z",
            completed="2026-01-01T00:00:05Z",
        ),
        vertex("[3/4] RUN c", digest="c", started="no time"),
        vertex(digest="d", name="[2/2] RUN x\ny"),
    )
    steps = log.timeline(lambda _: None)
    assert [(step.started, step.seconds) for step in steps] == [(0, 5), (1, 4)]


@pytest.mark.parametrize("name", ALL)
def test_no_event_is_left_in_the_readable_log(name):
    _, lines = read(recorded(name))
    assert not any(line.lstrip().startswith(("{", "}", '"')) for line in lines)


@pytest.mark.parametrize("name", ALL)
def test_the_recordings_name_nothing_of_the_machine_they_were_made_on(name):
    text = recorded(name)
    for word in ("/tmp/", "/root/", "/home/", "/var/", "localhost", "127.0.0.1"):
        assert word not in text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_stream_may_be_cut_anywhere(data):
    name = data.draw(st.sampled_from(ALL))
    text = recorded(name)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=40)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, split = read(text), read(*pieces)
    assert summary(split[0]) == summary(whole[0])
    assert split[1] == whole[1]


@pytest.mark.parametrize("indent", [None, 2])
def test_character_by_character_it_is_the_same(indent):
    events = [{"vertexes": [{"digest": "d", "name": "[1/1] RUN x", "started": "t"}]}, {"logs": []}]
    text = "\n".join(json.dumps(event, indent=indent) for event in events) + "\nERROR: over\n"
    assert summary(read(*text)[0]) == summary(read(text)[0])
    assert read(*text)[0].error == "over"


# -- steps ----------------------------------------------------------------------------------------


def test_steps_are_those_that_the_dockerfile_asks_for():
    log, _ = read(
        vertex("[internal] load build definition", "sha256:0", started="t", completed="t"),
        vertex("exporting to client directory", "sha256:2", started="t", completed="t"),
        vertex(started="t", completed="t"),
    )
    assert [step.name for step in log.steps] == ["[1/1] RUN make"]


def test_a_step_that_was_only_announced_is_not_told():
    _, lines = read(vertex())
    assert lines == []


def test_a_step_is_told_when_it_begins_and_when_it_ends_once_each():
    _, lines = read(
        vertex(),
        vertex(started="t"),
        vertex(started="t"),
        vertex(started="t", completed="t"),
        vertex(started="t", completed="t"),
    )
    assert lines == ["#1 [1/1] RUN make", "#1 DONE"]


@pytest.mark.parametrize("joined_first", [False, True])
def test_a_step_that_is_joined_to_another_build_s_is_one_and_not_cached(joined_first):
    """BuildKit tells of it under its own digest, as cached in the end, and under the other's."""
    name, began, ended = "[1/2] RUN make", "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"
    later = vertex("[2/2] RUN test", "sha256:3", started=ended, completed=ended, cached=True)
    own = [vertex(name, "sha256:1"), later]
    other = vertex(name, "sha256:2", started=began)
    log, _ = read(*([other, *own] if joined_first else [*own, other]))
    assert [step.name for step in log.running] == [name]
    assert len(log.steps) == 2
    for piece in (
        vertex(name, "sha256:2", started=began, completed=ended),
        vertex(name, "sha256:1", started=ended, completed=ended, cached=True),
    ):
        log.feed(piece)
    assert {step.name: step.cached for step in log.steps} == {name: False, "[2/2] RUN test": True}
    records = log.timeline(lambda _: False)
    assert [(each.name, each.seconds, each.cached) for each in records] == [
        (name, 5.0, False),
        ("[2/2] RUN test", 0.0, True),
    ]


def test_steps_that_began_and_have_not_ended_are_running():
    began, ended = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"
    log, _ = read(
        vertex("[internal] load metadata", "sha256:0", started=began),
        vertex("[1/3] FROM debian", "sha256:1"),
    )
    assert [step.name for step in log.running] == ["[internal] load metadata"]
    log, _ = read(
        vertex("[internal] load context", "sha256:0", started=began),
        vertex("[3/3] RUN sleep", "sha256:3", started=began),
        vertex("[1/3] FROM debian", "sha256:1", started=began, completed=ended),
        vertex("[2/3] COPY a", "sha256:2", started=began, completed=ended, cached=True),
        vertex("[other 1/1] RUN x", "sha256:4"),
    )
    assert [step.name for step in log.running] == ["[3/3] RUN sleep"]


def test_the_step_that_failed_is_not_one_that_was_cancelled_for_it():
    log, _ = read(
        vertex("[a 1/1] RUN x", "sha256:a", started="t", error='process "x": context canceled'),
        vertex("[b 1/1] RUN y", "sha256:b", started="t", error="exit code: 1"),
    )
    assert log.failed.name == "[b 1/1] RUN y"


def test_a_build_whose_steps_were_all_cancelled_has_none_that_failed():
    log, _ = read(vertex(started="t", error="context canceled"))
    assert log.failed is None


def test_output_before_its_step_was_announced_belongs_to_it():
    log, lines = read(output(b"early\n"), vertex(started="t"))
    assert log.steps[0].name == "[1/1] RUN make"
    assert log.steps[0].log == ["early"]
    assert lines == ["#1 early", "#1 [1/1] RUN make"]


def test_a_warning_is_told():
    short = base64.b64encode(b"StageNameCasing: use lowercase").decode()
    _, lines = read(json.dumps({"warnings": [{"vertex": "d", "short": short}]}) + "\n")
    assert lines == ["WARNING: StageNameCasing: use lowercase"]


def test_empty_members_are_no_events():
    log, lines = read('{"vertexes":null,"statuses":null,"logs":null,"warnings":null}\n{"logs":[]}')
    assert (log.steps, lines) == ((), [])


# -- output of steps ------------------------------------------------------------------------------


def test_a_line_in_several_pieces_is_one_line():
    log, lines = read(vertex(started="t"), output(b"com"), output(b"pil"), output(b"ing\nnext\n"))
    assert log.steps[0].log == ["compiling", "next"]
    assert lines[1:] == ["#1 compiling", "#1 next"]


def test_a_character_in_two_pieces_is_one_character():
    data = "größe ✓\n".encode()
    for cut in range(len(data)):
        log, _ = read(vertex(started="t"), output(data[:cut]), output(data[cut:]))
        assert log.steps[0].log == ["größe ✓"]


def test_a_last_line_without_its_end_is_told():
    log, lines = read(vertex(started="t"), output(b"no line feed"))
    assert log.steps[0].log == ["no line feed"]
    assert lines[-1] == "#1 no line feed"


def test_of_a_progress_bar_the_last_state_is_told():
    log, _ = read(vertex(started="t"), output(b"10%\r50%\r100%\nwindows\r\n"))
    assert log.steps[0].log == ["100%", "windows"]


def test_bytes_that_are_no_text_are_replaced():
    log, _ = read(vertex(started="t"), output(b"\xff\xfe\n"))
    assert log.steps[0].log == ["��"]


def test_the_tail_is_the_last_twenty_lines_and_the_log_has_all():
    log, lines = read(
        vertex(started="t"), output(b"".join(b"%d\n" % number for number in range(50)))
    )
    assert log.tail == [f"#1 {number}" for number in range(30, 50)]
    assert log.steps[0].log == [str(number) for number in range(30, 50)]
    assert len(lines) == log.lines == 51


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("\x1b[31merror\x1b[0m", "error"),
        ("a\tb", "a\tb"),
        ("bell\x07 back\x08 delete\x7f", "bell back delete"),
        ("\x9b2J", "2J"),
        ("größe ✓", "größe ✓"),
    ],
)
def test_nothing_that_drives_a_terminal_is_kept(line, kept):
    assert clean(line) == kept


@given(st.text())
def test_no_control_character_survives(line):
    assert not any(sign < " " and sign not in "\t\n" for sign in clean(line))
    assert not any("\x7f" <= sign <= "\x9f" for sign in clean(line))


def test_output_that_can_t_be_decoded_is_left_out():
    broken = json.dumps({"logs": [{"vertex": "sha256:1", "data": "abc"}]}) + "\n"
    log, _ = read(vertex(started="t"), broken, output(b"fine\n"))
    assert log.steps[0].log == ["fine"]


def test_names_errors_and_plain_text_are_cleaned_too():
    _, lines = read(
        vertex("[1/1] RUN \x1b[2Jx", started="t", error="\x1b[2Jbad"), "ERROR: \x1b[31mx\n"
    )
    assert not any("\x1b" in line for line in lines)


# -- plain text -----------------------------------------------------------------------------------


def test_plain_text_is_kept_and_the_error_is_found_in_it():
    log, lines = read("unknown flag: --x\n", "ERROR: failed to solve:\n  more\n")
    assert lines == ["unknown flag: --x", "ERROR: failed to solve:", "  more"]
    assert log.error == "more"
    assert log.excerpt is None


def test_without_the_word_error_all_plain_text_is_the_error():
    assert read("unknown flag: --output\n\nSee 'docker --help'.\n")[0].error == (
        "unknown flag: --output See 'docker --help'."
    )


@pytest.mark.parametrize(
    "line",
    [
        "{ this is text",
        "{}",
        "{not json}",
        '{"other": 1}',
        '{"logs": 1}',
        '{"logs": [1]}',
        '{"vertexes": [[]]}',
        '{"logs": [{"vertex": "d", "data": 3}]}',
        '{"vertexes": [{"digest": [], "name": 3}]}',
    ],
)
def test_text_that_looks_like_an_event_is_text(line):
    """A failing here-document is quoted in the error, with whatever it holds."""
    log, lines = read(f"ERROR: process failed:\n{line}\nexit code: 1\n")
    assert lines == ["ERROR: process failed:", line, "exit code: 1"]
    assert log.error == f"process failed: {line} exit code: 1"


def test_an_object_that_is_cut_short_is_kept_as_text():
    _, lines = read('{"vertexes":[{"digest":"sha', "\nERROR: failed to receive status: EOF\n")
    assert lines == ['{"vertexes":[{"digest":"sha', "ERROR: failed to receive status: EOF"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["vertexes", "logs", "warnings", "digest", "name", "data", "short", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.lists(JSON | st.text(max_size=20), max_size=5))
def test_no_stream_whatever_is_an_error(parts):
    read(*(part if isinstance(part, str) else json.dumps(part) + "\n" for part in parts))
