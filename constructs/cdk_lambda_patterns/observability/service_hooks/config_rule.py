"""AWS Config (a change of a resource, or a regular time) → Lambda → PutEvaluations.

Use it for rules that need code. Do not use it where one of AWS's managed rules or a few lines of Guard
(``config.CustomPolicy``) will do. The account needs a configuration recorder: AWS refuses rules without one.
"""

import json
from collections.abc import Mapping, Sequence

from aws_cdk import RemovalPolicy, Token
from aws_cdk import aws_config as config
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard

# https://docs.aws.amazon.com/config/latest/APIReference/API_ConfigRule.html
_PARAMETERS = Limit("AWS Config", 2, 1024, "characters of JSON")
# https://docs.aws.amazon.com/config/latest/APIReference/API_Scope.html
_TYPES = Limit("AWS Config", 0, 100, "types of resources")
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_config.html
_REPORT, _HISTORY = "config:PutEvaluations", "config:GetResourceConfigHistory"


@check_types
class ConfigFunctionRule(Construct):
    """A custom rule of AWS Config, and the function that evaluates resources.

    Config invokes the function asynchronously when a resource in the rule's scope has changed, at a regular
    time, or both. The function answers with ``PutEvaluations`` and the token of the event: at most 100
    evaluations a call, each with the time of the event as ``OrderingTimestamp``. An item that is too large
    for an event comes as a summary; the function gets the rest with ``GetResourceConfigHistory``. What is
    deleted is ``NOT_APPLICABLE``: otherwise its last result stays.

    The role has this library's statements only, and not the managed policy that the CDK's ``CustomRule``
    attaches. Events that failed three times are in the failure queue.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        resource_types: The rule is for changes of resources of these types, at most 100. Default: none.
        frequency: How often the rule is for all resources. Default: every 24 hours if there are no
            ``resource_types``, else never.
        parameters: What the function gets as ``ruleParameters``, at most 1,024 characters of JSON.
        description: What the rule demands, at most 256 characters.
        asynchronous: Retries and maximum age of the events.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to queue and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: A setting is not allowed.

    Attributes:
        function (HardenedFunction): The function. Grant it what it looks at.
        rule (CustomRule): The rule.
        failure_queue (IQueue): Events that the function could not work on.

    Example::

        runtimes = ConfigFunctionRule(
            self,
            "Runtimes",
            code="worker",
            resource_types=[config.ResourceType.LAMBDA_FUNCTION],
            parameters={"runtimes": "python3.14"},
        )

    https://docs.aws.amazon.com/config/latest/developerguide/evaluate-config_develop-rules.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        resource_types: Sequence[config.ResourceType] = (),
        frequency: config.MaximumExecutionFrequency | None = None,
        parameters: Mapping[str, str] | None = None,
        description: str | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if not resource_types:
            frequency = frequency or config.MaximumExecutionFrequency.TWENTY_FOUR_HOURS
        if description is not None and not Token.is_unresolved(description):
            Limit("AWS Config", 0, 256, "characters").check("len(description)", len(description))
        if parameters is not None and not any(map(Token.is_unresolved, parameters.values())):
            text = json.dumps(dict(parameters), separators=(",", ":"), ensure_ascii=False)
            _PARAMETERS.check("len(parameters)", len(text))
        _TYPES.check("len(resource_types)", len(resource_types))
        names = [one.compliance_resource_type for one in resource_types]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"resource_types: {', '.join(sorted(repeated))} is given twice; give it once.")
        super().__init__(scope, id)
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            description="Evaluates resources for a rule of AWS Config",
            asynchronous=asynchronous or AsyncOptions(),
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        assert self.function.failure_queue is not None
        self.failure_queue: sqs.IQueue = self.function.failure_queue
        role = self.function.execution_role
        actions = [_REPORT, *([_HISTORY] if resource_types else [])]
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=["*"]))
        acknowledge_wildcard(
            role, "*", "Evaluations, histories and X-Ray have no resource-level permissions."
        )
        # The function may be invoked for any rule of the account: the rule's ARN is unknown before it exists,
        # and it cannot exist before the function has the permission.
        self.rule = config.CustomRule(
            self,
            "Rule",
            lambda_function=self.function,
            configuration_changes=bool(resource_types),
            rule_scope=config.RuleScope.from_resources(list(resource_types)) if resource_types else None,
            periodic=frequency is not None,
            maximum_execution_frequency=frequency,
            input_parameters=dict(parameters) if parameters else None,
            description=description,
        )
