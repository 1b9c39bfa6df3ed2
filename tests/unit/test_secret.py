"""What is known of a secret without its value, and what is not done without its value."""

from __future__ import annotations

import copy
import os
import pickle
from dataclasses import replace

import pytest

from pytest_dockerbin.build_settings import read_settings, spec_of
from pytest_dockerbin.buildx.command import arguments
from pytest_dockerbin.errors import SecretError, SettingsError, UnavailableError
from pytest_dockerbin.fingerprint import fingerprint_inputs
from pytest_dockerbin.job import Job
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.secret import Secret, find_agents, read_values, variables
from pytest_dockerbin.settings import Settings

CANARY = "canary-4711"
AMD = Platform.parse("linux/amd64")


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


def read(base, **given):
    return read_settings({"secrets": given}, base=base, where="here")["secrets"]


def spec_with(context, **given):
    return spec_of({"context": context, "secrets": read(context, **given)})


# -- Secret ---------------------------------------------------------------------------------------


def test_a_secret_shows_its_value_to_nobody_but_who_asks_for_it():
    secret = Secret(CANARY)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>30}", f"{[secret]}"):
        assert CANARY not in shown
        assert "***" in shown
    assert secret.reveal() == CANARY


def test_secrets_are_equal_by_value_and_never_equal_to_text():
    assert Secret(CANARY) == Secret(CANARY)
    assert hash(Secret(CANARY)) == hash(Secret(CANARY))
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY


@pytest.mark.parametrize("write_down", [pickle.dumps, copy.deepcopy])
def test_a_secret_is_not_written_down(write_down):
    with pytest.raises(TypeError, match="can't be pickled"):
        write_down(Secret(CANARY))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, TypeError),
        (CANARY.encode(), TypeError),
        (f"{CANARY}\0", ValueError),
        (f"{CANARY}\ud800", ValueError),
    ],
)
def test_what_can_t_be_handed_to_docker_is_refused_without_being_shown(value, error):
    with pytest.raises(error, match="a Secret ") as caught:
        Secret(value)
    assert CANARY not in str(caught.value)
    # ValueError's subclass for text that can't be encoded carries the text
    assert type(caught.value) is error


# -- the setting ----------------------------------------------------------------------------------


def test_each_kind_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    secret = Secret(CANARY)
    assert read(tmp_path, z="env:TOKEN", b="file:keys/b", a="file:~/a", s=secret) == (
        ("a", "file:/home/me/a"),
        ("b", f"file:{tmp_path}/keys/b"),
        ("s", secret),
        ("z", "env:TOKEN"),
    )


def test_lines_of_an_ini_file_are_read(tmp_path):
    lines = ["token=env:TOKEN", "key = file:k=y"]
    assert read_settings({"secrets": lines}, base=tmp_path, where="ini dockerbin_secrets") == {
        "secrets": (("key", f"file:{tmp_path}/k=y"), ("token", "env:TOKEN"))
    }


FORMS = '"env:NAME", "file:PATH" or pytest_dockerbin.Secret(...)'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"token": CANARY}, f"{FORMS} for 'token'"),
        ({"token": f"value:{CANARY}"}, f"{FORMS} for 'token'"),
        ({"token": CANARY.encode()}, f"{FORMS} for 'token'"),
        ({"token": None}, f"{FORMS} for 'token'"),
        ({"token": f"env:{CANARY}"}, "env:NAME for 'token'"),
        ({"token": "env:"}, "env:NAME for 'token'"),
        ({"token": "file:"}, "a path"),
        ({"token": f"file:{CANARY}\a"}, "a path"),
        ({"": CANARY}, f"a mapping of ids to {FORMS}"),
        ({3: CANARY}, f"a mapping of ids to {FORMS}"),
        (CANARY, f"a mapping of ids to {FORMS}"),
        ([CANARY], "ID=env:NAME or ID=file:PATH lines"),
        ([f"token={CANARY}"], f"{FORMS} for 'token'"),
    ],
)
def test_a_plain_value_is_refused_in_one_line_that_does_not_show_it(tmp_path, given, expected):
    with pytest.raises(SettingsError) as caught:
        read_settings({"secrets": given}, base=tmp_path, where="here")
    assert str(caught.value) == f"here: secrets: expected {expected}; what was given is not shown"


# -- specs, keys ----------------------------------------------------------------------------------


def test_a_spec_says_nothing_of_the_value(context):
    spec = spec_with(context, token=Secret(CANARY), other="env:TOKEN")
    for shown in (repr(spec), str(spec.to_json()), spec.label(), str(Job(spec, AMD))):
        assert CANARY not in shown
    assert spec.to_json()["secrets"] == [["other", "env:TOKEN"], ["token", "value"]]


