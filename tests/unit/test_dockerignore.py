"""Which paths .dockerignore leaves out, compared with what real engines were seen to be sent."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.dockerignore import IgnoreRules, InvalidPatternError

TRUTH = json.loads((Path(__file__).parents[1] / "data" / "dockerignore-truth.json").read_text())
FILES = [
    *TRUTH["tree"],
    *TRUTH["empty_files"],
    *TRUTH["symlinks"],
    "Dockerfile",
    ".dockerignore",
]


def above(path):
    parts = path.split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}


FOLDERS = {folder for file in FILES for folder in above(file)}.union(
    *({folder} | above(folder) for folder in TRUTH["empty_folders"])
)


def sent(rules):
    """What a build would be sent of the tree of the recorded cases, listed as these are."""
    files = [file for file in FILES if not rules.excludes(file)]
    folders = {folder for folder in FOLDERS if not rules.excludes(folder)}
    for path in [*files, *folders]:
        folders |= above(path)
    return sorted([*files, *(f"{folder}/" for folder in folders)])


def test_all_recorded_cases_are_here():
    assert len(TRUTH["cases"]) == 126


@pytest.mark.parametrize("case", TRUTH["cases"], ids=lambda case: ascii(case["patterns"]))
def test_what_is_sent_is_what_a_real_build_was_sent(case):
    text = "\n".join(case["patterns"])
    if isinstance(case["sent"], str):
        assert case["sent"].startswith("ERR")
        with pytest.raises(InvalidPatternError):
            IgnoreRules.parse(text)
    else:
        assert sent(IgnoreRules.parse(text)) == case["sent"]


# each was tried with buildx 0.29.1; test_dockerignore_engine.py tries them again
TREE = ["axx", "zzb", "bq", "cxr", "^cxr", "xx", "x{2}", "xxk", "a1", "ad", "d/x", "d/y"]
TREE += ["lit/a/b", "lit/c", "qA", "a|b", "k/aa/z", "e", "a-b", "[a/b]", "p/q/r"]
SURPRISES = {
    "a|b*": ["a1", "ad", "axx", "a|b", "bq", "zzb", "a-b", "lit/a/b", "[a/b]"],
    "x{2}*": ["xx", "xxk"],
    "^c*r": ["cxr"],
    r"a\d": ["a1"],
    r"a\Dx*": ["axx"],
    r"q\x41": ["qA"],
    r"q\x{41}": ["qA"],
    r"\145": ["e"],
    "*[[:digit:]]": ["a1"],
    r"\Ae*": ["e"],
    r"a\b*": ["a-b", "a|b"],
    r"a[^\D]": ["a1"],
    r"a[\D]": ["ad"],
    "[a*b]": ["[a/b]"],
    "/ e": ["e"],
    "e /": ["e"],
    "*\n!lit/*": [name for name in TREE if not name.startswith("lit/")],
    "*\n!lit/*/**": TREE,
    "*\n!p/*/r": [name for name in TREE if name != "p/q/r"],
    "**/x\n!d": ["d/x"],
    "d\n!d/x\nd": ["d/y"],
}


@pytest.mark.parametrize(("text", "excluded"), SURPRISES.items())
def test_go_s_regular_expressions_show_through_as_they_do_in_buildkit(text, excluded):
    rules = IgnoreRules.parse(text)
    assert sorted(name for name in TREE if rules.excludes(name)) == sorted(excluded)


def test_a_control_character_may_be_escaped():
    rules = IgnoreRules.parse(r"a\tb*")
    assert rules.excludes("a\tbc")
    assert not rules.excludes("atbc")


REFUSED = [
    "!",
    "!/",
    "[z-a]",
    "a[^",
    "[e-e-]",
    "[]a]",
    "[[:alpha:]",
    "a\\",
    r"\yub",
    r"\8*",
    r"\Qa",
    r"\x4*",
    r"[\b]",
    r"\x{110000}",
    "[[:nonsense:]]",
    "x*{9}",
    "x{9}{9}*",
    "|{2}*",
    "x{3,2}*",
    "x{1001}*",
    "a\tb",
    "a\x7fb",
    "a\n\ufeffb",
    "a" * 65536,
    "\udcff",
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:20]))
def test_what_buildkit_refuses_or_nobody_can_tell_is_an_error(text):
    with pytest.raises(InvalidPatternError):
        IgnoreRules.parse(text)


def test_unicode_classes_are_not_guessed_at():
    with pytest.raises(InvalidPatternError, match=r"\\p"):
        IgnoreRules.parse(r"\pL*")


def test_without_patterns_nothing_is_excluded_and_nothing_needs_to_be_remembered():
    rules = IgnoreRules.parse("\n# nothing\n\n")
    assert not rules.excludes("a/b")
    assert rules.start == ()


@pytest.mark.parametrize(
    ("text", "entered"),
    [
        ("d", False),
        ("d\n!e", False),
        ("d\n!d/x", True),
        ("d\n!d/*", True),
        ("d\n!d/*/**", True),
        ("d\n!dd/x", False),
        ("d\n!**/x", True),
        ("d\n!e?", True),
    ],
)
def test_an_excluded_folder_is_entered_if_something_in_it_may_be_included(text, entered):
    assert IgnoreRules.parse(text).may_include_below("d") is entered


names = st.text(st.sampled_from("ab.-é "), min_size=1, max_size=3).filter(
    lambda name: name not in (".", "..") and name == name.strip()
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
parts = st.sampled_from(
    ["*", "**", "?", "a", "b", "ab", "[ab]", "[^a]", "a*", "*b", "**a", ".", ".."]
)
patterns = st.tuples(st.sampled_from(["", "!"]), st.lists(parts, min_size=1, max_size=4)).map(
    lambda pattern: pattern[0] + "/".join(pattern[1])
)


def read(lines):
    return IgnoreRules.parse("\n".join(lines))


@given(paths)
def test_a_plain_path_excludes_itself_and_all_below(path):
    rules = read([path])
    assert rules.excludes(path)
    assert rules.excludes(f"{path}/x/y")
    assert not rules.excludes(f"{path}x")


@given(paths, st.sampled_from(["/", "./", "//", "x/../"]), st.sampled_from(["", "/", "//", "/."]))
def test_the_spelling_of_a_path_does_not_matter(path, start, end):
    plain, spelled = read([path]), read([f" {start}{path}{end}\r"])
    assert {path: spelled.excludes(path)} == {path: plain.excludes(path)}


@given(st.lists(patterns, max_size=4), paths)
def test_the_last_word_counts(lines, path):
    folder = posixpath.dirname(path)
    assert read([*lines, "**"]).excludes(path)
    if not folder or read(lines).may_include_below(folder):
        assert not read([*lines, "**", f"!{path}"]).excludes(path)


@given(st.lists(patterns, max_size=4), paths)
def test_comments_and_blank_lines_change_nothing(lines, path):
    spaced = [line for pattern in lines for line in ("# c", "", pattern, "  ")]
    assert read(["#", *spaced]).excludes(path) is read(lines).excludes(path)


@given(st.lists(patterns, max_size=5), paths)
def test_patterns_tried_one_by_one_give_the_same_answer(lines, path):
    """That neighbours of one sign are tried as one expression is only a matter of speed."""
    apart = [line for pattern in lines for line in (pattern, _never(pattern))]
    assert read(apart).excludes(path) is read(lines).excludes(path)


def _never(pattern):
    """A pattern of the other sign that matches nothing."""
    return "zz/zz" if pattern.startswith("!") else "!zz/zz"


@given(st.text("ab*?[]^-!\\/{}|().+$,129dx:#~& é\n", max_size=12), paths)
def test_any_text_is_read_or_refused(text, path):
    try:
        rules = IgnoreRules.parse(text)
    except InvalidPatternError:
        return
    assert rules.excludes(path) in (True, False)
