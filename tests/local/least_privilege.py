"""Least privilege, proven both ways: with every grant the scenario passes, without any one of them it fails.

A grant without which nothing fails is superfluous, unless the embedded AWS cannot enforce it; which ones
those are, and why, is listed here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from scenarios.framework import DeployedStack, ScenarioFailed
from scenarios.support.faults import Faults, Grant

#: What Lambda does with the function's role before and after the handler, which is not emulated.
NOT_ENFORCED: Mapping[str, str] = {
    action: reason
    for reason, actions in {
        "the emulator writes a function's log by itself, not in the name of the function's role": (
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ),
        "no X-Ray daemon runs beside a function": ("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
        "functions run on this machine, without network interfaces of their own": (
            "ec2:CreateNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:DeleteNetworkInterface",
            "ec2:AssignPrivateIpAddresses",
            "ec2:UnassignPrivateIpAddresses",
        ),
    }.items()
    for action in actions
}

_INVOKE_CONFIG = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
_DENIALS = ("is not allowed", "AccessDenied", "not authorized", "does not give you permission")

# How a caller learns that an action is missing where the answer is not one of the AWS API.
_IN_OTHER_WORDS: Mapping[str, str] = {
    # The answer to HEAD has no body: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    "s3:GetObject": "An error occurred (403) when calling the HeadObject operation",
    "s3:ListBucket": "An error occurred (403) when calling the HeadObject operation",
    "rds-db:connect": "The IAM authentication failed for the role",
    "secretsmanager:GetSecretValue": "This RDS proxy has no credentials for the role",
}


@dataclass(frozen=True)
class Finding:
    """What came of taking one grant away.

    Args:
        grant: What was taken away.
        failure: How the scenario failed without it; None if it did not.
    """

    grant: Grant
    failure: str | None


def try_without_each(
    stack: DeployedStack,
    function: str,
    scenario: Callable[[DeployedStack], None],
    *,
    role: str | None = None,
    plant: str | None = None,
    new_instances: bool = False,
    patience: float = 10,
) -> list[Finding]:
    """Run a scenario once for every grant of a role, without that grant.

    Asynchronous events are tried once only meanwhile, so that a denial comes back at once.

    Args:
        stack: The deployed stack, on the embedded AWS.
        function: The function whose role is looked at.
        scenario: Uses every permission; raises `ScenarioFailed`.
        role: Name of another role to look at, without which the function cannot work either.
        plant: An action that the role does not need: it is allowed meanwhile, and must be found.
        new_instances: Whether the function starts anew for every grant. Set it for what is needed at the
            beginning of an instance's life only.
        patience: Seconds that the scenario waits for an effect.

    Raises:
        ScenarioFailed: It fails although nothing was taken away, or not for want of a permission.
    """
    faults = Faults(stack.session)
    hasty = replace(stack, patience=patience)
    role = role or _role_of(stack, function)
    with _without_retries(stack, function), _planted(stack, role, plant):
        scenario(hasty)
        return [
            Finding(grant, _failure_without(grant, faults, hasty, function, scenario, new_instances))
            for grant in faults.grants(role)
            if grant.action not in NOT_ENFORCED
        ]


def superfluous(findings: Sequence[Finding]) -> list[Grant]:
    """The grants without which nothing failed."""
    return [finding.grant for finding in findings if finding.failure is None]


def _failure_without(
    grant: Grant,
    faults: Faults,
    stack: DeployedStack,
    function: str,
    scenario: Callable[[DeployedStack], None],
    new_instances: bool,
) -> str | None:
    seen = len(_log(stack, function))
    with ExitStack() as fault:
        fault.enter_context(faults.without(grant))
        if new_instances:
            fault.enter_context(faults.environment(function, WITHOUT=grant.action))
        try:
            scenario(stack)
        except ScenarioFailed as failed:
            # What may not even tell of its failure (it may not send to the queue) still writes a log.
            # A denial names the action, so one left over from an earlier round is not taken for this one's.
            for line in (str(failed), *_log(stack, function)[seen:], *_pollers(stack, function)):
                if _denied(grant.action, line):
                    return line
            raise ScenarioFailed(f"without {grant.action}, but not for want of it: {failed}") from failed
    return None


def _denied(action: str, line: str) -> bool:
    if action in _IN_OTHER_WORDS and _IN_OTHER_WORDS[action] in line:
        return True
    return action in line and any(denial in line for denial in _DENIALS)


def _role_of(stack: DeployedStack, function: str) -> str:
    configuration = stack.client("lambda").get_function_configuration(FunctionName=function)
    role: str = configuration["Role"].rpartition("/")[2]
    return role


@contextmanager
def _planted(stack: DeployedStack, role: str, action: str | None) -> Iterator[None]:
    if action is None:
        yield
        return
    iam, names = stack.client("iam"), {"RoleName": role, "PolicyName": "planted"}
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(**names, PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(**names)


@contextmanager
def _without_retries(stack: DeployedStack, function: str) -> Iterator[None]:
    client = stack.client("lambda")
    # The qualifier is spelt out because the emulator finds the configuration of no other.
    where = {"FunctionName": function, "Qualifier": "$LATEST"}
    try:
        found = client.get_function_event_invoke_config(**where)
    except client.exceptions.ResourceNotFoundException:  # it is not invoked asynchronously
        yield
        return
    before = {name: found[name] for name in _INVOKE_CONFIG if name in found}
    client.put_function_event_invoke_config(**where, **{**before, "MaximumRetryAttempts": 0})
    try:
        yield
    finally:
        client.put_function_event_invoke_config(**where, **before)


def _pollers(stack: DeployedStack, function: str) -> list[str]:
    """What the event source mappings of the function last met with."""
    mappings = stack.client("lambda").list_event_source_mappings(FunctionName=function)
    return [mapping["LastProcessingResult"] for mapping in mappings["EventSourceMappings"]]


def _log(stack: DeployedStack, function: str) -> list[str]:
    """The function's log so far."""
    client = stack.client("lambda")
    group = client.get_function_configuration(FunctionName=function)["LoggingConfig"]["LogGroup"]
    pages: Any = stack.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"] for page in pages for event in page["events"]]
