"""CodeDeploy → hook → smoke cases before traffic shifts; CodeDeploy → hook → alias and metrics afterwards.

The built-in functions that CodeDeploy invokes before the first call and after the last shift.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jsii
from aws_cdk import Annotations, CfnResource, Duration, Stack, Token
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IConstruct, IValidation

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit, number_in, text_of
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard
from cdk_lambda_patterns.core.unseen_changes import properties_of

_TIMEOUT = Limit("the smoke test", 1, 840, "seconds")
_LONGEST_S = 900
_MARGIN_S = 60  # for three calls of AWS APIs that must be repeated, and for the report
_MEMORY_MB = 256
_PERCENTAGE = Limit("the traffic check", 0, 100, "%", whole=False)
_VERSIONS_KEPT = Limit("the traffic check", 1, 1000)
_MAX_CASES_BYTES = 3500  # of the 4,096 for all environment variables


@check_types
@dataclass(frozen=True, kw_only=True)
class SmokeCase:
    """One invocation of the new version, and what its response must contain.

    Args:
        name: Name of the case in the logs, where ``expected`` may be shown as well.
        payload: The event: any JSON value.
        expected: What the response must contain. Of an object only the given keys are compared, recursively;
            any other value must be equal. Default: any response that is not an error.
        timeout: How long the invocation may take, 1 to 840 seconds. Default: 10 seconds.

    Raises:
        ValueError: The timeout is out of range.
    """

    name: str
    payload: Any
    expected: Any = None
    timeout: Duration = field(default_factory=lambda: Duration.seconds(10))

    def __post_init__(self) -> None:
        _TIMEOUT.check("timeout", self.timeout)


@check_types
@dataclass(frozen=True, kw_only=True)
class SmokeTest:
    """The built-in hook before traffic shifts: invokes exactly the new version, once for each case.

    Args:
        cases: Tried one after another; the first one that fails ends the release.
        options: Memory, logs and other settings of the hook's function.

    Raises:
        ValueError: There is no case, two cases have the same name, or all of them may take longer than a
            function may run.

    Example::

        SmokeTest(cases=[SmokeCase(name="a price", payload={"article": 1}, expected={"currency": "EUR"})])
    """

    cases: Sequence[SmokeCase]
    options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        if not names:
            raise ValueError("cases=[]: a smoke test without cases passes any version; give at least one.")
        if len(set(names)) < len(names):
            raise ValueError(f"cases={names}: duplicate name; give each case its own, for the logs.")
        if self.seconds is not None:
            _TIMEOUT.check("timeout of all cases together", self.seconds)

    @property
    def seconds(self) -> float | None:
        """How long all cases together may take; ``None`` if it is known only at deployment."""
        if any(case.timeout.is_unresolved() for case in self.cases):
            return None
        return sum(case.timeout.to_seconds() for case in self.cases)


@check_types
@dataclass(frozen=True, kw_only=True)
class TrafficCheck:
    """The built-in hook after the last shift: checks the alias and the error rate of the new version.

    Args:
        error_percentage: How many of the new version's calls may have failed since the release began, 0 to
            100 percent.
        versions_kept: Delete old versions except for this many before the released one, 1 to 1,000, and
            except for those that an alias points at. Default: none is deleted.
        options: Memory, logs and other settings of the hook's function.

    Raises:
        ValueError: A number is out of range.

    Example::

        TrafficCheck(error_percentage=0.5, versions_kept=10)
    """

    error_percentage: float = 0
    versions_kept: int | None = None
    options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        _PERCENTAGE.check("error_percentage", self.error_percentage)
        _VERSIONS_KEPT.check("versions_kept", self.versions_kept)


def make_smoke_test(scope: Construct, function: lambda_.IFunction, test: SmokeTest) -> HardenedFunction:
    """Make the hook that invokes the new version before any caller does.

    Raises:
        ValueError: The cases do not fit into the hook's environment.
    """
    hook = HardenedFunction(
        scope,
        "PreTraffic",
        code=pattern_source("delivery", "canary_alias"),
        handler="canary_alias.handler.pre_traffic",
        description="Invokes the version that is about to be released, and reports to CodeDeploy",
        environment={"POWERTOOLS_SERVICE_NAME": "pre-traffic", "SMOKE_CASES": _cases(scope, test)},
        options=_options(test.options, test.seconds),
    )
    versions = f"{function.function_arn}:*"
    _allow(hook, versions, "lambda:InvokeFunction")
    acknowledge_wildcard(
        hook.execution_role,
        versions,
        "The hook reads from the deployment which version is released. Naming that version here would change "
        "the policy seconds before it is used, and IAM takes longer to apply a change.",
    )
    return hook


def make_traffic_check(
    scope: Construct, function: lambda_.IFunction, check: TrafficCheck
) -> HardenedFunction:
    """Make the hook that checks the alias and the new version's metrics after the last shift."""
    environment = {
        "POWERTOOLS_SERVICE_NAME": "post-traffic",
        "ERROR_PERCENTAGE": text_of(check.error_percentage),
    }
    if check.versions_kept is not None:
        environment["VERSIONS_KEPT"] = text_of(check.versions_kept)
    hook = HardenedFunction(
        scope,
        "PostTraffic",
        code=pattern_source("delivery", "canary_alias"),
        handler="canary_alias.handler.post_traffic",
        description="Checks the version that was released, and reports to CodeDeploy",
        environment=environment,
        options=_options(check.options),
    )
    _allow(hook, "*", "cloudwatch:GetMetricData")
    acknowledge_wildcard(
        hook.execution_role,
        "*",
        "Reading metrics and writing traces have no resource-level permissions: "
        "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html",
    )
    arn = function.function_arn
    _allow(hook, arn, "lambda:GetAlias")
    if check.versions_kept is not None:
        _allow(hook, arn, "lambda:ListAliases", "lambda:ListVersionsByFunction")
        _allow(
            hook, f"{arn}:*", "lambda:DeleteFunction"
        )  # versions, not the function: no qualifier in its ARN
        acknowledge_wildcard(
            hook.execution_role,
            f"{arn}:*",
            "Which versions are old is known only at the release; Lambda refuses to delete one that an alias "
            "points at.",
        )
    return hook


