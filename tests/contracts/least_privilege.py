"""Least privilege, proven both ways: with all of its grants a scenario passes, without any one it fails.

`superfluous_grants` tries it: it takes away one grant after the other (`--full`), and what the embedded AWS
explains of the denial has to name exactly that grant. `unused_grants` learns it from one run: the embedded
AWS records which permissions were used, and a grant is needed if something was used that no other grant of
the role allows. That costs nothing, and is weaker in one respect: it does not see that the policy of a
resource allows the same.

A grant that is not needed is superfluous, unless the embedded AWS cannot enforce it; the actions for which
that is so are listed here with the reason.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase

from localaws import Explanation, LocalAws, Used
from localaws.explanations import pattern
from scenarios.framework import Covered, DeployedStack, ScenarioFailed, giving_up_when, require
from scenarios.support.faults import Faults, Grant
from tests.contracts.roles import role_of

#: What Lambda does with the function's role before and after the handler, which is not emulated.
NOT_ENFORCED: Mapping[str, str] = {
    action: reason
    for reason, actions in {
        "the emulator writes the logs of a function itself, not with the function's role": (
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ),
        "without traces a function works all the same, and Step Functions sends none": (
            "xray:PutTraceSegments",
            "xray:PutTelemetryRecords",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        ),
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

#: An action that no role of this library needs. It is allowed meanwhile, and has to be found superfluous.
PLANTED = "ssm:DescribeParameters"

_INVOKE_CONFIG = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
_DENIALS = ("is not allowed", "AccessDenied", "not authorized", "does not give you permission")

# What Firehose writes into its log, which names no action.
_FIREHOSE = "Access was denied. Ensure that"
# How a denial reads where it is not an answer of the AWS API that names the action.
_OTHER_DENIALS: Mapping[str, tuple[str, ...]] = {
    # The response to HEAD has no body: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    "s3:GetObject": ("An error occurred (403) when calling the HeadObject operation", _FIREHOSE),
    "s3:ListBucket": ("An error occurred (403) when calling the HeadObject operation", _FIREHOSE),
    "lambda:InvokeFunction": ("For troubleshooting Function URL authorization issues", _FIREHOSE),
    "lambda:InvokeFunctionUrl": ("For troubleshooting Function URL authorization issues",),
    "rds-db:connect": (
        "The IAM authentication failed for the role",  # of the client
        "This RDS proxy has no credentials for the role",  # of the proxy, which logs in to the database
    ),
    **dict.fromkeys(
        (
            *("lambda:GetFunctionConfiguration", "s3:AbortMultipartUpload", "s3:GetBucketLocation"),
            *("s3:ListBucketMultipartUploads", "s3:PutObject"),
        ),
        (_FIREHOSE,),
    ),
    "elasticfilesystem:ClientMount": ("EFSMountFailureException",),
    "elasticfilesystem:ClientWrite": ("Read-only file system",),
    "secretsmanager:GetSecretValue": ("This RDS proxy has no credentials for the role",),
    "kms:Decrypt": ("because KMS access was denied",),  # what Lambda says in place of variables
    "execute-api:Invoke": ('{"message":"Forbidden"}',),  # all that an HTTP API says
    # A REST API does not show what the service behind it has refused.
    "states:StartSyncExecution": ("'error': 'InternalServerError'",),
    **dict.fromkeys(
        (
            "logs:CreateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:UpdateLogDelivery",
        ),
        ("The state machine IAM Role is not authorized to access the Log Destination",),
    ),
}


def unused_grants(grants: Sequence[Grant], covered: Covered, used: Iterable[Used]) -> set[str]:
    """Return the actions of the grants that nothing has needed.

    Args:
        grants: All grants of a role.
        covered: The role.
        used: The permissions that the role has used.
    """
    needed = set()
    for use in used:
        giving = [grant for grant in grants if _gives(grant, use)]
        if len(giving) == 1:
            needed.add(giving[0])
    return {
        grant.action
        for grant in grants
        if grant.action not in {*NOT_ENFORCED, *covered.only_for_failures} and grant not in needed
    }


def _gives(grant: Grant, use: Used) -> bool:
    return fnmatchcase(use.action.lower(), grant.action.lower()) and _covers(grant, use.resource)


def named_otherwise(grants: Sequence[Grant], used: Iterable[Used]) -> list[str]:
    """Return the uses of a single grant whose denial would be explained by a resource outside the grant."""
    return [
        f"{use.action} on {pattern(use.resource)}"
        for use in used
        if len(giving := [grant for grant in grants if _gives(grant, use)]) == 1
        and not _covers(giving[0], pattern(use.resource))
    ]


def _covers(grant: Grant, resource: str) -> bool:
    # What a policy variable stands for differs from caller to caller.
    patterns = (re.sub(r"\$\{[^}]*\}", "*", one) for one in grant.resources)
    return any(fnmatchcase(resource, one) for one in patterns)


def used_by(role: str, uses: Iterable[Used], since: float) -> list[Used]:
    """Return the permissions that a role of the account has used since then."""
    return [one for one in uses if one.principal.endswith(f":assumed-role/{role}") and one.last > since]


def superfluous_grants(stack: DeployedStack, covered: Covered, aws: LocalAws) -> set[str]:
    """Run a scenario once for each grant of a role, without that grant.

    Asynchronous events are tried only once meanwhile, and waiting ends when a denial is logged.

    Args:
        stack: The deployed stack, on the embedded AWS.
        covered: The role, and the scenario that uses each of its grants.
        aws: The embedded AWS.

    Returns:
        The actions without which the scenario passes.

    Raises:
        ScenarioFailed: It fails although nothing was taken away, or for another reason than a denial; or the
            explanation of the denial names another grant than the one that was taken away.
    """
    faults = Faults(stack.session)
    hasty = replace(stack, patience=covered.patience)
    function = stack.output(covered.function or covered.role_of)
    role = physical_role(stack, covered.role_of)
    with _without_retries(stack, function), _planted(stack, role):
        covered.scenario(stack)
        return {
            grant.action
            for grant in faults.grants(role)
            if grant.action not in {*NOT_ENFORCED, *covered.only_for_failures}
            and not _fails_without(grant, faults, hasty, function, covered, aws)
        }


def _fails_without(
    grant: Grant, faults: Faults, stack: DeployedStack, function: str, covered: Covered, aws: LocalAws
) -> bool:
    log, since = _log(stack, function), time.time()

    def denial() -> str | None:
        # A denial names the action, so one that is left from an earlier round is not taken for this one.
        lines = (*log(), *_pollers(stack, function))
        return next((line for line in lines if _denied(grant.action, line)), None)

    with ExitStack() as fault:
        fault.enter_context(faults.without(grant))
        if covered.new_instances:
            fault.enter_context(faults.environment(function, WITHOUT=grant.action))
        try:
            with giving_up_when(denial):
                covered.scenario(stack)
        except ScenarioFailed as failed:
            if _denied(grant.action, str(failed)) or denial():
                check_explained(grant, aws.explain(since))
                return True
            raise ScenarioFailed(f"without {grant.action}, but not denied: {failed}") from failed
    return False


def check_explained(removed: Grant, explained: Iterable[Explanation]) -> None:
    """Check that what was taken away is what the explanation of the denial says is missing.

    It names the objects of a folder where the statement has all of the bucket: it does not know of others.

    Raises:
        ScenarioFailed: It names something else, or there is no explanation.
    """
    mine = [
        one
        for one in explained
        if one.action == removed.action and f":assumed-role/{removed.role}/" in one.principal
    ]
    named = [one for one in mine if _names(removed, one)]
    require(bool(named), f"without {removed}, the explanations name {[one.grants for one in mine]}")


def _names(removed: Grant, explained: Explanation) -> bool:
    grants = explained.grants
    if not grants and any(one.layer == "identity policy" for one in explained.unmet):
        return True  # another statement, which has conditions, allows the same
    if len(grants) != 1 or (grants[0].layer, grants[0].actions) != ("identity policy", (removed.action,)):
        return False
    [resource] = grants[0].resources
    return fnmatchcase(explained.resource, resource) and _covers(removed, resource)


def _denied(action: str, line: str) -> bool:
    if any(denial in line for denial in _OTHER_DENIALS.get(action, ())):
        return True
    return action in line and any(denial in line for denial in _DENIALS)


def physical_role(stack: DeployedStack, output: str) -> str:
    """Return the name of the role of what an output names."""
    client = stack.client("cloudformation")
    template = client.get_template(StackName=stack.name)["TemplateBody"]
    template = json.loads(template) if isinstance(template, str) else template
    resources = client.describe_stack_resources(StackName=stack.name)["StackResources"]
    names = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in resources}
    name: str = names[role_of(template, output)]
    return name


@contextmanager
def _planted(stack: DeployedStack, role: str) -> Iterator[None]:
    iam, names = stack.client("iam"), {"RoleName": role, "PolicyName": "planted"}
    statement = {"Effect": "Allow", "Action": PLANTED, "Resource": "*"}
    iam.put_role_policy(
        **names, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    try:
        yield
    finally:
        iam.delete_role_policy(**names)


@contextmanager
def _without_retries(stack: DeployedStack, function: str) -> Iterator[None]:
    client = stack.client("lambda")
    # The qualifier is given because the emulator finds the configuration of no other.
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
    """Return what the event source mappings of a function last reported."""
    mappings = stack.client("lambda").list_event_source_mappings(FunctionName=function)
    return [mapping["LastProcessingResult"] for mapping in mappings["EventSourceMappings"]]


def _log(stack: DeployedStack, function: str) -> Callable[[], list[str]]:
    """Return what reads a function's log from now on: a whole log would take long again and again."""
    found = stack.client("lambda").get_function_configuration(FunctionName=function)
    pages = stack.client("logs").get_paginator("filter_log_events")
    where = {"logGroupName": found["LoggingConfig"]["LogGroup"], "startTime": int(time.time() * 1000)}
    return lambda: [event["message"] for page in pages.paginate(**where) for event in page["events"]]
