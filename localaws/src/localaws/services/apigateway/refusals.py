"""What API Gateway refuses of APIs, in API calls and in templates, in AWS's words where they are known.

    call or template -> the emulator changes its record -> a rule forbids it? -> the record as before, error

The emulator accepts nearly everything.

Faithful to: the rules of `http_rules` and `rest_rules`. A refused call changes nothing; a refused resource
fails its deployment.
Not to: the order of the rules where more than one is broken, quotas, and WebSocket APIs.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html
https://docs.aws.amazon.com/apigateway/latest/api/API_Operations.html
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ministack.services import apigateway, apigateway_v1

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.apigateway import http_rules, rest_rules
from localaws.services.apigateway.http_rules import Problem, Rule

Response = tuple[int, dict[str, Any], bytes]

#: Whether a handler of a template makes the current call.
of_template: ContextVar[bool] = ContextVar("localaws_api_of_template", default=False)


@dataclass(frozen=True)
class Kind:
    """Records of one kind, and the rule for them.

    Attributes:
        module: Of the emulator.
        store: Its table, by the id of the API.
        rule: What is wrong with a record, if anything.
        functions: What changes records.
        type: The CloudFormation type.
    """

    module: Any
    store: str
    rule: Rule
    functions: tuple[str, ...]
    type: str

    def records(self, api: str) -> dict[str, Any]:
        """The records of an API; of APIs and usage plans it is the one with this id."""
        store = getattr(self.module, self.store)
        if self.store in _OF_NO_API:
            return {key: value for key, value in store.items() if not api or key == api}
        return dict(store.get(api, {}))

    def restore(self, api: str, records: Mapping[str, Any]) -> None:
        """Put the records back."""
        store = getattr(self.module, self.store)
        if self.store not in _OF_NO_API:
            store[api] = dict(records)
            return
        for key in self.records(api).keys() - records.keys():
            del store[key]
        for key, value in records.items():
            store[key] = value

    def problem(self, api: str, before: Mapping[str, Any], given: Iterable[str]) -> Problem | None:
        """What is wrong with the records that have changed."""
        now = self.records(api)
        for key, record in now.items():
            others = [one for other, one in now.items() if other != key]
            if record == before.get(key):
                continue
            try:
                found = self.rule(api, record, others, set(given))
            except (TypeError, ValueError):  # a rule compares numbers, and patches are texts
                found = http_rules.bad("Invalid value specified: it must be a number")
            if found:
                return found
        return None


_OF_NO_API = ("_apis", "_usage_plans")
HTTP, REST = apigateway, apigateway_v1
_KINDS = [
    Kind(HTTP, "_apis", http_rules.api, ("_create_api", "_update_api"), "AWS::ApiGatewayV2::Api"),
    Kind(HTTP, "_routes", http_rules.route, ("_create_route", "_update_route"), "AWS::ApiGatewayV2::Route"),
    Kind(
        *(HTTP, "_integrations", http_rules.integration, ("_create_integration", "_update_integration")),
        "AWS::ApiGatewayV2::Integration",
    ),
    Kind(HTTP, "_stages", http_rules.stage, ("_create_stage", "_update_stage"), "AWS::ApiGatewayV2::Stage"),
    Kind(
        *(HTTP, "_authorizers", http_rules.authorizer, ("_create_authorizer", "_update_authorizer")),
        "AWS::ApiGatewayV2::Authorizer",
    ),
    Kind(
        *(REST, "_resources", rest_rules.resource),
        ("_create_resource", "_update_resource", "_put_method", "_put_integration", "_update_integration"),
        "AWS::ApiGateway::Resource",
    ),
    Kind(REST, "_resources", rest_rules.resource, (), "AWS::ApiGateway::Method"),
    Kind(
        *(REST, "_stages_v1", rest_rules.stage, ("_create_stage", "_update_stage")),
        "AWS::ApiGateway::Stage",
    ),
    Kind(
        *(REST, "_authorizers_v1", rest_rules.authorizer, ("_create_authorizer", "_update_authorizer")),
        "AWS::ApiGateway::Authorizer",
    ),
    Kind(REST, "_models", rest_rules.model, ("_create_model", "_update_model"), "AWS::ApiGateway::Model"),
    Kind(
        *(REST, "_deployments_v1", rest_rules.deployment, ("_create_deployment",)),
        "AWS::ApiGateway::Deployment",
    ),
    Kind(
        *(REST, "_usage_plans", rest_rules.usage_plan, ("_create_usage_plan", "_update_usage_plan")),
        "AWS::ApiGateway::UsagePlan",
    ),
]


def _guard_calls(kind: Kind, name: str) -> None:
    @around(kind.module, name, after=["apigateway.state_machines"])
    def _call(stock: Callable[..., Response], *args: Any, **more: Any) -> Response:
        data = next((one for one in (*args, *more.values()) if isinstance(one, dict)), {})
        api = args[0] if args and isinstance(args[0], str) else ""
        creates = name.startswith("_create")
        known = (
            creates and kind.store in ("_stages", "_stages_v1") and data.get("stageName") in kind.records(api)
        )
        before = copy.deepcopy(kind.records(api))
        if known:
            return _error(kind, ("ConflictException", "Stage already exists", 409))
        response = stock(*args, **more)
        found = kind.problem(api, before, data if creates else ()) if response[0] < 400 else None
        if found is None:
            return response
        kind.restore(api, before)
        return _error(kind, found)


def _error(kind: Kind, problem: Problem) -> Response:
    """The response to a call; inside a template's handler, which would not read it, an exception."""
    if of_template.get():
        raise _failure(kind, problem)
    make = apigateway._apigw_error if kind.module is HTTP else apigateway_v1._v1_error
    response: Response = make(*problem)
    return response


