import os

import pytest
import wordcount

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")


@pytest.fixture(autouse=True)
def helper(dockerbin_binary, monkeypatch):
    """The package finds the helper of the test's platform: a path that runs, emulated or not."""
    monkeypatch.setenv("WORDCOUNT_HELPER", os.fspath(dockerbin_binary))


@pytest.mark.parametrize(
    ("text", "words"), [("", 0), ("one", 1), (" two  words\n", 2), ("Zoë läuft", 2)]
)
def test_words_are_counted(text, words):
    assert wordcount.count(text) == words


def test_the_helper_needs_nothing_of_the_machine(dockerbin):
    dockerbin.binary().assert_static()
