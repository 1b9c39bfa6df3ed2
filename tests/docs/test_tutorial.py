"""Who follows the tutorial word for word, in an empty folder, arrives."""

from __future__ import annotations

import follow
import pages
import pytest
import yaml

PAGE = pages.REPOSITORY / "docs/tutorial/from-empty-folder-to-ci.md"


def test_what_is_shown_is_looked_for():
    """Order counts, numbers do not, and three dots are anything."""
    lines = ["a 1.5 s", "", "b  2", "c: long", "d"]
    assert follow.first_missing(["a 3 s", "...", "c: ..."], lines) is None
    assert follow.first_missing(["b 2", "a 3 s"], lines) == "a 3 s"
    assert follow.first_missing(["e"], lines) == "e"


def test_a_command_that_fails_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ false\n```\n")
    with pytest.raises(AssertionError, match="exit code 1"):
        follow.follow(page, tmp_path, {})


@pytest.mark.engine
@pytest.mark.any_engine
def test_the_tutorial_arrives(base_images, reader, tmp_path, monkeypatch):
    """Every file and command of the page, and then the steps of its workflow, as on CI."""
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"pytest-dockerbin @ {pages.REPOSITORY.as_uri()}\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    empty = tmp_path / "empty"
    empty.mkdir()
    # one build after the other: of two at once, either may end first, and its tests come first
    typed = follow.follow(PAGE, empty, {"PYTEST_ADDOPTS": "--dockerbin-jobs=1"})
    assert sum(command.startswith("pytest") for command in typed) >= 8

    workflow = yaml.safe_load((empty / "greet/.github/workflows/test.yml").read_text())
    with follow.Terminal(empty / "greet", {"CI": "true"}) as terminal:
        terminal.type(". .venv/bin/activate")
        for step in follow.steps_of(workflow):
            code, lines = terminal.type(step)
            assert code == 0, "\n".join(lines)
    assert {"linux_amd64", "linux_arm64"} < {path.name for path in (empty / "greet/dist").iterdir()}
