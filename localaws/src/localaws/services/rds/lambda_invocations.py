"""`aws_lambda.invoke` of PostgreSQL: a function invoked with the role of the instance or the cluster.

Faithful to: the extensions `aws_commons` 1.2 and `aws_lambda` 1.0, which `rds_superuser` may create; each
signature of `aws_lambda.invoke` and its result; `aws_commons.create_lambda_function_arn`; other users need
USAGE of the schema and EXECUTE. Names, partial ARNs and ARNs, also of functions in other accounts and
Regions; invocation types; the log; qualifiers. The role is the one that is associated for the feature
`Lambda`; it must trust RDS and allow `lambda:InvokeFunction`, and across accounts the function's policy must
allow the role. The function runs as if its API had been called, with Lambda's limits and errors.
`aws_lambda.request_timeout_ms` of the parameter group (3 s) takes effect at once; the function goes on when
the time is over. Parameter groups refuse values that AWS refuses. What has been invoked stays invoked when
the transaction is rolled back. The errors that AWS documents: `invoke API failed`, `lambda invocation
failed`, and those of PostgreSQL about permissions.
Not to: the network, since no packet is filtered. The security group, the route and
`rds.custom_dns_resolution` are in the template only, so `aws_lambda.connect_timeout_ms` has no use here, and
neither has `aws_lambda.endpoint_override`. SET and SHOW of these parameters in a session. A statement that is
cancelled while it waits ends at once; AWS does not say when it does. The texts that AWS does not document: of
a database without a role (that of `aws_s3`), of denied access (Lambda's own), of a time-out (the SDK's), of
arguments that contradict each other (ours). SQLSTATE of these errors is XX000. The client context reaches the
functions of `lambda_.execution` only. `log_result` is what the function printed, without the lines START, END
and REPORT; NULL if it printed nothing. Aurora MySQL, which has no engine here.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL-Lambda.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL-Lambda-functions.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL-Lambda-errors.html
https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-extensions.html
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from ministack.core import iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import lambda_svc

from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_.invocation import call
from localaws.services.lambda_.references import FunctionReference
from localaws.services.rds.associated_roles import PRINCIPAL, role_for

Record = dict[str, Any]
Answer = dict[str, Any]

_ACTION = "lambda:InvokeFunction"
_TYPES, _LOGS = ("RequestResponse", "Event", "DryRun"), ("None", "Tail")
_DEFAULT_TIMEOUT, _TIMEOUTS = 3000, range(1, 900_001)  # milliseconds
# What the parameters of this family may be, and how RDS writes that.
_PARAMETERS: Mapping[str, tuple[range | None, str]] = {
    "aws_lambda.connect_timeout_ms": (_TIMEOUTS, "1-900000"),
    "aws_lambda.request_timeout_ms": (_TIMEOUTS, "1-900000"),
    "aws_lambda.endpoint_override": (None, ""),
    "rds.custom_dns_resolution": (range(2), "0,1"),
}


@refuses("rds", "ModifyDBParameterGroup", "ModifyDBClusterParameterGroup")
def _changed_parameters(request: Parameters) -> Refusal | None:
    given = {one.get("ParameterName"): one.get("ParameterValue") for one in request.get("Parameters") or []}
    return _of_parameters(given)


@refuses("cloudformation", "AWS::RDS::DBParameterGroup", "AWS::RDS::DBClusterParameterGroup")
def _parameters_of_template(properties: Parameters) -> Refusal | None:
    return _of_parameters(properties.get("Parameters") or {})


def _of_parameters(given: Mapping[Any, Any]) -> Refusal | None:
    for name, value in given.items():
        if str(name).startswith("aws_lambda.") and name not in _PARAMETERS:
            return Refusal("InvalidParameterValue", f"Could not find parameter with name: {name}")
        allowed, text = _PARAMETERS.get(str(name), (None, ""))
        known = str(value).isascii() and str(value).isdecimal()
        if allowed is not None and value is not None and not (known and int(str(value)) in allowed):
            said = f"Invalid parameter value: {value} for: {name} allowed values are: {text}"
            return Refusal("InvalidParameterValue", said)
    return None


def answer(record: Record, parameters: Callable[[], Mapping[str, str]], request: Record) -> Answer:
    """Invoke a function for a database, and wait for it no longer than the parameter says.

    Args:
        record: The instance or cluster.
        parameters: Returns the parameters of its parameter groups.
        request: The arguments of `aws_lambda.invoke`.
    """
    answered: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answered.append(_answer(record, request)), daemon=True, name="aws_lambda.invoke"
    )
    thread.start()
    thread.join(timeout(parameters()) / 1000)
    return answered[0] if answered else _api_failed("Timeout was reached")


def timeout(parameters: Mapping[str, str]) -> int:
    """How many milliseconds a database waits for an answer."""
    given = parameters.get("aws_lambda.request_timeout_ms", "")
    return min(max(int(given), _TIMEOUTS[0]), _TIMEOUTS[-1]) if given.isdecimal() else _DEFAULT_TIMEOUT


def _answer(record: Record, request: Record) -> Answer:
    database = str(record.get("DBClusterArn") or record["DBInstanceArn"])
    region, account = database.split(":")[3:5]
    try:
        with request_scope(account, region):
            function = _function(request, region, account)
            _check_role(role_for(record, "Lambda"), database, function)
        with request_scope(function.split(":")[4], function.split(":")[3]):
            return _invoke(function, request, own=function.split(":")[4] == account)
    except _Failed as failed:
        return failed.answer


class _Failed(Exception):
    """The statement fails."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer["error"])
        self.answer = answer


