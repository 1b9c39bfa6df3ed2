"""Asks the Docker Engine itself, through docker-py, which follows the docker command's context."""

from __future__ import annotations

import os


def unreachable() -> str | None:
    """Return why the Docker Engine does not answer, in one line, or None when it does."""
    import docker  # noqa: PLC0415 (104-200 ms; only a failed build pays them)
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except DockerException as error:
        return _innermost(error)
    except OSError as error:  # requests' errors are OSErrors
        return _innermost(error)
    return None


def _innermost(error: BaseException) -> str:
    """Return the text of the first cause: docker-py wraps it in up to four others."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    where = os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT")
    return " ".join(f"{where}: {text}".split() if where else text.split())
