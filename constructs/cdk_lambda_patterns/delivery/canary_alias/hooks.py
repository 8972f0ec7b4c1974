"""CodeDeploy → hook → smoke cases against the new version, and a look at its numbers afterwards.

The functions that CodeDeploy asks before the first caller gets a new version, and after the last one got it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration, Stack, Token
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import check_duration, check_range
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard

_TIME_LIMIT_S = (1, 840)
_MARGIN_S = 60  # for CodeDeploy's API and for whatever a start takes
_MEMORY_MB = 256
_PERCENT = (0, 100)
_VERSIONS_KEPT = (1, 1000)
_MAX_CASES_BYTES = 3500  # of the 4,096 of all environment variables


@dataclass(frozen=True, kw_only=True)
class SmokeCase:
    """One call of the new version, and what its answer must hold.

    Args:
        name: What the case is called in the logs, where its expectation may be shown, too.
        payload: What the version is invoked with: anything that JSON has.
        expected: What the answer must hold. Of an object, the keys that are given, and these recursively; of
            everything else, all. Default: any answer that is no error.
        time_limit: How long the call may take, 1 to 840 seconds. Default: 10.

    Raises:
        ValueError: The time limit is outside of that.
    """

    name: str
    payload: Any
    expected: Any = None
    time_limit: Duration | None = None

    def __post_init__(self) -> None:
        check_duration("time_limit", self.time_limit, *_TIME_LIMIT_S, allows="the hook allows")

    @property
    def seconds(self) -> float:
        """The time limit in seconds."""
        return 10 if self.time_limit is None else self.time_limit.to_seconds()


@dataclass(frozen=True, kw_only=True)
class SmokeTest:
    """The built-in hook before traffic: invokes exactly the new version, once for each case.

    Args:
        cases: What is tried, one after the other; the first that fails ends the release.
        options: Sizes, network, logs and the like of the hook.

    Raises:
        ValueError: There is no case, two have one name, or all together take longer than a function may.

    Example::

        SmokeTest(cases=[SmokeCase(name="a price", payload={"article": 1}, expected={"currency": "EUR"})])
    """

    cases: Sequence[SmokeCase]
    options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        if not names:
            raise ValueError("cases=[]: a smoke test without a case lets everything pass; give one.")
        if len(set(names)) < len(names):
            raise ValueError(f"cases={names}: a name stands there twice; the logs could not tell them apart.")
        check_range(
            "time_limit of all cases together",
            sum(case.seconds for case in self.cases),
            *_TIME_LIMIT_S,
            unit="seconds",
            allows="the hook allows",
        )


@dataclass(frozen=True, kw_only=True)
class TrafficCheck:
    """The built-in hook after traffic: is the alias on the new version alone, and did that version do well?

    Args:
        error_percentage: How many of the calls of the new version may have failed since the release began, 0
            to 100 percent.
        versions_kept: Delete old versions, all but so many beside the released one, 1 to 1,000, and never one
            that an alias points at. Default: none is deleted.
        options: Sizes, network, logs and the like of the hook.

    Raises:
        ValueError: A number is outside of that.

    Example::

        TrafficCheck(error_percentage=0.5, versions_kept=10)
    """

    error_percentage: float = 0
    versions_kept: int | None = None
    options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        check_range("error_percentage", self.error_percentage, *_PERCENT, unit="%", allows="the hook allows")
        check_range("versions_kept", self.versions_kept, *_VERSIONS_KEPT, unit="", allows="the hook allows")


def make_pre_traffic_hook(
    scope: Construct,
    function: lambda_.IFunction,
    test: SmokeTest,
) -> HardenedFunction:
    """Make the hook that tries the new version before any caller gets it.

    Raises:
        ValueError: The cases do not fit into the hook's environment.
    """
    seconds = sum(case.seconds for case in test.cases)
    hook = HardenedFunction(
        scope,
        "PreTraffic",
        code=pattern_source("delivery", "canary_alias"),
        handler="handler.pre_traffic",
        description="Tries the version that is about to be released, and tells CodeDeploy",
        environment={**_service("pre-traffic"), "SMOKE_CASES": _cases(scope, test)},
        options=(test.options or FunctionOptions()).with_defaults(
            memory_size=_MEMORY_MB, timeout=Duration.seconds(seconds + _MARGIN_S)
        ),
    )
    versions = f"{function.function_arn}:*"
    _allow(hook, versions, "lambda:InvokeFunction")
    acknowledge_wildcard(
        hook.execution_role,
        versions,
        "Which version is released, the hook is told by CodeDeploy; naming it here would change the policy "
        "seconds before it is needed, and IAM takes longer.",
    )
    return hook


def make_post_traffic_hook(
    scope: Construct,
    function: lambda_.IFunction,
    check: TrafficCheck,
) -> HardenedFunction:
    """Make the hook that looks at the alias and at the new version's numbers once everybody has it."""
    environment = {**_service("post-traffic"), "ERROR_PERCENTAGE": f"{check.error_percentage:g}"}
    if check.versions_kept is not None:
        environment["VERSIONS_KEPT"] = str(check.versions_kept)
    hook = HardenedFunction(
        scope,
        "PostTraffic",
        code=pattern_source("delivery", "canary_alias"),
        handler="handler.post_traffic",
        description="Looks at the version that was released, and tells CodeDeploy",
        environment=environment,
        options=(check.options or FunctionOptions()).with_defaults(
            memory_size=_MEMORY_MB, timeout=Duration.seconds(_MARGIN_S)
        ),
    )
    _allow(hook, "*", "cloudwatch:GetMetricData")
    acknowledge_wildcard(
        hook.execution_role,
        "*",
        "Reading metrics and writing traces have no resource-level permissions: "
        "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html",
    )
    arn = function.function_arn
    if check.versions_kept is None:
        _allow(hook, arn, "lambda:GetAlias")
        return hook
    _allow(hook, arn, "lambda:GetAlias", "lambda:ListAliases", "lambda:ListVersionsByFunction")
    _allow(hook, f"{arn}:*", "lambda:DeleteFunction")  # versions: the function itself has no colon
    acknowledge_wildcard(
        hook.execution_role,
        f"{arn}:*",
        "Which versions are old is known at the release; Lambda deletes none that an alias points at.",
    )
    return hook


def _service(name: str) -> dict[str, str]:
    return {"POWERTOOLS_SERVICE_NAME": name}


def _cases(scope: Construct, test: SmokeTest) -> str:
    cases = [
        {
            "name": case.name,
            "payload": case.payload,
            "expected": case.expected,
            "time_limit": case.seconds,
        }
        for case in test.cases
    ]
    text = json.dumps(cases)
    if len(text.encode()) > _MAX_CASES_BYTES:
        raise ValueError(
            f"cases of {len(text.encode()):,} bytes: the hook holds {_MAX_CASES_BYTES:,} in its environment; "
            "give fewer or smaller ones, or a function of your own as pre_traffic."
        )
    # Names of resources in a case are known when the stack is deployed.
    return Stack.of(scope).to_json_string(cases) if Token.is_unresolved(text) else text


def grant_answering(hook: lambda_.IFunction, group: codedeploy.LambdaDeploymentGroup) -> None:
    """Let a hook read what is released by a deployment group, and answer it."""
    _allow(
        hook,
        group.deployment_group_arn,
        "codedeploy:GetDeployment",
        "codedeploy:PutLifecycleEventHookExecutionStatus",
    )


def _allow(hook: lambda_.IFunction, resource: str, *actions: str) -> None:
    hook.add_to_role_policy(iam.PolicyStatement(actions=list(actions), resources=[resource]))
