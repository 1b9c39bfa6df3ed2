"""Writing an image as an OCI layout: a folder that any engine and BuildKit can read."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
# Not compressed: the layer is read back on the same machine, soon and often.
_LAYER = "application/vnd.oci.image.layer.v1.tar"

Descriptor = dict[str, Any]


class BlobWriter:
    """A new blob: written like a file, then named after its checksum."""

    def __init__(self, layout: Path) -> None:
        """Open a blob below the layout's folder."""
        self._blobs = layout / "blobs" / "sha256"
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._path = self._blobs / ".new"
        self._file = self._path.open("wb")
        self._hash = hashlib.sha256()
        self._size = 0
        self.digest = ""

    def write(self, data: bytes) -> int:
        """Append to the blob."""
        self._hash.update(data)
        self._size += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Return how much was written."""
        return self._size

    def __enter__(self) -> Self:
        """Use as a context manager; its end gives the blob its name."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Name the blob after its checksum, or forget it."""
        self._file.close()
        if kind is None:
            self._path.replace(self._blobs / self._hash.hexdigest())
            self.digest = f"sha256:{self._hash.hexdigest()}"
        else:
            self._path.unlink(missing_ok=True)

    def descriptor(self, media_type: str) -> Descriptor:
        """Return what other documents call this blob by."""
        return {"mediaType": media_type, "digest": self.digest, "size": self._size}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One platform of an image: its layer and its settings."""

    architecture: str
    layer: Descriptor
    settings: Mapping[str, Any] = field(default_factory=dict)


def layer_descriptor(blob: BlobWriter) -> Descriptor:
    """Return the descriptor of a finished layer."""
    return blob.descriptor(_LAYER)


def write_layout(layout: Path, name: str, variants: Sequence[Variant]) -> str:
    """Finish a layout whose layers are written already; return the image's digest.

    Args:
        layout: the folder.
        name: the image's full name, with registry and tag.
        variants: its platforms.
    """
    manifests = []
    for variant in variants:
        platform = {"architecture": variant.architecture, "os": "linux"}
        if variant.architecture == "arm":
            platform["variant"] = "v7"
        config = _document(
            layout,
            _CONFIG,
            {
                **platform,
                "config": dict(variant.settings),
                "rootfs": {"type": "layers", "diff_ids": [variant.layer["digest"]]},
            },
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": config,
            "layers": [variant.layer],
        }
        manifests.append({**_document(layout, _MANIFEST, manifest), "platform": platform})
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
    image = _document(layout, _INDEX, index)
    named = {
        **image,
        "annotations": {
            # The first is read by `docker load`, the second by --build-context oci-layout://.
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        },
    }
    _write(layout / "index.json", {**index, "manifests": [named]})
    _write(layout / "oci-layout", {"imageLayoutVersion": "1.0.0"})
    return str(image["digest"])


def digest(layout: Path) -> str:
    """Return the digest of the image in a layout, or an empty text without one."""
    try:
        index: dict[str, Any] = json.loads((layout / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(index["manifests"][0]["digest"])


def stream(layout: Path, target: Any) -> None:  # noqa: ANN401 - a pipe, or any open file
    """Write the layout as a tar archive, as `docker load` reads it."""
    with tarfile.open(fileobj=target, mode="w|", bufsize=1 << 20) as archive:
        # The documents first: a reader of a stream can only go forward.
        for name in ("oci-layout", "index.json", "blobs"):
            archive.add(layout / name, arcname=name)


def _document(layout: Path, media_type: str, contents: Mapping[str, Any]) -> Descriptor:
    with BlobWriter(layout) as blob:
        blob.write(json.dumps(contents, sort_keys=True).encode())
    return blob.descriptor(media_type)


def _write(path: Path, contents: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(contents, indent=2) + os.linesep, encoding="utf-8")
