"""Asks the Docker Engine itself, through docker-py, which follows the docker command's context."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_dockerbin.archive import archive_of_programs
from pytest_dockerbin.errors import ArtifactError, EngineError, SettingsError
from pytest_dockerbin.platforms import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docker.errors import APIError

EMPTY = "pytest-dockerbin-empty:1"
"""The image with nothing but ``/tmp``, which is made where it is not there yet."""

_PATIENCE = 60  # seconds for one answer


def unreachable() -> str | None:
    """Return why the Docker Engine does not answer, in one line, or None when it does."""
    import docker  # noqa: PLC0415 (104-200 ms; only a failed build pays them)
    from docker.errors import APIError, DockerException  # noqa: PLC0415

    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except APIError as error:  # it answers, and refuses
        return _at_its_place(_words_of(error))
    except (DockerException, OSError) as error:  # requests' errors are OSErrors
        return _innermost(error)
    return None


class Engine:
    """A Docker Engine, as far as containers need it.

    Args:
        context: the docker context that leads to it; the docker command's own when empty.

    Raises:
        EngineError: no engine answers.
        SettingsError: there is no such context.
    """

    def __init__(self, context: str = "") -> None:
        import docker  # noqa: PLC0415 (104-200 ms; only those who use containers pay them)
        from docker.context import ContextAPI  # noqa: PLC0415

        given = {"timeout": _PATIENCE, "use_ssh_client": True}
        with _asking():
            if context and ContextAPI.get_context(context) is None:  # docker-py takes another
                raise _unknown(context)
            if context:
                self._client = docker.DockerClient.from_context(context, **given)
            else:
                self._client = docker.from_env(**given)
            info = self._client.info()
        self._api = self._client.api
        self.platform = Platform.parse(f"{info['OSType']}/{info['Architecture']}")
        local = ("http+docker://localhost", "http+docker://localnpipe")  # a socket, or a pipe
        self.local = self._api.base_url in local

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def create(
        self,
        name: str,
        *,
        image: str,
        platform: Platform,
        command: Sequence[str],
        volumes: Sequence[str],
        labels: Mapping[str, str],
    ) -> None:
        """Make a container; its image is pulled if it is not there.

        Args:
            name: the container's.
            image: `EMPTY`, or an image as docker names it.
            platform: which of the image's platforms.
            command: what it runs, whatever the image says of that.
            volumes: folders that other containers can have too.
            labels: the container's.

        Raises:
            EngineError: there is no such image for the platform, or the engine refused.
        """
        from docker.errors import NotFound  # noqa: PLC0415
        from docker.types import Ulimit  # noqa: PLC0415

        config: dict[str, Any] = {
            "image": image,
            "name": name,
            "entrypoint": list(command),
            "healthcheck": {"test": ["NONE"]},
            "labels": dict(labels),
            "volumes": list(volumes),
            "use_config_proxy": False,
            "host_config": self._api.create_host_config(
                # servers are reached at 127.0.0.1, as on this host
                network_mode="host" if self.local else None,
                ulimits=[Ulimit(name="core", soft=0, hard=0)],
            ),
            **({} if image == EMPTY else {"platform": str(platform)}),
        }
        with _asking():
            try:
                self._api.create_container(**config)
            except NotFound:  # or it is another platform's
                self._fetch(image, platform)
                self._api.create_container(**config)

    def _fetch(self, image: str, platform: Platform) -> None:
        from docker.errors import APIError  # noqa: PLC0415

        if image != EMPTY:
            try:
                self._client.images.pull(image, platform=str(platform))
            except APIError as error:
                raise EngineError.no_image(image, str(platform), _words_of(error)) from None
            return
        name, _, tag = EMPTY.partition(":")
        data = archive_of_programs({}, {"tmp": 0o1777}).read()
        label = "LABEL description='made by pytest-dockerbin'"
        self._api.import_image_from_data(data, repository=name, tag=tag, changes=[label])

    def load(self, archive: Path, name: str) -> None:
        """Load the archive of an image and give it a name.

        Raises:
            ArtifactError: there is not one image in it.
            EngineError: the engine refused.
        """
        from docker.errors import ImageLoadError  # noqa: PLC0415

        with archive.open("rb") as file, _asking():
            try:
                loaded = self._client.images.load(file)
            except ImageLoadError as error:
                raise ArtifactError.no_image(archive, str(error)) from None
            if len(loaded) != 1:
                raise ArtifactError.no_image(archive, f"there are {len(loaded)} in it")
            loaded[0].tag(name)

    def remove_image(self, name: str) -> None:
        """Take an image's name away, and the image where it has no other."""
        with _asking():
            self._api.remove_image(name)

    def put(self, name: str, archive: IO[bytes]) -> None:
        """Unpack a tar archive into a container's ``/``; one that does not run, too."""
        with _asking():
            self._api.put_archive(name, "/", archive)

    def has(self, name: str, path: str) -> bool:
        """Tell whether there is something at a path of a container."""
        from docker.errors import NotFound  # noqa: PLC0415

        with _asking():
            try:
                stream, _ = self._api.get_archive(name, path)
                for _ in stream:  # what is not read would leave the connection open
                    pass
            except NotFound:
                return False
        return True

    def start(self, name: str) -> None:
        """Start a container."""
        with _asking():
            self._api.start(name)

    def kill(self, name: str) -> None:
        """End all that runs in a container; its files stay."""
        with _asking():
            self._api.kill(name)
            self._api.wait(name)

    def execute(self, name: str, command: Sequence[str]) -> None:
        """Run a command in a container as its root, to its end."""
        with _asking():
            made = self._api.exec_create(name, list(command), user="0")
            self._api.exec_start(made["Id"])

    def commands(self, name: str) -> list[str]:
        """Return the command line of each process that runs in a container."""
        with _asking():
            return [words[-1] for words in self._api.top(name, "-eo pid,args")["Processes"]]

    def remove(self, name: str) -> None:
        """End and remove a container with its volumes; one that is not there, too."""
        from docker.errors import NotFound  # noqa: PLC0415

        with _asking():
            try:
                self._api.remove_container(name, force=True, v=True)
            except NotFound:
                return

    def remove_labelled(self, label: str) -> None:
        """End and remove the containers with a label."""
        with _asking():
            found = self._api.containers(all=True, filters={"label": label})
        for container in found:
            with suppress(EngineError):  # it is being removed already
                self.remove(container["Id"])


