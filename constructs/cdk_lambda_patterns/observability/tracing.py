"""REST API → function → queue → function → table in one trace: what is traced, and how to find it.

The decision is made once, where a trace begins, and goes with it. So the API has the rules. Functions with
active tracing follow it, also those that read the messages of the first one. Use it for an API whose requests
differ in what their traces are worth: every order, no health check. Do not use it for a function without a
traced API in front of it: the rate of Lambda itself cannot be configured.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import Annotations, ArnFormat, Fn, Names, Stack, Token
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_xray as xray
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import unqualified
from cdk_lambda_patterns.core.limits import Limit

# https://docs.aws.amazon.com/xray/latest/api/API_SamplingRule.html
_FIXED_RATE = Limit("X-Ray", 0, 1, whole=False)
_RESERVOIR_SIZE = Limit("X-Ray", 0, 2**31 - 1, whole=True)
_URL_PATH = Limit("X-Ray", 1, 128, "characters")
_HTTP_METHOD = Limit("X-Ray", 1, 10, "characters")
_METHOD = re.compile(r"[A-Za-z*?]+")
_PRIORITY = Limit("X-Ray", 1, 9_999, whole=True)
# A name has 32 characters at most: these, a hyphen, 12 of the stack's id, and the number of a rule.
_OWN_LENGTH = 17


@check_types
@dataclass(frozen=True, kw_only=True)
class SamplingRule:
    """How many requests of a kind are traced.

    Args:
        url_path: The path without the stage, with ``*`` and ``?``: ``"/orders/*"``.
        http_method: ``"POST"``; ``"*"`` for all.
        reservoir_size: How many are traced in each second, before the rate applies.
        fixed_rate: Which part of the others, 0 to 1.

    Raises:
        ValueError: A value is outside what X-Ray allows.

    Example::

        SamplingRule(url_path="/health", fixed_rate=0, reservoir_size=0)
    """

    url_path: str = "*"
    http_method: str = "*"
    reservoir_size: int = 1
    fixed_rate: float = 0.05

    def __post_init__(self) -> None:
        _URL_PATH.check("length of url_path", len(self.url_path))
        _HTTP_METHOD.check("length of http_method", len(self.http_method))
        if not Token.is_unresolved(self.url_path) and self.url_path[0] not in "/*?":
            raise ValueError(
                f"url_path={self.url_path!r}: it would match nothing; give a path that begins with / or *."
            )
        if not Token.is_unresolved(self.http_method) and not _METHOD.fullmatch(self.http_method):
            raise ValueError(
                f"http_method={self.http_method!r}: it would match nothing, as the method of a request has "
                'letters only; give one such as "POST", or "*" for all.'
            )
        _RESERVOIR_SIZE.check("reservoir_size", self.reservoir_size)
        _FIXED_RATE.check("fixed_rate", self.fixed_rate)


@check_types
class Tracing(Construct):
    """Sampling rules for a stage of a REST API, and a group of the traces that matter.

    It checks that the stage and the functions are traced at all. X-Ray tries the rules of the whole account
    in the order of their priorities, so those of other stages do not matter here: each rule names this one.
    After them, the rule ``Default`` applies: one request a second, and 5 % of the others.

    Args:
        stage: The stage: ``api.deployment_stage``, or ``Stage.from_stage_attributes``. HTTP APIs have no
            traces.
        rules: Which requests are traced: the first that matches decides. The quota of an account and Region
            is 25, and can be raised.
        priority: The priority of the first rule, 1 to 9,999; each later one has the next.
        functions: Functions in the path of a request, to check that each has active tracing.
        filter_expression: What selects the traces of a group: ``'annotation.order_id AND fault = true'``.
            Default: no group. X-Ray checks its syntax when the stack is deployed.

    Raises:
        ValueError: The stage or a function is not traced, a priority is too high, or a rule would never
            apply.

    Attributes:
        sampling_rules (list[CfnSamplingRule]): The rules, in their order.
        group (CfnGroup | None): The group; ``group.group_name`` is its name in expressions.

    Example::

        options = apigateway.StageOptions(tracing_enabled=True)
        api = apigateway.RestApi(self, "Orders", deploy_options=options)
        api.root.add_method("GET")
        unless_health = SamplingRule(url_path="/health", fixed_rate=0, reservoir_size=0)
        Tracing(self, "Tracing", stage=api.deployment_stage, rules=[unless_health])

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-configuring-xray-sampling-rules.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: apigateway.IStage,
        rules: Sequence[SamplingRule] = (),
        priority: int = 100,
        functions: Sequence[lambda_.IFunction] = (),
        filter_expression: str | None = None,
    ) -> None:
        _PRIORITY.check("priority", priority)
        _PRIORITY.check("priority of the last rule", priority + max(0, len(rules) - 1))
        _check_order(rules)
        if filter_expression is not None and not filter_expression.strip():
            raise ValueError(
                "filter_expression='': every trace would be in the group; give one, or leave it out."
            )
        super().__init__(scope, id)
        self._check_stage(stage)
        for number, function in enumerate(functions):
            self._check_function(number, function)
        arn = Stack.of(stage.rest_api).format_arn(
            service="apigateway",
            region=stage.rest_api.env.region,
            account="",
            resource="/restapis",
            resource_name=f"{stage.rest_api.rest_api_id}/stages/{stage.stage_name}",
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
        name = f"{Names.unique_resource_name(self, max_length=_OWN_LENGTH)}-{_part_of_stack_id(self)}"
        self.sampling_rules = [
            xray.CfnSamplingRule(
                self,
                f"Rule{number}",
                sampling_rule=xray.CfnSamplingRule.SamplingRuleProperty(
                    rule_name=f"{name}{number}",
                    priority=priority + number,
                    reservoir_size=rule.reservoir_size,
                    fixed_rate=rule.fixed_rate,
                    url_path=rule.url_path,
                    http_method=rule.http_method,
                    resource_arn=arn,
                    service_type="AWS::ApiGateway::Stage",
                    service_name="*",
                    host="*",
                    version=1,
                ),
            )
            for number, rule in enumerate(rules)
        ]
        self.group: xray.CfnGroup | None = None
        if filter_expression is not None:
            self.group = xray.CfnGroup(self, "Group", group_name=name, filter_expression=filter_expression)

    def _check_stage(self, stage: apigateway.IStage) -> None:
        resource = stage.node.default_child
        if not isinstance(resource, apigateway.CfnStage):
            Annotations.of(self).add_info(f"stage: {stage.node.path} is imported; check that it is traced.")
        elif resource.tracing_enabled is not True and not Token.is_unresolved(resource.tracing_enabled):
            raise ValueError(
                f"stage={stage.node.path}: it is not traced, so no rule applies to it; give its API "
                "deploy_options=StageOptions(tracing_enabled=True)."
            )

    def _check_function(self, number: int, function: lambda_.IFunction) -> None:
        resource = unqualified(function).node.default_child
        if not isinstance(resource, lambda_.CfnFunction):
            return  # imported
        config = resource.tracing_config
        mode = getattr(config, "mode", None)
        if config is None or mode == "PassThrough":
            raise ValueError(
                f"functions[{number}]={function.node.path}: it has no active tracing, so its part of a trace "
                "is missing; give it tracing=Tracing.ACTIVE."
            )


def _check_order(rules: Sequence[SamplingRule]) -> None:
    """Refuse a rule after one that matches every request."""
    for number, rule in enumerate(rules[:-1]):
        if rule.url_path == "*" and rule.http_method == "*":
            raise ValueError(
                f"rules[{number}]: it matches every request, so no later one would ever apply; make it "
                "the last one."
            )


def _part_of_stack_id(scope: Construct) -> str:
    """Twelve characters that differ in each deployment: the end of the UUID in the stack's id.

    Rules and groups need names, which are unique in an account and Region.
    """
    uuid = Fn.select(2, Fn.split("/", Stack.of(scope).stack_id))
    return Fn.select(4, Fn.split("-", uuid))
