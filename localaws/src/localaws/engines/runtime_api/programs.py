"""Which programs run in an environment: the runtime, and the external extensions.

Faithful to: `bootstrap` of a custom runtime in the code, or else in a layer; a wrapper script of a managed
runtime, which gets the command of the runtime as its arguments; the executable files in `/opt/extensions`.
Not to: the version of AWS's runtime interface client (`awslambdaric`), which managed Python runtimes have.
Python functions without an external extension or a wrapper script have no `AWS_LAMBDA_RUNTIME_API`, which AWS
sets in all functions: an internal extension needs a wrapper script here, which may do nothing (`exec "$@"`).

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html
https://docs.aws.amazon.com/lambda/latest/dg/lambda-extensions.html
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from localaws.engines import namespaces
from localaws.engines.namespaces import FileSystem
from localaws.engines.python_runtime.environment import (
    Places,
    file_system,
    layer_archives,
    places,
    unpack,
    variables,
)
from localaws.engines.runtime_api import images
from localaws.engines.runtime_api.images import NoEntryPoint

#: The client of the Runtime API in Lambda's Python runtimes, with what it needs.
CLIENT = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")

_BOOTSTRAP = Path(__file__).with_name("python_bootstrap.py")
_PYTHON = ("-S", "-s", "-X", "utf8", f"{namespaces.RUNTIME}/bootstrap.py")
_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"


@dataclass(frozen=True)
class Programs:
    """What runs in an environment.

    Attributes:
        runtime: The command of the runtime, in the file system of the environment.
        extensions: The paths of the external extensions there.
        variables: The environment variables of all of them, without the address of the API.
        system: The file system; None if they run in that of this machine.
        folder: The working directory, if there is no file system.
    """

    runtime: tuple[str, ...]
    extensions: tuple[str, ...]
    variables: dict[str, str]
    system: FileSystem | None
    folder: Path


def of(config: dict[str, Any], code: bytes, scratch: Path | None) -> Programs:
    """The programs of a function.

    Args:
        config: Its configuration.
        code: Its archive.
        scratch: The folder for temporary files, where environments have no file system of their own.

    Raises:
        NoEntryPoint: There is no runtime.
    """
    if is_image(config):
        return _of_image(config, scratch)
    task, layers = unpack(code), unpack(*layer_archives(config))
    where = places(task, layers, scratch)
    own = variables(config, where)
    system = file_system(config, task, layers) if scratch is None else None
    if is_python(config):
        system = system and replace(system, files={**system.files, **_client()})
        runtime: tuple[str, ...] = (str(namespaces.INTERPRETER), *_PYTHON)
        if own.get(_WRAPPER):
            runtime = (own[_WRAPPER], *runtime)
    else:
        runtime = (_bootstrap(where, task, layers),)
        del own["AWS_EXECUTION_ENV"]
    extensions = tuple(str(where.layers / "extensions" / name) for name in extensions_in(layers))
    return Programs(runtime, extensions, own, system, task)


def _of_image(config: dict[str, Any], scratch: Path | None) -> Programs:
    if scratch is not None:
        raise NoEntryPoint(
            "functions from container images need Linux with user namespaces, which is not here"
        )
    nothing = unpack()
    where = places(nothing, nothing, None)
    system = file_system(config, nothing, nothing)
    found = images.of(config, replace(system, files={**system.files, **_client()}))
    own = (config.get("Environment") or {}).get("Variables") or {}
    known = variables(config, where) | {"AWS_EXECUTION_ENV": "AWS_Lambda_Image", "_HANDLER": found.handler}
    # Lambda's own variables and those of the function are over those of the image.
    image = {
        name: value
        for name, value in found.variables.items()
        if name not in own and not name.startswith(("AWS_", "_"))
    }
    names = extensions_in(found.layers)
    extensions = tuple(f"{namespaces.LAYERS}/extensions/{name}" for name in names)
    return Programs(found.command, extensions, {**known, **image}, found.system, nothing)


def is_image(config: dict[str, Any]) -> bool:
    """Whether a function is from a container image."""
    return config.get("PackageType") == "Image"


def is_python(config: dict[str, Any]) -> bool:
    """Whether a function has a managed Python runtime."""
    return str(config.get("Runtime", "")).startswith("python")


def needed(config: dict[str, Any]) -> bool:
    """Whether a function needs the Runtime API: an image, a custom runtime, an extension or a wrapper."""
    if is_image(config):
        return True
    if not is_python(config) or not starts_extensions(config):
        return str(config.get("Runtime", "")).startswith("provided")
    own = (config.get("Environment") or {}).get("Variables") or {}
    if _WRAPPER in own:
        return True
    if not config.get("Layers"):
        return False
    # Layers are hashed once, and not at each invocation. Every change of a function has another id.
    revision = config["RevisionId"]
    if revision not in _with_extensions:
        _with_extensions[revision] = bool(extensions_in(unpack(*layer_archives(config))))
    return _with_extensions[revision]


_with_extensions: dict[str, bool] = {}


def starts_extensions(config: dict[str, Any]) -> bool:
    """Whether the extensions of a function are started on this machine, if it has some."""
    if is_python(config) or is_image(config):
        return bool(_client()) and namespaces.available()
    return str(config.get("Runtime", "")).startswith("provided")


def extensions_in(layers: Path) -> Sequence[str]:
    """The names of the external extensions in the merged layers."""
    folder = layers / "extensions"
    return sorted(one.name for one in folder.iterdir() if one.is_file()) if folder.is_dir() else ()


def _bootstrap(where: Places, task: Path, layers: Path) -> str:
    for seen, folder in ((where.task, task), (where.layers, layers)):
        if (folder / "bootstrap").exists():
            return str(seen / "bootstrap")
    raise NoEntryPoint("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")


@functools.cache
def _client() -> dict[str, Path]:
    """The files of the runtime's client by their paths in an environment; empty if it is not installed."""
    found = {str(namespaces.RUNTIME / "bootstrap.py"): _BOOTSTRAP}
    for name in CLIENT:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            return {}
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        found[str(namespaces.RUNTIME / source.name)] = source
    return found
