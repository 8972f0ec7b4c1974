"""An image from a Dockerfile and its context: stages, each with files, layers and a configuration."""

from __future__ import annotations

import json
import posixpath
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from platform import machine
from typing import Any

from localaws.images import base, context
from localaws.images.dockerfile import BuildError, Instruction, parse
from localaws.images.layers import FOLDER, Entry, Layer, Tree, pack, with_parents
from localaws.images.packages import Installation
from localaws.images.store import Store

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
#: Names of machines as images have them.
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_EPOCH = "1970-01-01T00:00:00Z"
_OWNER = re.compile(r"(\d+)(?::(\d+))?")


@dataclass
class Stage:
    """A stage: its files so far, its layers, the image's `config`, and the variables of its build.

    Attributes:
        inherited: Whether the stage took over the `CMD` of the image it starts from.
    """

    name: str
    architecture: str
    tree: Tree = field(default_factory=dict)
    layers: list[Layer] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    inherited: bool = True

    @property
    def variables(self) -> dict[str, str]:
        """What `$NAME` stands for: arguments, and over them the environment of the image."""
        return self.arguments | dict(one.split("=", 1) for one in self.config.get("Env", []))

    @property
    def folder(self) -> str:
        """The working directory."""
        return str(self.config.get("WorkingDir", "/"))

    def place(self, path: str) -> str:
        """A path of the image, without the leading slash."""
        return posixpath.normpath(posixpath.join("/", self.folder, path)).lstrip("/")

    def add(self, tree: Tree, why: str, layer: Layer | None = None) -> Layer:
        """Add files as a layer."""
        tree = with_parents(tree, self.tree)
        layer = layer or pack(tree)
        self.layers.append(layer)
        self.history.append(why)
        self.tree |= tree
        return layer


