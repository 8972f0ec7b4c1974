"""Revisions of functions: the AppSpec with the function, the alias and both versions.

Used by `codedeploy.service`. AppSpec content in JSON or YAML, as `AppSpecContent` or as `String`, its
required members, and hooks by name or ARN of a function. Revisions in S3 are not emulated.

https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-resources.html
https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import yaml  # type: ignore[import-untyped]

from localaws.services.codedeploy.records import CodeDeployError, Record

BEFORE, SHIFT, AFTER = "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"
_MEMBERS = {"AppSpecContent": "appSpecContent", "String": "string"}
_PROPERTIES = ("Name", "Alias", "CurrentVersion", "TargetVersion")


@dataclass(frozen=True)
class AppSpec:
    """The AppSpec of a deployment of a function.

    Args:
        resource: The name of the resource in the AppSpec.
        function: The function's name or ARN.
        alias: The alias whose traffic is shifted.
        current_version: The version that the alias points to.
        target_version: The version that it is to point to.
        hooks: The function of each event that has a hook.
    """

    resource: str
    function: str
    alias: str
    current_version: str
    target_version: str
    hooks: dict[str, str] = field(default_factory=dict)

    def reversed(self) -> AppSpec:
        """The AppSpec of a rollback, without hooks."""
        return AppSpec(self.resource, self.function, self.alias, self.target_version, self.current_version)

    def revision(self) -> Record:
        """The revision with this content."""
        properties = {
            "Name": self.function,
            "Alias": self.alias,
            "CurrentVersion": self.current_version,
            "TargetVersion": self.target_version,
        }
        document = {
            "version": 0.0,
            "Resources": [{self.resource: {"Type": "AWS::Lambda::Function", "Properties": properties}}],
        }
        if self.hooks:
            document["Hooks"] = [{event: function} for event, function in self.hooks.items()]
        return {"revisionType": "String", "string": {"content": json.dumps(document)}}


def read_revision(revision: Record | None) -> tuple[Record, AppSpec]:
    """The revision as CodeDeploy returns it, and its AppSpec.

    Raises:
        CodeDeployError: There is none, or it has no valid AppSpec for a function.
    """
    if not revision:
        raise CodeDeployError("RevisionRequiredException", "The revision was not specified")
    member = _MEMBERS.get(revision.get("revisionType", ""), "")
    content = (revision.get(member) or {}).get("content")
    if not content:
        raise _invalid(f"revisionType={revision.get('revisionType')!r}: it must be {' or '.join(_MEMBERS)}")
    try:
        spec = _read(yaml.safe_load(content))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise _invalid(f"The AppSpec cannot be read: {error}") from error
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    returned = {"revisionType": revision["revisionType"], member: {"content": content, "sha256": sha256}}
    return returned, spec


def _read(document: Any) -> AppSpec:
    if "version" not in document or float(document["version"]) != 0.0:
        raise ValueError("its version must be 0.0")
    resources = document.get("Resources") or []
    if len(resources) != 1 or len(resources[0]) != 1:
        raise ValueError("Resources must have one function")
    ((resource, described),) = resources[0].items()
    if described.get("Type") != "AWS::Lambda::Function":
        raise ValueError(f"the Type of {resource} must be AWS::Lambda::Function")
    properties = described.get("Properties") or {}
    missing = [name for name in _PROPERTIES if properties.get(name) in (None, "")]
    if missing:
        raise ValueError(f"{resource} lacks {', '.join(missing)}")
    hooks = {event: str(name) for hook in document.get("Hooks") or [] for event, name in hook.items()}
    unknown = [event for event in hooks if event not in (BEFORE, AFTER)]
    if unknown:
        raise ValueError(f"{unknown[0]} is not a hook for functions; hooks are {BEFORE} and {AFTER}")
    function, alias, current, target = (str(properties[name]) for name in _PROPERTIES)
    return AppSpec(str(resource), function, alias, current, target, hooks)


def _invalid(message: str) -> CodeDeployError:
    return CodeDeployError("InvalidRevisionException", message)
