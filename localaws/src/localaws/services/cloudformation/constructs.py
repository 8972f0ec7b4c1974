"""Which resource of a deployed stack an ARN belongs to, and the construct that made it.

The CDK writes the path of a construct into the metadata of its resource:
https://docs.aws.amazon.com/cdk/v2/guide/identifiers.html#identifiers-paths
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.services import cloudformation

_PATH = "aws:cdk:path"
# Resources whose physical id is the ARN of a secret.
_PARTS = tuple(
    f"AWS::SecretsManager::{name}"
    for name in ("SecretTargetAttachment", "RotationSchedule", "ResourcePolicy")
)
_OWN_CHILD = "/Resource"  # what a construct calls the resource that it is for


@dataclass(frozen=True)
class Construct:
    """A resource of a deployed stack.

    Attributes:
        type: Its type.
        path: The path of its construct, or the stack and the logical id if no construct made it.
        attribute: The attribute with the ARN, such as `Arn` or `StreamArn`; `Ref` for its physical id; empty
            for an ARN that no attribute has: that by which the users of a database, or the methods of an
            API, are allowed, and that of a parameter.
        arn: That ARN.
        level: `L2`; `L1` if the app made the resource itself; empty if the template has no path of it.
        place: The Region and account of its stack.
    """

    type: str
    path: str
    attribute: str
    arn: str
    level: str = "L2"
    place: tuple[str, str] = ("", "")


def construct_of(arn: str) -> Construct | None:
    """The resource with an ARN, or the one whose part has it, as an object is a part of its bucket."""
    found = [
        one for one in _all() if arn == one.arn or (arn.startswith(one.arn) and arn[len(one.arn)] in ":/")
    ]
    return max(found, key=lambda one: len(one.arn), default=None)


def functions_of(role_arn: str) -> list[Construct]:
    """The functions of the deployed stacks that have a role."""
    return [
        _construct(stack, path, record, "Arn", str(record.get("Attributes", {}).get("Arn")))
        for stack, path, record in _records()
        if record.get("ResourceType") == "AWS::Lambda::Function"
        and (record.get("Properties") or {}).get("Role") == role_arn
    ]


def _construct(stack: str, path: str, record: Mapping[str, Any], attribute: str, arn: str) -> Construct:
    level = "L2" if path.endswith(_OWN_CHILD) else "" if path.startswith("/") else "L1"
    path = path.removesuffix(_OWN_CHILD).removeprefix("/")
    region, account = stack.split(":")[3:5]
    return Construct(str(record.get("ResourceType")), path, attribute, arn, level, (region, account))


def _all() -> Iterator[Construct]:
    for stack, path, record in _records():
        if record.get("ResourceType") in _PARTS:
            continue
        named = {"Ref": record.get("PhysicalResourceId"), **(record.get("Attributes") or {})}
        if used := _used_by(str(record.get("ResourceType")), named):
            partition, region, account = (stack.split(":")[index] for index in (1, 3, 4))
            service, name = used
            named[""] = f"arn:{partition}:{service}:{region}:{account}:{name}"
        for attribute, value in named.items():
            if isinstance(value, str) and value.startswith("arn:"):
                arn = value.removesuffix(":*")  # of a log group
                yield _construct(stack, path, record, attribute, arn)


def _used_by(type: str, named: Mapping[str, Any]) -> tuple[str, str] | None:
    """The service and the name in the ARN by which the users of a database or an API are allowed."""
    if type == "AWS::RDS::DBProxy" and "DBProxyArn" in named:
        return "rds-db", f"dbuser:{named['DBProxyArn'].rpartition(':')[2]}"
    if type == "AWS::RDS::DBInstance" and "DbiResourceId" in named:
        return "rds-db", f"dbuser:{named['DbiResourceId']}"
    if type == "AWS::SSM::Parameter":
        return "ssm", f"parameter/{str(named['Ref']).lstrip('/')}"
    if type in ("AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api"):
        return "execute-api", str(named["Ref"])
    return None


def _records() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The resources of all stacks of all accounts: the stack's ARN, the path of the construct, the record.

    The path of a construct that the template does not name is `/STACK/LOGICAL_ID`.
    """
    for stack in list(cloudformation._stacks._data.values()):
        in_template = (stack.get("_template") or {}).get("Resources") or {}
        for logical_id, record in list((stack.get("_resources") or {}).items()):
            metadata = (in_template.get(logical_id) or {}).get("Metadata") or {}
            path = str(metadata.get(_PATH) or f"/{stack['StackName']}/{logical_id}")
            yield str(stack["StackId"]), path, record
