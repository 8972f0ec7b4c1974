"""A CDK app in the forms in which a test has it, and the cloud assembly that each becomes.

An `aws_cdk.App`, and a function that makes one, are synthesised in this process; a command and the folder of
an app by `cdk synth`; a cloud assembly is deployed as it is.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from localaws.cdk.cli import CdkError, CommandLine

MANIFEST = "manifest.json"
_ENVIRONMENT = re.compile(r"aws://(?P<account>[^/]+)/(?P<region>.+)")
_QUALIFIER = re.compile(r"/cdk-bootstrap/(?P<qualifier>[^/]+)/version")
_VALIDATION = "builtin_cloud_formation_validation"
DEFAULT_QUALIFIER = "hnb659fds"


class _App(Protocol):
    def synth(self) -> Any:
        """Make the cloud assembly."""


#: An `aws_cdk.App`, a function that makes its stacks, a command, or the folder of an app or an assembly.
App = _App | Callable[..., Any] | str | os.PathLike[str]


@dataclass(frozen=True)
class Target:
    """Where a stack of an assembly goes.

    Attributes:
        account: The account; None if the stack leaves it to the credentials.
        region: The region, or None likewise.
        qualifier: That of the bootstrap stack.
    """

    account: str | None
    region: str | None
    qualifier: str = DEFAULT_QUALIFIER


def synthesise(
    app: App,
    out: Path,
    *,
    folder: Path,
    context: Mapping[str, Any],
    command: CommandLine,
) -> Path:
    """Return the cloud assembly of an app.

    Args:
        app: The app, in any of its forms.
        out: The folder for the assembly, if one is made.
        folder: The folder in which a command runs.
        context: Context values for the app.
        command: The CDK CLI.

    Raises:
        CdkError: The app failed, or is none.
    """
    if isinstance(app, (str, os.PathLike)):
        path, words = folder / app, list[str]()
        if path.is_dir():
            path /= _named_assembly(path)
            if (path / MANIFEST).is_file():
                _refuse_context(context, f"{path} is a synthesised cloud assembly")
                return path.resolve()
            if not (path / "cdk.json").is_file():
                raise CdkError(
                    f"{path} is neither an app nor a cloud assembly: it has no cdk.json and no {MANIFEST}"
                )
            folder = path
        elif isinstance(app, str):
            words = ["--app", app]
        else:
            raise CdkError(f"{path}: there is no such folder; a command is text: 'python app.py'")
        for name, value in context.items():
            words += ["-c", f"{name}={_text(value)}"]
        try:
            with _unchanged(folder / "cdk.context.json"):
                command.run("synth", *words, "--output", str(out), "--quiet", folder=folder)
        except CdkError as error:
            if path.exists() or len(str(app).split()) != 1:
                raise
            raise CdkError(f"there is no folder {str(app)!r}, and as a command it failed: {error}") from None
        return out
    if isinstance(app, type) and callable(getattr(app, "synth", None)):
        raise CdkError(f"app={app!r} is a class: give an App that was made of it, {app.__name__}()")
    if callable(getattr(app, "synth", None)):
        _refuse_context(context, "the App is made already; give it to App(context=...)")
        made: Any = app
    elif callable(app):
        made = _called(app, out, folder, context)
    else:
        raise CdkError(
            f"app={app!r}: give an aws_cdk.App, a function that takes or returns one, a command such as "
            "'python app.py', or the folder of an app or of a cloud assembly"
        )
    return _without_lookups(Path(made.synth().directory))


def _called(factory: Callable[..., Any], out: Path, folder: Path, context: Mapping[str, Any]) -> Any:
    """Call a function that makes an app, or fills one that it is given."""
    import aws_cdk

    if not inspect.signature(factory).parameters:
        _refuse_context(context, "the function takes no App; let it take one, or give context to its App")
        app = factory()
        if not callable(getattr(app, "synth", None)):
            raise CdkError(f"{factory!r} returned {app!r}: let it return the App, or take an App and fill it")
        return app
    _require_callable(factory)
    # It takes seconds, and the embedded AWS refuses what AWS refuses. A command gets CDK_VALIDATION=false.
    known = inspect.signature(aws_cdk.App.__init__).parameters  # older releases do not validate
    more: dict[str, Any] = (
        {_VALIDATION: False} if _VALIDATION in known and "CDK_VALIDATION" not in os.environ else {}
    )
    app = aws_cdk.App(
        outdir=str(out), analytics_reporting=False, context={**_context_of_project(folder), **context}, **more
    )
    factory(app)
    return app


def _require_callable(factory: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called with an App only, such as the class of a stack."""
    try:
        inspect.signature(factory).bind(None)
    except TypeError:
        raise CdkError(
            f"app={factory!r} cannot be called with an App only: give a function that takes an App, "
            "and makes the stacks in it"
        ) from None


def _context_of_project(folder: Path) -> dict[str, Any]:
    """The context in cdk.json, which the CLI gives to an app: feature flags, above all."""
    found: dict[str, Any] = _settings(folder).get("context", {})
    return found


def _named_assembly(folder: Path) -> str:
    """The folder that cdk.json gives as the app, if it is a cloud assembly: the CLI copies nothing then."""
    app = _settings(folder).get("app", "")
    return app if isinstance(app, str) and (folder / app / MANIFEST).is_file() else ""


def _settings(folder: Path) -> dict[str, Any]:
    """What is in cdk.json."""
    file = folder / "cdk.json"
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise CdkError(f"{file} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CdkError(f"{file} must be a JSON object, not {found!r}")
    return found


def _refuse_context(context: Mapping[str, Any], why: str) -> None:
    if context:
        raise CdkError(f"context={dict(context)!r} has no effect here: {why}")


def _text(value: Any) -> str:
    """A context value as the CLI takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _without_lookups(assembly: Path) -> Path:
    """Return the assembly, unless the app still waits for values that only the CLI looks up."""
    missing = json.loads((assembly / MANIFEST).read_text("utf-8")).get("missing")
    if missing:
        keys = ", ".join(one["key"] for one in missing)
        raise CdkError(
            f"The app looks up {keys}, which needs the CDK CLI: deploy it by its command, 'python app.py'"
        )
    return assembly


@contextlib.contextmanager
def _unchanged(file: Path) -> Iterator[None]:
    """Restore a file afterwards: the values that the CLI looks up here are not those of a real account."""
    before = file.read_bytes() if file.is_file() else None
    try:
        yield
    finally:
        if before is None:
            file.unlink(missing_ok=True)
        elif file.read_bytes() != before:
            file.write_bytes(before)


def targets(assembly: Path) -> list[tuple[str, Target]]:
    """Return the names of the stacks of an assembly, those in stages included, and where each goes."""
    found: list[tuple[str, Target]] = []
    manifest = json.loads((assembly / MANIFEST).read_text("utf-8"))
    for key, artifact in manifest.get("artifacts", {}).items():
        properties = artifact.get("properties", {})
        if artifact["type"] == "cdk:cloud-assembly":
            found += targets(assembly / properties["directoryName"])
        elif artifact["type"] == "aws:cloudformation:stack":
            place = _ENVIRONMENT.fullmatch(artifact.get("environment", ""))
            parts = place.groupdict() if place else {"account": "unknown-account", "region": "unknown-region"}
            known = {name: None if text.startswith("unknown-") else text for name, text in parts.items()}
            version = _QUALIFIER.fullmatch(properties.get("bootstrapStackVersionSsmParameter", ""))
            qualifier = version["qualifier"] if version else DEFAULT_QUALIFIER
            found.append((properties.get("stackName", key), Target(**known, qualifier=qualifier)))
    return found
