"""The Docker Engine's API: an engine that is a script answers, and refuses."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pytest_dockerbin.engine import EMPTY, Engine, unreachable
from pytest_dockerbin.errors import ArtifactError, EngineError
from pytest_dockerbin.platforms import Platform

HOST = Platform.host()
INFO = {"OSType": "linux", "Architecture": "x86_64"}
VERSION = {"ApiVersion": "1.51", "MinAPIVersion": "1.24", "Version": "28.5.2"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.rfile.read(length)
        path = re.sub(r"^/v[\d.]+|\?.*", "", self.path)
        self.server.calls.append(f"{self.command} {path}")
        status, said = self.server.said.get(path, (200, {}))
        if isinstance(status, list):
            status = status.pop(0) if len(status) > 1 else status[0]
        if status is None:  # it goes away
            self.close_connection = True
            return
        if status >= 300:
            said = {"message": "refused"}
        self.close_connection = True
        lines = [json.dumps(line).encode() for line in (said if isinstance(said, list) else [said])]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in [*lines, b""]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    do_GET = do_POST = answer  # noqa: N815 (http.server's names)

    def log_message(self, *_):
        pass


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """An engine at DOCKER_HOST: ``said`` has status and answer of paths, ``calls`` what came."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    with HTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor() as pool:
        server.calls = []
        server.said = {"/version": (200, VERSION), "/info": (200, INFO), "/_ping": (200, "OK")}
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        serving = pool.submit(server.serve_forever, 0.05)
        yield server
        server.shutdown()
        serving.result()


@pytest.fixture
def asked(engine):
    made = Engine()
    engine.calls.clear()
    yield made
    made.close()


def create(asked, image):
    asked.create(
        "c1", image=image, platform=HOST, command=["/idle"], volumes=["/tree"], labels={"a": "b"}
    )


def test_an_engine_that_answers_is_reachable(engine):
    assert unreachable() is None
    assert engine.calls[-1] == "GET /_ping"


@pytest.mark.parametrize(
    ("status", "why"),
    [(500, "refused"), (None, "Remote end closed connection without response")],
)
def test_why_an_engine_is_not_reachable_is_told_with_its_address(engine, status, why):
    engine.said["/_ping"] = (status, {})
    assert unreachable().startswith(f"tcp://127.0.0.1:{engine.server_port}: {why}")


def test_the_empty_image_is_made_where_it_is_not_there(engine, asked):
    engine.said["/containers/create"] = ([404, 201], {"Id": "1"})
    create(asked, EMPTY)
    assert engine.calls == [
        "POST /containers/create",
        "POST /images/create",
        "POST /containers/create",
    ]


def test_an_image_that_is_not_there_is_pulled_for_the_platform(engine, asked):
    engine.said["/containers/create"] = ([404, 201], {"Id": "1"})
    engine.said["/images/host/app:latest/json"] = (200, {"Id": "2"})
    create(asked, "host/app")
    assert engine.calls[:2] == ["POST /containers/create", "POST /images/create"]
    assert engine.calls[-1] == "POST /containers/create"


def test_an_image_that_can_t_be_pulled_is_told_with_how_to_put_it_there(engine, asked):
    engine.said["/containers/create"] = (404, {})
    engine.said["/images/create"] = (500, {})
    with pytest.raises(EngineError) as caught:
        create(asked, "host/app")
    assert caught.value.summary == (
        f"the Docker Engine has no image 'host/app' for {HOST}, and can't pull it: refused"
    )


def test_what_an_engine_refuses_is_told_in_its_words(engine, asked):
    engine.said["/containers/c1/start"] = (500, {})
    with pytest.raises(EngineError) as caught:
        asked.start("c1")
    assert caught.value.summary == "the Docker Engine refused: refused"


def test_an_engine_that_goes_away_is_told(engine, asked):
    engine.said["/containers/c1/start"] = (None, {})
    with pytest.raises(EngineError, match="Docker daemon"):
        asked.start("c1")


def test_an_archive_has_to_be_one_image(engine, asked, tmp_path):
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"tar")
    lines = [{"stream": f"Loaded image: {name}\n"} for name in ("a:1", "b:1")]
    engine.said["/images/load"] = (200, lines)
    for name in ("a", "b"):
        engine.said[f"/images/{name}:1/json"] = (200, {"Id": name})
    with pytest.raises(ArtifactError) as caught:
        asked.load(archive, "name:1")
    assert caught.value.summary == "the engine finds no image in image.tar: there are 2 in it"
    engine.said["/images/load"] = (200, [{"errorDetail": {"message": "no image format"}}])
    with pytest.raises(ArtifactError, match=r"image\.tar: no image format"):
        asked.load(archive, "name:1")
