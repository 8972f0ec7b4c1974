"""What a deployment releases, whether the release went well, and which old versions it makes superfluous."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.storable import load_json


class ReleaseFailed(Exception):
    """The new version must not be released.

    Args:
        reason: Why.
        **details: Further fields of the log entry.
    """

    def __init__(self, reason: str, **details: Any) -> None:
        super().__init__(reason)
        self.details = details


@dataclass(frozen=True)
class Release:
    """The release of a version to an alias.

    Args:
        function: Name of the function.
        alias: Name of the alias.
        current_version: The version that the alias points at before the release.
        target_version: The version that it points at afterwards.
    """

    function: str
    alias: str
    current_version: str
    target_version: str


def parse_release(deployment: Mapping[str, Any]) -> Release:
    """Parse the AppSpec of a deployment.

    Args:
        deployment: ``deploymentInfo`` of GetDeployment.

    Raises:
        ReleaseFailed: The AppSpec is not JSON, or does not release a version of exactly one function.
    """
    try:
        resources = [one for entry in load_json(_app_spec(deployment))["Resources"] for one in entry.values()]
        [properties] = [one["Properties"] for one in resources if one["Type"] == "AWS::Lambda::Function"]
        return Release(
            properties["Name"],
            properties["Alias"],
            str(properties["CurrentVersion"]),
            str(properties["TargetVersion"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReleaseFailed(
            "the AppSpec must be JSON, as CloudFormation writes it, with one AWS::Lambda::Function that has "
            f"Name, Alias, CurrentVersion and TargetVersion: {type(error).__name__}: {error}"
        ) from error


def _app_spec(deployment: Mapping[str, Any]) -> str:
    revision = deployment.get("revision", {})
    # CloudFormation has used both types.
    # https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_RevisionLocation.html
    if revision.get("revisionType") == "AppSpecContent":
        return str(revision["appSpecContent"]["content"])
    if revision.get("revisionType") == "String":
        return str(revision["string"]["content"])
    raise ReleaseFailed(f"the revision type {revision.get('revisionType')} does not contain its AppSpec")


def check_alias(alias: Mapping[str, Any], target_version: str) -> None:
    """Check that an alias points at the target version only.

    Args:
        alias: The response of GetAlias.
        target_version: The version.

    Raises:
        ReleaseFailed: It sends some or all calls to another version.
    """
    weights = _weights(alias)
    if alias["FunctionVersion"] != target_version or weights:
        raise ReleaseFailed(
            f"the alias should point at version {target_version} only",
            points_at=alias["FunctionVersion"],
            weights=weights,
        )


def check_error_rate(*, invocations: int, errors: int, allowed_percentage: float) -> None:
    """Check that no more calls failed than allowed. No calls are no failure.

    Raises:
        ReleaseFailed: More calls failed.
    """
    percentage = 100 * errors / invocations if invocations else 0.0
    if percentage > allowed_percentage:
        raise ReleaseFailed(
            f"{percentage:.3g} % of the new version's calls failed; {allowed_percentage:g} % are allowed",
            invocations=invocations,
            errors=errors,
        )


def deletable_versions(
    versions: Sequence[str], aliases: Sequence[Mapping[str, Any]], released: str, kept: int
) -> list[str]:
    """Return the versions that can be deleted, oldest first.

    Args:
        versions: Every version of the function.
        aliases: Every alias of the function. A version that one of them points at stays.
        released: The version that was just released. Newer versions stay as well: they may be released next.
        kept: How many older versions stay, the newest ones; at least one, to roll back to.
    """
    older = sorted(int(one) for one in versions if one != "$LATEST" and int(one) < int(released))
    used = {version for alias in aliases for version in (alias["FunctionVersion"], *_weights(alias))}
    return [str(number) for number in older[: -max(kept, 1)] if str(number) not in used]


def _weights(alias: Mapping[str, Any]) -> dict[str, float]:
    return (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