def _failure(kind: Kind, problem: Problem) -> ValueError:
    return ValueError(f"{kind.type}: {problem[1]} ({problem[0]})")


def _guard_templates(kind: Kind) -> None:
    handlers = resource(kind.type, after=["apigateway.apis", "apigateway.state_machines"])

    def refuse(api: str, before: Mapping[str, Any], properties: Properties) -> None:
        given = [name[:1].lower() + name[1:] for name in properties]
        if found := kind.problem(api, before, given):
            kind.restore(api, before)
            raise _failure(kind, found)

    def run(handler: Handler, *given: Any) -> Created:
        token = of_template.set(True)
        try:
            return handler(*given)
        finally:
            of_template.reset(token)

    @handlers.create
    def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
        api = properties.get("ApiId") or properties.get("RestApiId") or ""
        before = copy.deepcopy(kind.records(api))
        made = run(stock, logical_id, properties, stack)
        refuse(api, before, properties)
        return made

    @handlers.update
    def _update(
        stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
    ) -> Created:
        api = new.get("ApiId") or new.get("RestApiId") or physical_id
        before = copy.deepcopy(kind.records(api))
        made = run(stock, physical_id, old, new, stack, logical_id)
        refuse(api, before, new)
        return made


for _kind in _KINDS:
    for _name in _kind.functions:
        _guard_calls(_kind, _name)
    _guard_templates(_kind)


@around(apigateway_v1, "_update_account")
def _update_account(stock: Callable[..., Response], data: dict[str, Any]) -> Response:
    before = copy.deepcopy(apigateway_v1._account_settings.get("settings") or {})
    response = stock(data)
    role = (apigateway_v1._account_settings.get("settings") or {}).get("cloudwatchRoleArn")
    if role and role != before.get("cloudwatchRoleArn") and not rest_rules.may_log(role):
        apigateway_v1._account_settings["settings"] = before
        refused: Response = apigateway_v1._v1_error("BadRequestException", rest_rules.ROLE, 400)
        return refused
    return response


@resource("AWS::ApiGateway::Account").create
def _create_account(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    role = properties.get("CloudWatchRoleArn")
    if role and not rest_rules.may_log(role):
        raise ValueError(f"AWS::ApiGateway::Account: {rest_rules.ROLE}")
    return stock(logical_id, properties, stack)