class Build:
    """A build of a Dockerfile.

    Args:
        folder: The build context.
        store: Where the image is stored.
        dockerfile: The Dockerfile; by default that in the context.
        arguments: Values of `--build-arg`.
        target: The stage to build; by default the last one.
        platform: Such as `linux/arm64`; by default that of this machine.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        dockerfile: Path | None = None,
        arguments: Mapping[str, str] | None = None,
        target: str | None = None,
        platform: str | None = None,
    ) -> None:
        self._file = dockerfile or folder / "Dockerfile"
        if not self._file.is_file():
            raise BuildError(f"there is no {self._file}")
        self._folder, self._store, self._given, self._target = folder, store, dict(arguments or {}), target
        own = ARCHITECTURES.get(machine().lower(), machine())
        self._platform = platform or f"linux/{own}"
        self._stages: list[Stage] = []
        self._global: dict[str, str] = {
            "TARGETPLATFORM": self._platform,
            "TARGETOS": "linux",
            "TARGETARCH": self._platform.split("/")[1] if "/" in self._platform else "",
            "BUILDPLATFORM": f"linux/{own}",
        }
        self._before: dict[str, str] = {}
        self._context: Tree | None = None

    def run(self) -> str:
        """Build the image, and return the digest of its manifest.

        Raises:
            BuildError: It cannot be built.
        """
        for instruction in parse(self._file.read_text("utf-8")):
            if instruction.keyword == "FROM":
                if self._stages and self._is_target():
                    break
                self._stages.append(self._from(instruction.replaced(self._global | self._before)))
            elif not self._stages:
                self._argument_before(instruction)
            else:
                stage = self._stages[-1]
                step = instruction.replaced(stage.variables)
                getattr(self, f"_{step.keyword.lower()}")(stage, step)
        stage = self._stages[-1]
        if self._target is not None and not self._is_target():
            names = ", ".join(one.name for one in self._stages)
            raise BuildError(f"--target {self._target}: there is no such stage; there are: {names}")
        return self._write(stage)

    def _is_target(self) -> bool:
        """Whether the last stage is the wanted one, by its name or its number."""
        return (self._target or "").lower() in (self._stages[-1].name, str(len(self._stages) - 1))

    def _write(self, stage: Stage) -> str:
        config = {
            "created": _EPOCH,
            "architecture": stage.architecture,
            "os": "linux",
            "config": stage.config,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stage.layers]},
            "history": [{"created": _EPOCH, "created_by": why} for why in stage.history],
        }
        data = json.dumps(config, sort_keys=True).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": self._store.add(data), "size": len(data)},
            "layers": [layer.descriptor() for layer in stage.layers],
        }
        for layer in stage.layers:
            self._store.add(layer.data)
        return self._store.add(json.dumps(manifest, sort_keys=True).encode())

    # --- instructions

    def _from(self, step: Instruction) -> Stage:
        words = step.words()
        name = words[2].lower() if len(words) == 3 and words[1].upper() == "AS" else ""
        if len(words) != 1 and not name:
            raise step.error("write FROM IMAGE, or FROM IMAGE AS NAME")
        system, _, architecture = step.flags.get("platform", self._platform).partition("/")
        if system != "linux" or architecture.split("/")[0] not in ("amd64", "arm64"):
            given = step.flags.get("platform", self._platform)
            raise step.error(f"platform {given}: Lambda runs linux/amd64 and linux/arm64")
        stage = Stage(name or str(len(self._stages)), architecture.split("/")[0])
        earlier = next((one for one in self._stages if one.name == words[0].lower()), None)
        if earlier is not None:
            stage.architecture = earlier.architecture
            stage.tree, stage.layers = dict(earlier.tree), list(earlier.layers)
            stage.history, stage.config = list(earlier.history), json.loads(json.dumps(earlier.config))
        elif base.is_known(words[0]):
            stage.config = base.config()
            stage.add(base.files(), f"FROM {words[0]}")
        elif words[0] != "scratch":
            raise step.error(
                f"{words[0]} cannot be fetched here; use {base.NAME}:TAG, scratch or an earlier stage"
            )
        return stage

    def _argument_before(self, step: Instruction) -> None:
        if step.keyword != "ARG":
            raise step.error("only ARG may be before the first FROM")
        for word in step.replaced(self._global | self._before).words():
            name, _, default = word.partition("=")
            self._before[name] = self._given.get(name, default)

    def _arg(self, stage: Stage, step: Instruction) -> None:
        for word in step.words():
            name, given, default = word.partition("=")
            known = self._global | self._before
            value = self._given.get(name, default if given else known.get(name))
            if value is not None:
                stage.arguments[name] = value

    def _env(self, stage: Stage, step: Instruction) -> None:
        known = dict(one.split("=", 1) for one in stage.config.get("Env", [])) | step.pairs()
        stage.config["Env"] = [f"{name}={value}" for name, value in known.items()]

    def _label(self, stage: Stage, step: Instruction) -> None:
        stage.config["Labels"] = stage.config.get("Labels", {}) | step.pairs()

    def _user(self, stage: Stage, step: Instruction) -> None:
        stage.config["User"] = step.text()

    def _expose(self, stage: Stage, step: Instruction) -> None:
        ports: dict[str, Any] = {port if "/" in port else f"{port}/tcp": {} for port in step.words()}
        stage.config["ExposedPorts"] = stage.config.get("ExposedPorts", {}) | ports

    def _workdir(self, stage: Stage, step: Instruction) -> None:
        path = stage.place(step.text())
        stage.config["WorkingDir"] = f"/{path}"
        if path and path not in stage.tree:
            stage.add({path: FOLDER}, f"WORKDIR /{path}")

    def _cmd(self, stage: Stage, step: Instruction) -> None:
        stage.config["Cmd"], stage.inherited = _exec_form(step), False

    def _entrypoint(self, stage: Stage, step: Instruction) -> None:
        stage.config["Entrypoint"] = _exec_form(step)
        if stage.inherited:  # Docker: an ENTRYPOINT of its own drops the CMD of the base
            stage.config.pop("Cmd", None)

    def _run(self, stage: Stage, step: Instruction) -> None:
        installation = Installation(step, stage.tree, stage.folder)
        key = installation.key()
        known = self._store.cached(key)
        tree = with_parents(installation.run() if known is None else _unpacked(known), stage.tree)
        layer = stage.add(tree, f"RUN {step.rest}")
        if known is None:
            self._store.remember(key, layer)

    def _copy(self, stage: Stage, step: Instruction) -> None:
        words = step.words()
        if len(words) < 2:
            raise step.error("write COPY SOURCE… DESTINATION")
        *sources, to = words
        known = self._source(step)
        start = step.flags.get("from")
        found: Tree = {}
        for source in sources:
            path = posixpath.normpath(source).lstrip("/")
            if not start and (path == ".." or path.startswith("../")):
                raise step.error(f"{source} is outside the build context {self._folder}")
            found |= self._copied(step, known, path, stage, to, several=len(sources) > 1)
        mode = _octal(step) if "chmod" in step.flags else None
        owner = _owner(step) if "chown" in step.flags else None
        stage.add(
            {path: one.with_(mode=mode, owner=owner) for path, one in found.items()}, f"COPY {step.rest}"
        )

    def _copied(
        self, step: Instruction, known: Tree, path: str, stage: Stage, to: str, *, several: bool
    ) -> Tree:
        """The entries that one source gives, by their paths in the image."""
        target = stage.place(to)
        inside = to.endswith(("/", "/.")) or to == "."
        inside = inside or (target in stage.tree and stage.tree[target].kind == tarfile.DIRTYPE) or not target
        if any(sign in path for sign in "*?["):
            fits = context.pattern(path)
            names = [name for name in known if fits.fullmatch(name)]
        else:
            names = [path] if path in known or path == "." else []
        if not names:
            where = f"stage {step.flags['from']}" if "from" in step.flags else "the build context"
            raise step.error(f"{path} is not in {where} (or .dockerignore excludes it)")
        if (several or len(names) > 1) and not inside:
            raise step.error(f"with several sources, {to} must be a folder and end with /")
        found: Tree = {}
        for name in names:
            entry = known.get(name)
            if entry is not None and entry.kind != tarfile.DIRTYPE:
                found[posixpath.join(target, posixpath.basename(name)) if inside else target] = entry
                continue
            prefix = "" if name == "." else f"{name}/"  # a folder: what is in it, not itself
            below = {one: content for one, content in known.items() if one.startswith(prefix)}
            found |= {posixpath.join(target, one[len(prefix) :]): content for one, content in below.items()}
            if target and target not in stage.tree:
                found.setdefault(target, FOLDER)
        return found

    def _source(self, step: Instruction) -> Tree:
        """The files that COPY takes from."""
        name = step.flags.get("from")
        if name is None:
            if self._context is None:
                self._context = context.read(self._folder, self._file)
            return self._context
        for number, stage in enumerate(self._stages[:-1]):
            if name.lower() in (stage.name, str(number)):
                return stage.tree
        raise step.error(f"--from={name}: there is no such earlier stage, and no image is fetched here")


def _unpacked(layer: Layer) -> Tree:
    """The entries of a layer that is in the store."""
    import gzip
    import io

    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.data))) as archive:
        found: Tree = {}
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            found[member.name] = Entry(
                member.type,
                member.mode,
                file.read() if file else b"",
                member.linkname,
                (member.uid, member.gid),
            )
        return found


def _exec_form(step: Instruction) -> list[str]:
    """The words of a command; a text is for a shell."""
    found = step.listed()
    return ["/bin/sh", "-c", step.rest] if found is None else found


def _octal(step: Instruction) -> int:
    try:
        return int(step.flags["chmod"], 8)
    except ValueError:
        raise step.error(f"--chmod={step.flags['chmod']}: give permissions as an octal number, 755") from None


def _owner(step: Instruction) -> tuple[int, int]:
    found = _OWNER.fullmatch(step.flags["chown"])
    if found is None:
        raise step.error(
            f"--chown={step.flags['chown']}: give numbers, as in 1000:1000; no names are known here"
        )
    return int(found[1]), int(found[2] or found[1])