def _api_failed(said: str) -> Answer:
    return {"error": "invoke API failed", "detail": f"AWS Lambda client returned '{said}'."}


def _function(request: Record, region: str, account: str) -> str:
    """The ARN that is invoked, with its qualifier."""
    for name, allowed in (("invocation_type", _TYPES), ("log_type", _LOGS)):
        if request[name] not in allowed:
            text = f"{name} must be one of {', '.join(allowed)} (it is case-sensitive), not {request[name]!r}"
            raise _Failed({"error": f"invalid {name}", "detail": f"{text}."})
    if request["payload"] is None:
        raise _Failed({"error": "payload must not be null", "detail": "Give a JSON value."})
    named = FunctionReference.parse(request["function_name"] or "")
    if named is None:
        raise _Failed({"error": "invalid function_name", "detail": f"It is {request['function_name']!r}."})
    for name, found in (("region", named.region), ("qualifier", named.qualifier)):
        if found and request[name] and request[name] != found:
            text = f"function_name has the {name} {found!r}, and {name} is {request[name]!r}."
            raise _Failed({"error": f"conflicting {name}", "detail": text})
    qualifier = named.qualifier or request["qualifier"] or ""
    whole = FunctionReference(
        named.name, qualifier, named.account or account, named.region or request["region"] or region
    )
    return whole.arn(region, account)


def _check_role(role: str | None, database: str, function: str) -> None:
    if role is None or not role_trusts(role, PRINCIPAL, database, database.split(":")[4]):
        raise _Failed(
            {
                "error": "credentials stored with the database cluster can't be accessed",
                "hint": "Has the IAM role Amazon Resource Name (ARN) been associated with the feature-name "
                '"Lambda"?',
            }
        )
    if not role_allows(role, _ACTION, function):
        session = f"arn:aws:sts::{role.split(':')[4]}:assumed-role/{role.rpartition('/')[2]}/service"
        other = function.split(":")[4] != role.split(":")[4]
        why = "no identity-based policy" + (" or no resource-based policy" if other else "")
        raise _Failed(
            _api_failed(
                f"User: {session} is not authorized to perform: {_ACTION} on resource: {function} because "
                f"{why} allows the {_ACTION} action"
            )
        )


def _invoke(function: str, request: Record, *, own: bool) -> Answer:
    """Invoke the function through its API, with all that Lambda checks and does."""
    if request["log_type"] == "Tail" and not own:
        raise _Failed(_api_failed("Cross-account log access is not allowed"))
    iam_evaluator.pin_request_origin("127.0.0.1", True)  # RDS uses TLS: `aws:SecureTransport`
    call.set(str(uuid4()))
    headers = {"x-amz-invocation-type": request["invocation_type"], "x-amz-log-type": request["log_type"]}
    if request["context"]:
        headers["x-amz-client-context"] = base64.b64encode(request["context"].encode()).decode()
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    payload = request["payload"].encode()
    status, answered, body = asyncio.run(lambda_svc.handle_request("POST", path, headers, payload, {}))
    if status >= 300:
        raise _Failed(_api_failed(json.loads(body)["message"]))
    if error := answered.get("X-Amz-Function-Error"):
        raise _Failed(
            {
                "error": "lambda invocation failed",
                "detail": f'"{function}" returned error "{error}", details: "{body.decode()}".',
            }
        )
    return {
        "status_code": status,
        "payload": body.decode() or None,
        "executed_version": answered.get("X-Amz-Executed-Version"),
        "log_result": answered.get("X-Amz-Log-Result"),
    }
