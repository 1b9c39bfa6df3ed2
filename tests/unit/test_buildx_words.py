"""How buildx is called: by its own file only where docker itself would surely run that one."""

from __future__ import annotations

import json
import socket

import pytest

from pytest_dockerbin.buildx.docker import buildx_words, find_docker, is_down
from pytest_dockerbin.errors import EngineError
from pytest_dockerbin.surroundings import Surroundings, kept

PROGRAM = b"\x7fELF and so on"


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def docker(bin_folder):
    """What looks like Docker's own command line."""
    path = bin_folder / "docker"
    path.write_bytes(PROGRAM)
    path.chmod(0o755)
    return path


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """What looks like a buildx of the user's own."""
    path = tmp_path / "config" / "cli-plugins" / "docker-buildx"
    path.parent.mkdir(parents=True)
    path.write_bytes(PROGRAM)
    path.chmod(0o755)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return path


def test_the_plugin_s_file_is_called_where_docker_would_call_it(docker, plugin):
    assert buildx_words() == [str(plugin)]


def test_a_script_in_docker_s_place_sees_the_call(docker, plugin):
    docker.write_text("#!/bin/sh\nexec podman $@\n")
    assert buildx_words() == [str(docker), "buildx"]


def test_a_program_of_another_name_in_docker_s_place_sees_the_call(docker, plugin):
    docker.rename(docker.with_name("snap"))
    docker.symlink_to("snap")
    assert buildx_words() == [str(docker), "buildx"]


def test_options_of_docker_s_own_are_given_to_docker(docker, plugin):
    assert buildx_words(("--context=far",)) == [str(docker), "--context=far", "buildx"]


def test_plugin_folders_that_only_docker_knows_are_left_to_docker(docker, plugin):
    config = plugin.parents[1] / "config.json"
    config.write_text(json.dumps({"cliPluginsExtraDirs": ["/opt/plugins"]}))
    assert buildx_words() == [str(docker), "buildx"]
    config.write_text(json.dumps({"currentContext": "far"}))
    assert buildx_words() == [str(plugin)]


def test_docker_says_itself_what_is_wrong_with_a_plugin(docker, plugin):
    plugin.unlink()
    plugin.symlink_to("nowhere")
    assert buildx_words() == [str(docker), "buildx"]


def test_without_docker_nothing_is_called(bin_folder, plugin):
    with pytest.raises(EngineError, match="docker"):
        buildx_words()


def test_a_build_keeps_the_environment_that_it_was_asked_for_in(docker, monkeypatch):
    """A test that another PATH is set for must not take docker from a build in the background."""
    now = Surroundings.now()
    monkeypatch.setenv("PATH", "/nowhere")
    with kept(now):
        assert find_docker() == str(docker)
    with pytest.raises(EngineError):
        find_docker()


def test_an_engine_is_down_where_nobody_listens_at_its_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path may have 107 bytes only
    monkeypatch.setenv("DOCKER_HOST", "unix://engine.sock")
    assert is_down()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("engine.sock")
        server.listen()
        assert not is_down()
    assert is_down()


def test_of_an_engine_elsewhere_it_is_not_known(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:1")
    assert not is_down()
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert not is_down()
