"""What runs in an environment of a function from a container image.

Faithful to: `ENTRYPOINT`, `CMD`, `WORKDIR` and `ENV` of the image, and what the function has instead of each
of the first three; variables of the function over those of the image; the files of the image, read-only, over
those of this machine; `/opt/extensions` of the image; an image for another architecture than that of the
function, and an entrypoint that is not there, with the errors of Lambda.
Not to: the system of an image: its files are seen among those of this machine, whose interpreter, libraries
and programs are there. The architecture is what the image says; nothing is emulated. An image with a system
of its own, with thousands of files, is refused. It runs as this user, whatever `USER` says.

https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-images.html
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localaws.engines import container_images, namespaces
from localaws.engines.container_images import Image
from localaws.engines.namespaces import FileSystem

# What environments have themselves, in an image of any kind.
_NOT_FROM_IMAGES = ("/dev", "/proc", "/sys", "/tmp")  # noqa: S108
# Folders that an environment fills, and that an image may add to.
_SHARED = ("/mnt", "/var", "/var/lang", "/var/localaws", "/var/runtime")
_PACKAGES = f"/var/lang/lib/{namespaces.INTERPRETERS[-1].name}/site-packages"
_MOST_FILES = 500  # all of them are arguments of one program


class NoEntryPoint(Exception):
    """There is nothing to run; the text is that of Lambda where Lambda has one."""


@dataclass(frozen=True)
class Contents:
    """What an image adds to an environment.

    Attributes:
        command: The command of the runtime.
        system: The file system.
        variables: The environment variables of the image.
        handler: The command of the image.
        layers: The folder that is `/opt`.
    """

    command: tuple[str, ...]
    system: FileSystem
    variables: dict[str, str]
    handler: str
    layers: Path


def of(config: dict[str, Any], system: FileSystem) -> Contents:
    """What a function from an image has.

    Args:
        config: The configuration of the function.
        system: The file system that its environment has without the image.

    Raises:
        NoEntryPoint: The image is for another architecture, or has no entrypoint.
    """
    image = container_images.unpacked(f"sha256:{config['CodeSha256']}")
    own = (config.get("ImageConfigResponse") or {}).get("ImageConfig") or {}
    settings = image.settings
    variables = dict(one.split("=", 1) for one in settings.get("Env") or ())
    folder = str(own.get("WorkingDirectory") or settings.get("WorkingDir") or "/")
    command = own.get("Command") or settings.get("Cmd") or ()
    words = (*(own.get("EntryPoint") or settings.get("Entrypoint") or ()), *command)
    if not words or not _is_there(image, system, words[0], folder, variables.get("PATH", os.defpath)):
        raise NoEntryPoint(f"Couldn't find valid bootstrap(s): [{words[0] if words else ''}]")
    if "awslambdaric" in words:  # which AWS's interpreter has, with what pip installs
        variables.setdefault("PYTHONPATH", f"{_PACKAGES}:{namespaces.RUNTIME}")
    if image.architecture not in (config.get("Architectures") or ["x86_64"]):
        raise NoEntryPoint(f"fork/exec {words[0]}: exec format error")
    return Contents(words, _over(system, image, folder), variables, " ".join(command), image.root / "opt")


def _is_there(image: Image, system: FileSystem, program: str, folder: str, path: str) -> bool:
    """Whether a program is in the image, of its runtime, or on this machine."""
    places = [folder] if "/" in program else path.split(":")
    found = [Path(place, program) for place in places]
    own = {*namespaces.INTERPRETERS, *map(Path, system.files)}
    return any(_in(image, one) or one in own or one.exists() for one in found) or (
        "/" not in program and shutil.which(program, path=path) is not None
    )


def _in(image: Image, path: Path) -> bool:
    return os.path.lexists(image.root / str(path).lstrip("/"))


def _over(system: FileSystem, image: Image, folder: str) -> FileSystem:
    """The file system with the files of an image over it."""
    found = dict(_files(image.root, image.root, ""))
    if len(found) > _MOST_FILES:
        raise NoEntryPoint(
            f"the image has {len(found):,} files among those of this machine; here an image brings its own "
            "code, not the system"
        )
    task, layers = image.root / "var/task", image.root / "opt"
    empty = image.root.parent / "empty"
    empty.mkdir(exist_ok=True)
    if not _in(image, Path(folder)) and not Path(folder).exists():
        found[folder] = empty
    return replace(
        system,
        task=task if task.is_dir() else empty,
        layers=layers if layers.is_dir() else empty,
        files={**found, **system.files},
        folder=folder,
        own=tuple(found),
    )


def _files(root: Path, folder: Path, seen: str) -> Iterator[tuple[str, Path]]:
    """What has to be bound, so that the files of an image are over those of this machine."""
    for one in sorted(folder.iterdir()):
        path = f"{seen}/{one.name}"
        if path in (*_NOT_FROM_IMAGES, str(namespaces.TASK), str(namespaces.LAYERS)):
            continue
        shared = path in _SHARED or Path(path).is_dir()
        if one.is_dir() and not one.is_symlink() and shared:
            yield from _files(root, one, path if path in _SHARED else os.path.realpath(path))
        elif one.is_symlink():  # only what it leads to can be bound
            link = one.readlink()
            target = root / str(link).lstrip("/") if link.is_absolute() else folder / link
            if target.exists():
                yield path, target
        else:
            yield path, one
