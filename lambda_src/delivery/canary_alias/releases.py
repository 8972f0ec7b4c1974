"""What a deployment releases, as its AppSpec says it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ReleaseFailed(Exception):
    """The new version must not be released; says why.

    Args:
        reason: Why.
        **details: What the log says beside it.
    """

    def __init__(self, reason: str, **details: Any) -> None:
        super().__init__(reason)
        self.details = details


@dataclass(frozen=True)
class Release:
    """An alias on its way from one version of a function to another.

    Args:
        function: Name of the function.
        alias: Name of the alias.
        current_version: Where it comes from.
        target_version: Where it goes.
    """

    function: str
    alias: str
    current_version: str
    target_version: str


def parse_release(deployment: Mapping[str, Any]) -> Release:
    """Read a deployment's AppSpec.

    Args:
        deployment: ``deploymentInfo`` of GetDeployment.

    Raises:
        ReleaseFailed: It does not release a version of one function, or not as JSON.
    """
    content = _content(deployment.get("revision", {}))
    try:
        resources = [one for entry in json.loads(content)["Resources"] for one in entry.values()]
        [properties] = [one["Properties"] for one in resources if one["Type"] == "AWS::Lambda::Function"]
        return Release(
            properties["Name"],
            properties["Alias"],
            str(properties["CurrentVersion"]),
            str(properties["TargetVersion"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseFailed(
            "the AppSpec should be JSON, as CloudFormation writes it, with one AWS::Lambda::Function and its "
            f"Name, Alias, CurrentVersion and TargetVersion: {type(error).__name__}: {error}"
        ) from error


def _content(revision: Mapping[str, Any]) -> str:
    # CloudFormation's deployments have had both kinds.
    # https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_RevisionLocation.html
    kind = revision.get("revisionType")
    if kind == "AppSpecContent":
        return str(revision["appSpecContent"]["content"])
    if kind == "String":
        return str(revision["string"]["content"])
    raise ReleaseFailed(f"a revision of type {kind}: its AppSpec is not in the deployment itself")
