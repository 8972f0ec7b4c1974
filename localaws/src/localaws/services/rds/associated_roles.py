"""The IAM roles of instances and clusters: AssociatedRoles, one for each feature of the engine.

Faithful to: AddRoleToDBInstance, AddRoleToDBCluster and their Remove, `AssociatedRoles` of
`AWS::RDS::DBInstance` and `AWS::RDS::DBCluster`, also when they change, and in the answers of Describe. An
instance needs a feature name, a cluster does not (Aurora MySQL has none). A feature has one role, a database
at most five. RDS must be allowed to assume the role, with `aws:SourceArn` and `aws:SourceAccount` of the
database; the caller, or what deploys the stack, needs `iam:PassRole`. The status of the database must be
`available`. What the feature `Lambda` does is in `rds.lambda_invocations`.
Not to: the features `s3Import` and `s3Export`, Aurora's `SageMaker`, `Comprehend` and `Bedrock`, and those of
other engines, which are only recorded. The states PENDING and INVALID of an association: it is ACTIVE at
once. The message about a feature that PostgreSQL does not have is our own.

https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_AddRoleToDBInstance.html
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_AddRoleToDBCluster.html
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RemoveRoleFromDBInstance.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PostgreSQL.S3Import.AccessPermission.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from ministack.services import rds

from localaws.patching import Properties, around, new_action
from localaws.services.iam.functions import pass_role_refused
from localaws.services.iam.roles import role_trusts

Record = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]

PRINCIPAL = "rds.amazonaws.com"
_MOST = 5
_FEATURES = ("Lambda", "s3Import", "s3Export")
_FEATURES_OF = {
    "postgres": _FEATURES,
    "aurora-postgresql": (*_FEATURES, "SageMaker", "Comprehend", "Bedrock"),
}


class _Refused(Exception):
    """RDS refuses the association; the arguments are the code, the message and the status of the error."""


def set_roles(record: Record, properties: Properties) -> None:
    """Associate the roles that a template names with a new or updated database.

    Raises:
        ValueError: RDS would refuse one.
    """
    record["AssociatedRoles"] = []
    for given in properties.get("AssociatedRoles") or []:
        try:
            _associate(record, given.get("RoleArn") or "", given.get("FeatureName") or "")
        except _Refused as refused:
            code, message, _status = refused.args
            raise ValueError(f"{code}: {message}") from None


def role_for(record: Record, feature: str) -> str | None:
    """The role of a database for a feature."""
    for each in record.get("AssociatedRoles") or []:
        if each["FeatureName"] == feature:
            return str(each["RoleArn"])
    return None


def _kind(record: Record) -> str:
    return "DBCluster" if "DBClusterArn" in record else "DBInstance"


def _associate(record: Record, role: str, feature: str) -> None:
    kind, roles = _kind(record), record.setdefault("AssociatedRoles", [])
    if kind == "DBInstance" and not feature:
        raise _Refused("InvalidParameterValue", "The parameter FeatureName must be provided.", 400)
    known = _FEATURES_OF.get(record["Engine"])
    if feature and known and feature not in known:
        message = (
            f"The feature name {feature} isn't supported for {record['Engine']}; it has {', '.join(known)}."
        )
        raise _Refused("InvalidParameterValue", message, 400)
    if any(each["FeatureName"] == feature if feature else each["RoleArn"] == role for each in roles):
        message = f"The specified RoleArn or FeatureName value is already associated with the {kind}."
        raise _Refused(f"{kind}RoleAlreadyExists", message, 400)
    if len(roles) >= _MOST:
        message = f"You can't associate more than {_MOST} IAM roles with the {kind}."
        raise _Refused(f"{kind}RoleQuotaExceeded", message, 400)
    arn = str(record[f"{kind}Arn"])
    if not role_trusts(role, PRINCIPAL, arn, arn.split(":")[4]):
        message = (
            "IAM role ARN value is invalid or does not include the required permissions for: "
            "AWS Role Integration"
        )
        raise _Refused("InvalidParameterValue", message, 400)
    roles.append({"RoleArn": role, "FeatureName": feature, "Status": "ACTIVE"})


def _dissociate(record: Record, role: str, feature: str) -> None:
    kind, roles = _kind(record), record.get("AssociatedRoles") or []
    for each in roles:
        if (each["RoleArn"], each["FeatureName"]) == (role, feature):
            roles.remove(each)
            return
    message = f"The specified RoleArn value doesn't match the specified feature for the {kind}."
    raise _Refused(f"{kind}RoleNotFound", message, 404)


# --- The API


def _declare(verb: str, kind: str, change: Callable[[Record, str, str], None]) -> None:
    name = f"{verb}{kind}"

    @new_action(rds, name)
    def act(p: Properties) -> Response:
        identifier = rds._p(p, f"{kind}Identifier")
        find = rds._resolve_instance if kind == "DBInstance" else rds._resolve_cluster_in_request_region
        record = find(identifier)
        answer: Response
        if record is None:
            code = "DBInstanceNotFound" if kind == "DBInstance" else "DBClusterNotFoundFault"
            answer = rds._error(code, f"{kind} {rds._esc(identifier)} not found.", 404)
            return answer
        status = record["DBInstanceStatus" if kind == "DBInstance" else "Status"]
        try:
            if status != "available":
                code = "InvalidDBInstanceState" if kind == "DBInstance" else "InvalidDBClusterStateFault"
                raise _Refused(code, f"{kind} {identifier} is {status}, and must be available.", 400)
            change(record, rds._p(p, "RoleArn"), rds._p(p, "FeatureName"))
        except _Refused as refused:
            code, message, number = refused.args
            answer = rds._error(code, rds._esc(message), number)
            return answer
        answer = rds._xml(200, f"{name}Response", "")
        return answer


for _kind_name in ("DBInstance", "DBCluster"):
    _declare("AddRoleTo", _kind_name, _associate)
    _declare("RemoveRoleFrom", _kind_name, _dissociate)


@around(rds, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Response]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Response:
    parameters = parse_qs(body.decode(errors="replace")) if body else {}
    if parameters.get("Action", [""])[0].startswith("AddRoleTo"):
        refused: Response | None = pass_role_refused(
            "rds", parameters.get("RoleArn", [""])[0], headers, query_params
        )
        if refused:
            return refused
    return await stock(method, path, headers, body, query_params)


@around(rds, "_instance_xml")
def _instance_xml(stock: Callable[[Record], str], i: Record) -> str:
    return _with_roles(stock(i), i)


@around(rds, "_cluster_xml")
def _cluster_xml(stock: Callable[[Record], str], c: Record) -> str:
    return _with_roles(stock(c), c)


def _with_roles(xml: str, record: Record) -> str:
    kind = _kind(record)
    roles = "".join(
        f"<{kind}Role>"
        + "".join(f"<{name}>{rds._esc(value)}</{name}>" for name, value in each.items() if value)
        + f"</{kind}Role>"
        for each in record.get("AssociatedRoles") or []
    )
    return xml.replace("<AssociatedRoles/>", f"<AssociatedRoles>{roles}</AssociatedRoles>")
