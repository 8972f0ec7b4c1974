"""The records of CodeDeploy, and its applications.

Used by `codedeploy.service`. Names, tags of created resources, and error codes. The compute platforms Server
and ECS, TagResource, paging and quotas are not emulated.

https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import re
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, new_uuid, now_epoch

from localaws.patching import on_reset

Record = dict[str, Any]


applications = AccountRegionScopedDict()  # by name
configs = AccountRegionScopedDict()  # by name, without the predefined ones
groups = AccountRegionScopedDict()  # by application and name
_tags = AccountRegionScopedDict()  # by ARN


class CodeDeployError(Exception):
    """A request that CodeDeploy refuses.

    Args:
        code: CodeDeploy's name for it.
        message: What was wrong.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# --- Applications


def create_application(request: Record) -> Record:
    """CreateApplication."""
    name = checked_name(request, "applicationName", "Application")
    if request.get("computePlatform", "Server") != "Lambda":
        raise CodeDeployError(
            "InvalidComputePlatformException",
            f"computePlatform={request.get('computePlatform', 'Server')!r}: "
            "only the compute platform 'Lambda' is emulated",
        )
    if name in applications:
        raise CodeDeployError("ApplicationAlreadyExistsException", f"Application already exists: {name}")
    record = {"applicationId": new_uuid(), "applicationName": name, "computePlatform": "Lambda"}
    set_tags(application_arn(name), request.get("tags"))
    applications[name] = record | {"createTime": now_epoch(), "linkedToGitHub": False}
    return {"applicationId": record["applicationId"]}


def application(request: Record) -> Record:
    """The application that a request names."""
    name = checked_name(request, "applicationName", "Application")
    found: Record | None = applications.get(name)
    if found is None:
        raise CodeDeployError("ApplicationDoesNotExistException", f"No application found for name: {name}")
    return found


def delete_application(request: Record) -> Record:
    """DeleteApplication, with its groups."""
    name = checked_name(request, "applicationName", "Application")
    applications.pop(name, None)
    for key in [key for key in groups if key[0] == name]:
        groups.pop(key, None)
    return {}


def checked_name(request: Record, member: str, kind: str) -> str:
    """A name in a request, refused if it is none.

    Args:
        request: The request.
        member: Where it has the name.
        kind: What it is the name of, as in the codes of the errors.
    """
    name = request.get(member)
    if not name:
        raise CodeDeployError(f"{kind}NameRequiredException", f"{member} was not specified")
    if not re.fullmatch(r"[\w+=,.@-]{1,100}", name, re.ASCII):
        raise CodeDeployError(
            f"Invalid{kind}NameException", f"{member}={name!r}: give 1 to 100 letters, digits and +-=.,@_"
        )
    return str(name)


# --- Tags


def application_arn(name: str) -> str:
    """The ARN of an application."""
    return f"arn:aws:codedeploy:{get_region()}:{get_account_id()}:application:{name}"


def group_arn(application_name: str, name: str) -> str:
    """The ARN of a deployment group."""
    return f"arn:aws:codedeploy:{get_region()}:{get_account_id()}:deploymentgroup:{application_name}/{name}"


def set_tags(arn: str, tags: list[dict[str, str]] | None) -> None:
    """Give a resource these tags, and no others."""
    _tags[arn] = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in tags or []]


def list_tags(request: Record) -> Record:
    """ListTagsForResource."""
    return {"Tags": _tags.get(request.get("ResourceArn"), [])}


@on_reset
def clear() -> None:
    """Forget everything."""
    for store in (applications, configs, groups, _tags):
        store.clear()
