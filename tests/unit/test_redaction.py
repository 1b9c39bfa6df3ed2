"""Which forms of a value are found in a line, and what is left of the line."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from operator import ne
from textwrap import wrap
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_dockerbin.progress import BuildLog, clean
from pytest_dockerbin.redaction import Redaction

CANARY = "cañary/4711+x? y"
KEY = "-----BEGIN KEY-----\nMIIabc+/def==\n  indented-line\nabc\n-----END KEY-----\n"


def b64(data):
    return base64.b64encode(data.encode()).decode()


def lower(quoted):
    return re.sub("%..", lambda escape: escape[0].lower(), quoted)


@pytest.mark.parametrize(
    "form",
    [
        CANARY,
        b64(CANARY),
        b64(f"{CANARY}\n"),
        base64.urlsafe_b64encode(CANARY.encode()).decode(),
        quote(CANARY),
        quote(CANARY, safe=""),
        quote_plus(CANARY),
        lower(quote(CANARY, safe="")),
    ],
)
@pytest.mark.parametrize("value", [CANARY, f"{CANARY}\n", f"{CANARY}\r\n", f"  {CANARY}"])
def test_every_form_of_a_value_is_replaced(form, value):
    redact = Redaction([value.encode()])
    assert redact(form) == "***"
    assert redact(f"token: {form}, again {form}.") == "token: ***, again ***."


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("rest", ["", "!", "!!", "@host"])
def test_a_value_within_a_longer_text_is_found_in_base64(user, rest):
    """As in the header Authorization: Basic; a sign that the neighbour shares can be left."""
    for value in (CANARY, f"{CANARY}x", f"{CANARY}xy"):
        before, after = Redaction([value.encode()])(b64(user + value + rest)).split("***")
        other = b64(user + "\0" * len(value.encode()) + rest)
        assert sum(map(ne, before, other)) <= 1
        assert sum(map(ne, after[::-1], other[::-1])) <= 1


@pytest.mark.parametrize("width", [64, 76])
def test_base64_that_was_broken_into_lines_is_found(width):
    value = "".join(map(str, range(100)))
    redact = Redaction([value.encode()])
    for text in (value, f"{value}\n"):
        assert {redact(line) for line in wrap(b64(text), width)} == {"***"}


def test_every_line_of_a_value_is_found_wherever_it_stands():
    redact = Redaction([KEY.encode()])
    assert [redact(f"> {line.strip()}") for line in KEY.splitlines()] == [
        "> ***",
        "> ***",
        "> ***",
        "> abc",  # under 4 characters
        "> ***",
    ]
    assert redact(b64("MIIabc+/def==")) == "***"


@pytest.mark.parametrize("value", ["", "a", "abc", " abc\n", "\n\n\n"])
def test_a_value_that_every_other_word_holds_is_left(value):
    line = "abc  a && tac YWJj YQ== %20 abcd"
    assert Redaction([value.encode()])(line) == line


def test_the_longest_of_several_values_is_replaced():
    redact = Redaction([b"secret", b"secret-token", b"token"])
    assert redact("secret-token secret token secret-tok") == "*** *** *** ***-tok"


def test_what_only_begins_like_a_value_is_left():
    assert Redaction([b"secret-token"])("secr secret-toke secret-token") == "secr secret-toke ***"


def test_values_that_overlap_are_replaced_as_one():
    redact = Redaction([b"abcd-efgh", b"efgh-ijkl"])
    assert redact("<abcd-efgh-ijkl>") == "<***>"
    assert redact("<abcd-efghefgh-ijkl>") == "<******>"


def test_bytes_that_are_no_text_are_found_as_they_are_shown():
    value = b"\xff\xfetoken\x80-\x1b[1mx\x07y"
    log = read_log(redact := Redaction([value]), value)
    assert redact(base64.b64encode(value).decode()) == "***"
    assert log[-1] == "#1 ***"


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=1000)
@given(st.text(min_size=4).filter(lambda text: len(text.strip()) >= 4), TEXT, TEXT)
def test_no_value_is_left_in_any_line(value, before, after):
    data = value.encode("utf-8", "replace")
    shown = Redaction([data])(clean(f"{before}{data.decode()}{after}"))
    for part in (data, *data.splitlines()):
        hidden = clean(part.strip().decode())
        if len(hidden.strip()) >= 4 and "*" not in hidden:
            assert hidden not in shown


# -- the log --------------------------------------------------------------------------------------


def event(**entries):
    return json.dumps(entries) + "\n"


def output(data):
    return event(logs=[{"vertex": "1", "data": base64.b64encode(data).decode()}])


def read_log(redact, *pieces):
    lines = []
    log = BuildLog(lines.append, redact)
    log.feed(event(vertexes=[{"digest": "1", "name": "[1/1] RUN x", "started": "now"}]))
    for piece in pieces:
        log.feed(output(piece))
    log.close()
    return lines


@given(st.sets(st.integers(1, len(CANARY.encode()) + 3)))
def test_a_value_that_comes_in_pieces_is_found(cuts):
    line = f"<{CANARY}>\n".encode()
    places = [0, *sorted(cuts), len(line)]
    pieces = [line[a:b] for a, b in pairwise(places)]
    assert read_log(Redaction([CANARY.encode()]), *pieces) == ["#1 [1/1] RUN x", "#1 <***>"]


def test_a_value_with_escapes_in_it_is_found():
    """As grep --color prints it."""
    assert read_log(Redaction([b"canary"]), b"can\x1b[31mar\x1b[0my\n")[-1] == "#1 ***"


def test_nothing_that_a_log_keeps_or_writes_holds_a_value():
    lines = []
    log = BuildLog(lines.append, Redaction([b"canary"]))
    named = {"digest": "1", "name": "[1/1] RUN echo canary", "started": "now"}
    log.feed(event(vertexes=[named]))
    log.feed(output(b"it is canary\n"))
    log.feed(event(warnings=[{"short": base64.b64encode(b"canary").decode()}]))
    log.feed(event(vertexes=[{**named, "error": "process canary failed"}]))
    for line in ("Dockerfile:2", "-" * 20, "   2 | >>> RUN echo canary", "-" * 20):
        log.feed(f"{line}\n")
    log.feed("ERROR: canary")
    log.close()
    kept = [lines, log.tail, log.steps, log.failed, log.text, log.excerpt, log.error]
    assert "canary" not in repr(kept)
    assert log.excerpt == ("Dockerfile", 2, "   2 | >>> RUN echo ***")
    assert log.error == "***"
    assert lines[:4] == [
        "#1 [1/1] RUN echo ***",
        "#1 it is ***",
        "WARNING: ***",
        "#1 ERROR: process *** failed",
    ]
