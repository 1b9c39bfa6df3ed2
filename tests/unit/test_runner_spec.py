"""How runners are written, and which one counts."""

from __future__ import annotations

import pytest

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runner_spec import RunnerSpec, Way, read_runners
from pytest_dockerbin.settings import Settings

ARM64 = Platform.parse("linux/arm64")
S390X = Platform.parse("linux/s390x")


def executable(file):
    file.touch(mode=0o755)
    return file


@pytest.mark.parametrize("word", ["auto", "native", "binfmt", "qemu", "container", "none"])
def test_a_word_is_a_runner(word):
    spec = RunnerSpec.parse(f" {word.upper()} ")
    assert (spec.way, spec.words, spec.path, spec.name) == (Way(word), (), None, "")
    assert str(spec) == word.upper()


def test_words_for_qemu_are_split_as_a_shell_does():
    spec = RunnerSpec.parse("qemu:-cpu max,sve=off -E 'A=b c'")
    assert (spec.way, spec.words) == (Way.QEMU, ("-cpu", "max,sve=off", "-E", "A=b c"))


def test_an_emulator_s_file_is_named_after_an_equals_sign(tmp_path):
    file = executable(tmp_path / "my qemu")
    assert RunnerSpec.parse(f"qemu={file}").path == file
    assert RunnerSpec.parse("qemu=my qemu", base=tmp_path).path == file


@pytest.mark.parametrize(
    ("text", "way", "name"),
    [
        ("container:debian:12", Way.CONTAINER, "debian:12"),
        ("docker:arm-board", Way.DOCKER, "arm-board"),
    ],
)
def test_an_image_or_a_context_is_named_after_a_colon(text, way, name):
    spec = RunnerSpec.parse(text)
    assert (spec.way, spec.name) == (way, name)


def test_anything_else_is_a_command_that_is_there(tmp_path):
    assert RunnerSpec.parse("env -u HOME 'a b'").words == ("env", "-u", "HOME", "a b")
    assert RunnerSpec.parse("env").way is Way.COMMAND
    executable(tmp_path / "wrap")
    wrap = RunnerSpec.parse("./wrap --flag", base=tmp_path)
    assert wrap.words == (str(tmp_path / "wrap"), "--flag")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qmeu", "unknown runner 'qmeu'; did you mean 'qemu'?"),
        ("bin-fmt", "unknown runner 'bin-fmt'; did you mean 'binfmt'?"),
        ("xyzzy --flag", "unknown runner 'xyzzy --flag'; expected auto, native, binfmt, "),
        ("", "unknown runner ''; expected auto, native, binfmt, "),
        ("qemu:", "'qemu:': expected options of qemu, such as qemu:-cpu cortex-a53"),
        ("qemu:cortex-a53", "'qemu:cortex-a53': expected options of qemu, such as "),
        ("qemu:-cpu 'x", '"-cpu \'x": no closing quotation'),
        ("qemu=", "'qemu=': expected qemu=PATH of an emulator"),
        ("container:", "'container:': expected container:IMAGE"),
        ("/no/such --x", "'/no/such --x': there is no executable file '/no/such'"),
        ("/etc/passwd", "'/etc/passwd': there is no executable file '/etc/passwd'"),
        ("docker:a b", "'docker:a b': expected docker:CONTEXT"),
        ("docker:--x", "'docker:--x': expected docker:CONTEXT"),
        (None, "runner=None: expected text such as 'qemu'"),
        (1, "runner=1: expected text such as 'qemu'"),
    ],
)
def test_nonsense_is_one_line(text, message):
    with pytest.raises(SettingsError) as caught:
        RunnerSpec.parse(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def read(*texts):
    found = read_runners(texts, "here")
    return [(platform and str(platform), str(spec)) for platform, spec in found]


def test_a_platform_may_stand_before_a_runner(tmp_path):
    file = executable(tmp_path / "x=y")
    assert read("arm64=qemu") == [("linux/arm64", "qemu")]
    assert read("native=qemu") == [(str(Platform.host()), "qemu")]
    assert read(f"linux/arm64=qemu={file}") == [("linux/arm64", f"qemu={file}")]
    assert read(f"qemu={file}") == [(None, f"qemu={file}")]
    assert read("env A=b") == [(None, "env A=b")]


def test_lines_and_commas_before_a_platform_separate_runners():
    assert read("linux/arm64=qemu:-cpu max,sve=off\nlinux/s390x=none\n\n") == [
        ("linux/arm64", "qemu:-cpu max,sve=off"),
        ("linux/s390x", "none"),
    ]
    assert read("linux/arm/v7=qemu, linux/s390x=none") == [
        ("linux/arm/v7", "qemu"),
        ("linux/s390x", "none"),
    ]


def test_of_two_for_the_same_platform_the_last_counts():
    assert read("qemu", "arm64=binfmt", "linux/arm64=none", "auto") == [
        ("linux/arm64", "none"),
        (None, "auto"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("linux/amr64=qemu", "here: unknown platform 'linux/amr64'; did you mean 'linux/arm64'?"),
        ("linux/arm64=qmeu", "here: unknown runner 'qmeu'; did you mean 'qemu'?"),
        ("linux/*=qemu", "here: 'linux/*' is not one platform; expected one, such as linux/arm64"),
        ("\n", "here: expected [PLATFORM=]RUNNER, such as linux/arm64=qemu"),
    ],
)
def test_an_error_says_where(text, message):
    with pytest.raises(SettingsError) as caught:
        read(text)
    assert str(caught.value) == message


def test_a_platform_s_own_runner_wins_over_that_of_all():
    settings = Settings(runners=read_runners(["none", "arm64=qemu"], "here"))
    assert settings.runner_for(ARM64).way is Way.QEMU
    assert settings.runner_for(S390X).way is Way.NONE
    assert Settings().runner_for(S390X).way is Way.AUTO


def test_what_one_source_leaves_open_the_next_says():
    option, ini = (read_runners([text], "here") for text in ("arm64=qemu", "binfmt"))
    settings = Settings(runners=option + ini)
    assert settings.runner_for(ARM64).way is Way.QEMU
    assert settings.runner_for(S390X).way is Way.BINFMT
