"""CodeDeploy's revision of a function: the AppSpec, which says what is shifted from where to where.

Faithful to: AppSpec content in JSON or YAML, as `AppSpecContent` or as `String`; its required members;
hooks by the name or the ARN of a function.
Not to: revisions in S3.

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
    """What a deployment of a function is to do.

    Args:
        resource: The name that the AppSpec gives to the function.
        function: Its name or ARN.
        alias: The alias whose traffic is shifted.
        current_version: The version that the alias points to.
        target_version: The version that it shall point to.
        hooks: The function to run at each event that has one.
    """

    resource: str
    function: str
    alias: str
    current_version: str
    target_version: str
    hooks: dict[str, str] = field(default_factory=dict)

    def reversed(self) -> AppSpec:
        """The way back, without hooks."""
        return AppSpec(self.resource, self.function, self.alias, self.target_version, self.current_version)

    def revision(self) -> Record:
        """The revision that has this content."""
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
    """The revision as CodeDeploy gives it back, and what its AppSpec says.

    Raises:
        CodeDeployError: There is none, or it says something else than an AppSpec for a function does.
    """
    if not revision:
        raise CodeDeployError("RevisionRequiredException", "The revision was not specified")
    member = _MEMBERS.get(revision.get("revisionType", ""), "")
    content = (revision.get(member) or {}).get("content")
    if not content:
        raise _invalid(f"revisionType={revision.get('revisionType')!r}: give {' or '.join(_MEMBERS)}")
    try:
        spec = _read(yaml.safe_load(content))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise _invalid(f"The AppSpec cannot be read: {error}") from error
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    kept = {"revisionType": revision["revisionType"], member: {"content": content, "sha256": sha256}}
    return kept, spec


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
        raise ValueError(f"{unknown[0]} is no hook of a function: {BEFORE} and {AFTER} are")
    function, alias, current, target = (str(properties[name]) for name in _PROPERTIES)
    return AppSpec(str(resource), function, alias, current, target, hooks)


def _invalid(message: str) -> CodeDeployError:
    return CodeDeployError("InvalidRevisionException", message)