def imported_if_elsewhere(
    scope: Construct, id: str, hook: lambda_.IFunction | None
) -> lambda_.IFunction | None:
    """Import a hook that is from another stack; return any other one as it is.

    The CDK's deployment group writes a reference to itself into the role of its hook. From another stack that
    would be a cycle, because the group refers to the hook; an imported function has no role.
    """
    if hook is None or Stack.of(hook) is Stack.of(scope):
        return hook
    # CodeDeploy's role has the permission to invoke it, so the function's own policy needs none.
    return lambda_.Function.from_function_attributes(
        scope, id, function_arn=hook.function_arn, skip_permissions=True
    )


def grant_report(hook: lambda_.IFunction, group: codedeploy.LambdaDeploymentGroup) -> IConstruct | None:
    """Let a hook read the deployment that it belongs to, and report its result.

    Returns:
        What must exist before a release begins; ``None`` for an imported function, whose role is unknown.
    """
    statement = iam.PolicyStatement(
        actions=["codedeploy:GetDeployment", "codedeploy:PutLifecycleEventHookExecutionStatus"],
        resources=[group.deployment_group_arn],
    )
    if hook.role is not None and Stack.of(hook.role) is not Stack.of(group):
        # The hook's stack cannot refer to the deployment group, because the group's stack refers to the hook.
        return iam.Policy(group, f"PolicyOf{hook.node.addr}", statements=[statement], roles=[hook.role])
    if hook.role is None:
        Annotations.of(group).add_warning_v2(
            "cdk-lambda-patterns:importedHookRole",
            f"{hook.node.path} is imported without its role. Make sure that the role may perform "
            f"{' and '.join(statement.actions)}, or a release waits for the hook's report until it fails.",
        )
    hook.add_to_role_policy(statement)
    return hook.role


@jsii.implements(IValidation)
class HooksDoNotNeedTheAlias:
    """A hook exists before the alias changes, so it cannot refer to it: CloudFormation refuses the circle.

    Args:
        alias: The alias.
        hooks: The hooks of its releases.
    """

    def __init__(self, alias: lambda_.Alias, hooks: Sequence[lambda_.IFunction]) -> None:
        self._alias, self._hooks = alias, hooks

    def validate(self) -> list[str]:
        """Return an error for each hook that refers to the alias. The CDK calls this."""
        stack = Stack.of(self._alias)
        resource = self._alias.node.default_child
        alias_id = stack.resolve(resource.logical_id) if isinstance(resource, CfnResource) else ""
        return [
            f"{hook.node.path}: this hook refers to the alias {self._alias.alias_name!r}, which "
            "CloudFormation changes only after the hook. Name the alias without a reference (the function's "
            "name, a colon and the alias's name), or read from the deployment what is released."
            for hook in self._hooks
            if any(_refers_to(alias_id, stack, part) for part in (hook, hook.role) if part is not None)
        ]


def _refers_to(logical_id: str, stack: Stack, scope: IConstruct) -> bool:
    for node in scope.node.find_all():
        if isinstance(node, lambda_.CfnFunction | iam.CfnPolicy) and Stack.of(node) is stack:
            text = json.dumps(properties_of(node))
            if f'"{logical_id}"' in text or f"${{{logical_id}" in text:
                return True
    return False


def _options(given: FunctionOptions | None, seconds: float | None = 0) -> FunctionOptions:
    """Give a hook the time that its work takes, and the time to report in any case.

    If how long the work takes is known only at deployment, the hook may run as long as Lambda allows.
    """
    needed = _LONGEST_S if seconds is None else seconds + _MARGIN_S
    options = (given or FunctionOptions()).with_defaults(
        memory_size=_MEMORY_MB, timeout=Duration.seconds(needed)
    )
    Limit("the hook", needed, _LONGEST_S, "seconds").check("timeout", options.timeout)
    return options


def _allow(hook: lambda_.IFunction, resource: str, *actions: str) -> None:
    hook.add_to_role_policy(iam.PolicyStatement(actions=list(actions), resources=[resource]))


def _cases(scope: Construct, test: SmokeTest) -> str:
    cases = [
        {
            "name": case.name,
            "payload": case.payload,
            "expected": case.expected,
            "timeout": number_in("seconds", f"timeout of the case {case.name!r}", case.timeout),
        }
        for case in test.cases
    ]
    text = json.dumps(cases)
    if len(text.encode()) > _MAX_CASES_BYTES:
        raise ValueError(
            f"cases of {len(text.encode()):,} bytes: the hook has {_MAX_CASES_BYTES:,} bytes for them in its "
            "environment; give fewer or smaller ones, or a function of your own as pre_hook."
        )
    # Names of resources in a case are known only when the stack is deployed.
    return Stack.of(scope).to_json_string(cases) if Token.is_unresolved(text) else text