def _unknown(context: str) -> SettingsError:
    from docker.context.config import get_meta_dir  # noqa: PLC0415
    from docker.utils.config import find_config_file  # noqa: PLC0415

    if find_config_file():
        files = Path(get_meta_dir()).glob("*/meta.json")  # ContextAPI would leave them open
        names = [json.loads(file.read_text())["Name"] for file in files]
        return SettingsError.unknown("docker context", context, ["default", *names])
    folder = os.environ.get("DOCKER_CONFIG") or "~/.docker"
    return SettingsError(
        f"docker context {context!r}: docker-py reads contexts where there is a config.json only; "
        f"make one: echo '{{}}' > {folder}/config.json"
    )


@contextmanager
def _asking() -> Iterator[None]:
    """Turn what docker-py raises into an error of this package."""
    from docker.errors import APIError, DockerException  # noqa: PLC0415

    try:
        yield
    except APIError as error:
        raise EngineError.refused(_words_of(error)) from None
    except (DockerException, OSError) as error:
        raise EngineError.no_daemon(_innermost(error)) from None


def _words_of(error: APIError) -> str:
    return " ".join(str(error.explanation or error).split())


def _innermost(error: BaseException) -> str:
    """Return the text of the first cause: docker-py wraps it in up to four others."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return _at_its_place(text)


def _at_its_place(text: str) -> str:
    where = os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT")
    return " ".join(f"{where}: {text}".split() if where else text.split())
