import pytest

from pytest_dockerbin.commands_in_text import defused
from pytest_dockerbin.errors import ArtifactError, DockerbinError
from pytest_dockerbin.progress import clean
from pytest_dockerbin.report.wording import shown

COMMANDS = [
    ("##[error]x", "# #[error]x"),
    ("step 3: ##vso[task.setvariable variable=a]b", "step 3: # #vso[task.setvariable variable=a]b"),
    ("##VSO[task.logissue]x ##[group]y", "# #VSO[task.logissue]x # #[group]y"),
    ("####[error]x", "### #[error]x"),
]


@pytest.mark.parametrize(("text", "harmless"), COMMANDS)
def test_what_a_ci_service_obeys_in_the_middle_of_a_line_is_taken_apart(text, harmless):
    assert defused(text) == harmless
    assert defused(harmless) == harmless


@pytest.mark.parametrize("text", ["## Heading", "a##b", "C# [x]", "#[derive(Debug)]", "::error::x"])
def test_other_text_stays_as_it_is(text):
    assert defused(text) == text


def test_an_escape_inside_a_command_does_not_hide_it():
    assert clean("#\x1b[31m#[error]x") == "# #[error]x"
    assert clean("##\x00vso[task.complete]") == "# #vso[task.complete]"
    assert shown("#\x1b[31m#[error]x") == "# #[error]x"


def test_no_part_of_an_error_holds_a_command():
    error = ArtifactError("file ##[error]a", details="x\n##vso[b]c", hint="remove ##[error]a")
    assert "##" not in error.report()
    assert "##" not in DockerbinError.__str__(error)
    assert type(error).from_json(error.to_json()).report() == error.report()
