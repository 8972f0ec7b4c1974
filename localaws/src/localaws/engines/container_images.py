"""Container images as folders: the layers of an image, one over the other, as a function finds them.

Faithful to: layers in their order, with their whiteouts and opaque folders; permissions, and symbolic and
hard links; Docker's and OCI's media types, uncompressed and gzip.
Not to: owners: all files belong to who runs the server. Devices and extended attributes are left out.

https://github.com/opencontainers/image-spec/blob/main/layer.md
https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
# Where Python has it (since 3.11.4), so that its own default, which refuses absolute links, is not taken.
_FILTER: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
#: Machines by the names that images have for them.
MACHINES = {"amd64": "x86_64", "arm64": "arm64"}


@dataclass(frozen=True)
class Image:
    """An image that is unpacked.

    Attributes:
        root: The folder of its files.
        architecture: As Lambda calls it: `x86_64` or `arm64`.
        settings: The part `config` of its configuration: `Env`, `Cmd`, `Entrypoint`, `WorkingDir`.
    """

    root: Path
    architecture: str
    settings: Mapping[str, Any]


_unpacked: dict[str, Image] = {}


def unpacked(digest: str) -> Image:
    """An image that `unpack` was given.

    Raises:
        KeyError: It was not.
    """
    return _unpacked[digest]


def unpack(digest: str, manifest: Mapping[str, Any], blobs: Mapping[str, bytes]) -> Image:
    """Unpack an image, unless it is unpacked.

    Args:
        digest: That of its manifest.
        manifest: The manifest.
        blobs: Its configuration and its layers, by their digests.

    Raises:
        ValueError: It is not an image for one platform.
        KeyError: A blob is missing.
    """
    if digest in _unpacked:
        return _unpacked[digest]
    config = json.loads(blobs[manifest["config"]["digest"]])
    if config.get("os") != "linux" or config.get("architecture") not in MACHINES:
        raise ValueError(f"{config.get('os')}/{config.get('architecture')} is no platform of Lambda")
    folder = Path(tempfile.gettempdir(), "lambda-images", digest.partition(":")[2][:32])
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent))
        draft.chmod(0o755)
        for layer in manifest["layers"]:
            _apply(blobs[layer["digest"]], draft)
        try:
            draft.rename(folder)
        except OSError:  # another deployment was faster
            shutil.rmtree(draft, ignore_errors=True)
    image = Image(folder, MACHINES[config["architecture"]], config.get("config") or {})
    return _unpacked.setdefault(digest, image)


def _apply(layer: bytes, root: Path) -> None:
    """Unpack a layer over those below it."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            target = root / path.relative_to("/") if path.is_absolute() else root / path
            if path.name == _OPAQUE:
                for below in target.parent.iterdir() if target.parent.is_dir() else ():
                    _remove(below)
            elif path.name.startswith(_WHITEOUT):
                _remove(target.with_name(path.name.removeprefix(_WHITEOUT)))
            elif member.isreg() or member.isdir() or member.issym() or member.islnk():
                if target.is_symlink() or (target.exists() and not (target.is_dir() and member.isdir())):
                    _remove(target)
                _check_inside(member, root)
                archive.extract(member, root, set_attrs=not member.issym(), **_FILTER)


def _check_inside(member: tarfile.TarInfo, root: Path) -> None:
    """Refuse what leads out of the folder, as the filter does, which Python has since 3.11.4 only."""
    for name in (member.name, member.linkname if member.islnk() else ""):
        if not (root / name.lstrip("/")).resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{member.name} leads out of the image")
    member.name = member.name.lstrip("/")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