def test_the_key_of_a_build_knows_ids_and_sources_but_no_value(context):
    specs = [
        spec_with(context),
        spec_with(context, a="env:TOKEN"),
        spec_with(context, b="env:TOKEN"),
        spec_with(context, a="env:OTHER"),
        spec_with(context, a="file:TOKEN"),
        spec_with(context, a=Secret("env:TOKEN")),
    ]
    assert len({spec.export_key() for spec in specs}) == len(specs)
    assert spec_with(context, a=Secret("x")).export_key() == specs[-1].export_key()


def test_the_key_of_a_stored_result_knows_ids_and_kinds_only(context, tmp_path):
    def key(**given):
        return Job.of(spec_with(context, **given), AMD, Settings()).entry_key("inputs")

    different = [key(), key(a="env:T"), key(b="env:T"), key(a="file:T"), key(a=Secret("env:T"))]
    assert len(set(different)) == len(different)
    assert key(a="env:T") == key(a="env:OTHER")
    assert key(a="file:T") == key(a=f"file:{tmp_path}/elsewhere")
    assert key(a=Secret("x")) == key(a=Secret("y"))


@pytest.mark.parametrize("name", ["token", "link"])
def test_the_content_of_a_secret_s_file_in_the_context_does_not_count(context, tmp_path, name):
    token = context / "token"
    token.write_text("one")
    (tmp_path / "link").symlink_to(token)
    where = {"token": token, "link": tmp_path / "link"}[name]
    secret, plain = spec_with(context, a=f"file:{where}"), spec_with(context)
    before = fingerprint_inputs(secret), fingerprint_inputs(plain)
    token.write_text("another")
    assert fingerprint_inputs(secret) == before[0]
    assert fingerprint_inputs(plain) != before[1]
    token.rename(context / "renamed")
    assert fingerprint_inputs(secret) != before[0]


# -- docker's command -----------------------------------------------------------------------------


def test_docker_is_told_where_values_are_and_gets_those_that_are_nowhere_as_variables(context):
    odd = Secret(CANARY)
    spec = spec_with(context, a="env:TOKEN", b=odd, c='file:/k,src=/etc/x"y', **{'d,"e': "env:D"})
    words = arguments(spec, AMD, spec.dockerfile, dest="out")
    assert [word for word in words if word.startswith("--secret")] == [
        "--secret=id=a,env=TOKEN",
        "--secret=id=b,env=PYTEST_DOCKERBIN_SECRET_1",
        '--secret=id=c,"src=/k,src=/etc/x""y"',
        '--secret="id=d,""e",env=D',
    ]
    assert variables(spec.secrets) == {"PYTEST_DOCKERBIN_SECRET_1": odd}


def test_values_are_read_from_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "a")
    (tmp_path / "b").write_bytes(b"\xff\n")
    assert read_values(read(tmp_path, a="env:TOKEN", b="file:b", c=Secret("ü"))) == (
        b"a",
        b"\xff\n",
        "ü".encode(),
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("env:UNSET", "the variable UNSET is not set"),
        ("env:EMPTY", "the variable EMPTY is empty"),  # as a fork's workflow has it
        ("file:nothing", "there is no file '{}/nothing'"),
        ("file:folder", "there is no file '{}/folder'"),
        ("file:pipe", "there is no file '{}/pipe'"),
        (Secret(""), "the Secret is empty"),
    ],
)
def test_a_secret_without_a_value_is_something_that_is_missing(tmp_path, monkeypatch, source, why):
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.setenv("EMPTY", "")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SecretError) as caught:
        read_values(read(tmp_path, token=source))
    assert caught.value.summary == f"the secret 'token' is missing: {why.format(tmp_path)}"
    assert isinstance(caught.value, UnavailableError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_can_t_be_read_is_missing_too(tmp_path):
    (tmp_path / "token").touch(0)
    with pytest.raises(SecretError, match="token' can't be read: Permission denied"):
        read_values(read(tmp_path, token="file:token"))


def test_an_empty_file_is_a_value(tmp_path):
    """A settings file may be empty, such as .npmrc; nobody sets a variable to nothing."""
    (tmp_path / "npmrc").touch()
    assert read_values(read(tmp_path, npmrc="file:npmrc")) == (b"",)


def test_a_secret_may_take_another_s_place_in_a_spec(context):
    spec = spec_with(context, a=Secret("x"))
    assert replace(spec, secrets=read(context, a=Secret("x"))) == spec
    assert hash(spec) == hash(replace(spec))


def test_an_agent_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(SecretError, match="SSH_AUTH_SOCK is not set"):
        find_agents([("default", "")])
    with pytest.raises(SecretError, match=r"there is no .*/key"):
        find_agents([("git", str(tmp_path / "key"))])
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "socket"))
    with pytest.raises(SecretError, match=r"there is no .*/socket"):
        find_agents([("default", "")])
    (tmp_path / "socket").touch()
    find_agents([("default", "")])


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux's /proc")  # noqa: PTH110
def test_a_file_that_can_t_be_read_is_missing():
    with pytest.raises(SecretError, match="'/proc/self/mem' can't be read: "):
        read_values((("a", "file:/proc/self/mem"),))
