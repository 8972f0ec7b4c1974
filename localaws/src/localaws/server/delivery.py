"""What `LocalAws.deliver_as` is given and returns: who sends what, and what became of it.

`deliveries` is the other half, in the server.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

InvocationType = Literal["Event", "RequestResponse"]

_ASYNCHRONOUS = """
    cloudformation codecommit codepipeline config events iot lambda.alarms.cloudwatch logs s3 sns
"""
_SYNCHRONOUS = """
    apigateway batchoperations.s3 cognito-idp connect edgelambda elasticloadbalancing firehose lambda lex
    lexv2 secretsmanager vpc-lattice
"""
# The user of these services chooses.
_EITHER = "pipes rds scheduler ses states"

#: How each service invokes functions: the only way, or all of them.
_INVOKES: Mapping[str, tuple[InvocationType, ...]] = {
    **{f"{name}.amazonaws.com": ("Event",) for name in _ASYNCHRONOUS.split()},
    **{f"{name}.amazonaws.com": ("RequestResponse",) for name in _SYNCHRONOUS.split()},
    **{f"{name}.amazonaws.com": ("Event", "RequestResponse") for name in _EITHER.split()},
    "alexa-appkit.amazon.com": ("RequestResponse",),
    "alexa-connectedhome.amazon.com": ("RequestResponse",),
}
_OPERATIONS = {
    "lambda": "Invoke",
    "sqs": "SendMessage",
    "sns": "Publish",
    "events": "PutEvents",
    "s3": "PutObject",
}
# Their users are not in AWS: they call for no resource of an account.
_WITHOUT_SOURCE = ("alexa-appkit.amazon.com", "alexa-connectedhome.amazon.com")


@dataclass(frozen=True)
class Delivered:
    """An event that its target has accepted.

    Attributes:
        id: The request id of the invocation, the id of the message or event, or the ETag of the object.
        payload: What the function returned or raised; `None` if it was invoked asynchronously.
        function_error: `Unhandled` if the function failed, otherwise `None`.
    """

    id: str
    payload: Any = None
    function_error: str | None = None


def request_to_deliver(
    principal: str,
    source_arn: str,
    target: str,
    event: object,
    *,
    source_account: str,
    invocation_type: InvocationType | None,
    role: str | None,
    reads: Mapping[str, str] | None,
    event_source_token: str | None = None,
) -> dict[str, Any]:
    """Check a delivery, and return it as the server takes it.

    Raises:
        ValueError: An argument is missing, or does not fit the others.
        TypeError: The event cannot be written as JSON.
    """
    sourceless = principal in _WITHOUT_SOURCE
    if sourceless and source_arn:
        raise ValueError(f"source_arn={source_arn!r}: {principal} calls for no resource of AWS; give ''")
    if event_source_token is not None and not sourceless:
        raise ValueError(f"event_source_token: only Alexa sends one, and not {principal}; leave it out")
    for name, arn in (("source_arn", None if sourceless else source_arn), ("target", target), ("role", role)):
        if arn is not None and (not arn.startswith("arn:") or arn.count(":") < 5):
            raise ValueError(f"{name}={arn!r}: give an ARN")
    service = target.split(":")[2]
    if service not in _OPERATIONS:
        raise ValueError(f"target={target!r}: give the ARN of a function, queue, topic, event bus or object")
    if service == "s3" and not (isinstance(event, str) and target.partition("/")[2]):
        raise ValueError(f"target={target!r}: give the ARN of an object, and its text as the event")
    polls = principal == "lambda.amazonaws.com"
    if service != "lambda" and (role or reads or invocation_type):
        raise ValueError("role, reads and invocation_type are for functions; leave them out")
    if polls and not (role and reads):
        raise ValueError(
            "lambda.amazonaws.com polls with the role of the function: give it as role, and what it reads as "
            "reads, such as {'mq:DescribeBroker': broker_arn}"
        )
    if reads and not polls:
        raise ValueError("reads: only the principal lambda.amazonaws.com polls a source; leave it out")
    return {
        "principal": principal,
        "source_arn": source_arn,
        "source_account": "" if sourceless else source_arn.split(":")[4] or source_account,
        "event_source_token": event_source_token or "",
        "target": target,
        "event": json.dumps(event, allow_nan=False),
        "invocation_type": _invocation_type(principal, invocation_type) if service == "lambda" else None,
        "role": role,
        "reads": dict(reads or {}),
    }


def _invocation_type(principal: str, given: InvocationType | None) -> InvocationType:
    known = _INVOKES.get(principal)
    if given is not None and given not in (known or ("Event", "RequestResponse")):
        ways = " or ".join(known or ("Event", "RequestResponse"))
        raise ValueError(f"invocation_type={given!r}: {principal} invokes functions with {ways}")
    if given is None and (known is None or len(known) > 1):
        reason = "is unknown here" if known is None else "invokes functions in both ways"
        raise ValueError(
            f"principal={principal!r} {reason}: give invocation_type='Event' (asynchronous) or "
            "'RequestResponse' (synchronous)"
        )
    return given or known[0]  # type: ignore[index] # known, if nothing was given


def outcome_of(answer: Mapping[str, Any], target: str) -> Delivered:
    """Return what the server answered.

    Raises:
        botocore.exceptions.ClientError: The target refused the event.
    """
    if "Error" not in answer:
        return Delivered(**answer)
    from botocore.exceptions import ClientError  # only when it is needed: it takes a while

    raise ClientError(dict(answer), _OPERATIONS[target.split(":")[2]])  # type: ignore[arg-type] # a plain dict
