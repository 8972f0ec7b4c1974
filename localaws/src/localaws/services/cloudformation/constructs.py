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
_OWN_CHILD = "/Resource"  # what a construct calls the resource that it is for


@dataclass(frozen=True)
class Construct:
    """A resource of a deployed stack.

    Attributes:
        type: Its type.
        path: The path of its construct, or the stack and the logical id if no construct made it.
        attribute: The attribute with the ARN, such as `Arn` or `StreamArn`; `Ref` for its physical id; empty
            for the ARN by which the users of a database, or the methods of an API, are allowed.
        arn: That ARN.
    """

    type: str
    path: str
    attribute: str
    arn: str


def construct_of(arn: str) -> Construct | None:
    """The resource with an ARN, or the one whose part has it, as an object is a part of its bucket."""
    found = [
        one for one in _all() if arn == one.arn or (arn.startswith(one.arn) and arn[len(one.arn)] in ":/")
    ]
    return max(found, key=lambda one: len(one.arn), default=None)


def functions_of(role_arn: str) -> list[Construct]:
    """The functions of the deployed stacks that have a role."""
    return [
        Construct("AWS::Lambda::Function", path, "Arn", str(record.get("Attributes", {}).get("Arn")))
        for _stack, path, record in _records()
        if record.get("ResourceType") == "AWS::Lambda::Function"
        and (record.get("Properties") or {}).get("Role") == role_arn
    ]


def _all() -> Iterator[Construct]:
    for stack, path, record in _records():
        named = {"Ref": record.get("PhysicalResourceId"), **(record.get("Attributes") or {})}
        if used := _used_by(str(record.get("ResourceType")), named):
            partition, region, account = (stack.split(":")[index] for index in (1, 3, 4))
            service, name = used
            named[""] = f"arn:{partition}:{service}:{region}:{account}:{name}"
        for attribute, value in named.items():
            if isinstance(value, str) and value.startswith("arn:"):
                arn = value.removesuffix(":*")  # of a log group
                yield Construct(str(record.get("ResourceType")), path, attribute, arn)


def _used_by(type: str, named: Mapping[str, Any]) -> tuple[str, str] | None:
    """The service and the name in the ARN by which the users of a database or an API are allowed."""
    if type == "AWS::RDS::DBProxy" and "DBProxyArn" in named:
        return "rds-db", f"dbuser:{named['DBProxyArn'].rpartition(':')[2]}"
    if type == "AWS::RDS::DBInstance" and "DbiResourceId" in named:
        return "rds-db", f"dbuser:{named['DbiResourceId']}"
    if type in ("AWS::ApiGateway::RestApi", "AWS::ApiGatewayV2::Api"):
        return "execute-api", str(named["Ref"])
    return None


def _records() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The resources of all stacks of all accounts: the stack's ARN, the path of the construct, the record."""
    for stack in list(cloudformation._stacks._data.values()):
        in_template = (stack.get("_template") or {}).get("Resources") or {}
        for logical_id, record in list((stack.get("_resources") or {}).items()):
            metadata = (in_template.get(logical_id) or {}).get("Metadata") or {}
            path = str(metadata.get(_PATH) or f"{stack['StackName']}/{logical_id}")
            yield str(stack["StackId"]), path.removesuffix(_OWN_CHILD), record
