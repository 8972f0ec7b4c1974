"""What templates say of APIs: CORS, stages, request validators, usage plans.

The emulator's CloudFormation handlers store settings under the names of the template, where the API reads
them under those of its own calls, and drop others.

Faithful to: CORS and route settings of HTTP APIs; of REST APIs the request validators, the validator of a
method, the access log, cache and method settings of a stage, and the limits of methods in a usage plan.
Not to: `StageDescription` of a deployment, which declares a stage of its own.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGateway.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGatewayV2.html
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from ministack.services import apigateway, apigateway_v1
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, new_resource, resource

_Settle = Callable[[str, Properties], None]


def _settled(type_: str) -> Callable[[_Settle], _Settle]:
    """Declare what is done with a resource's id and properties after its creation and each update."""

    def decorate(settle: _Settle) -> _Settle:
        handlers = resource(type_)

        @handlers.create
        def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
            made = stock(logical_id, properties, stack)
            settle(made[0], properties)
            return made

        @handlers.update
        def _update(
            stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
        ) -> Created:
            made = stock(physical_id, old, new, stack, logical_id)
            settle(made[0], new)
            return made

        return settle

    return decorate


def _camel(value: Any) -> Any:
    return provisioners._pascal_to_camel(copy.deepcopy(value))


# --- HTTP APIs


@_settled("AWS::ApiGatewayV2::Api")
def _settle_api(api: str, properties: Properties) -> None:
    if settings := properties.get("CorsConfiguration"):
        given = _camel(settings)
        if given.get("maxAge") is not None:
            given["maxAge"] = int(given["maxAge"])
        if "allowCredentials" in given:
            given["allowCredentials"] = str(given["allowCredentials"]).lower() == "true"
        apigateway._apis[api]["corsConfiguration"] = given


@_settled("AWS::ApiGatewayV2::Stage")
def _settle_stage(_id: str, properties: Properties) -> None:
    stage = apigateway._stages[properties["ApiId"]][properties["StageName"]]
    stage["defaultRouteSettings"] = _camel(properties.get("DefaultRouteSettings") or {})
    routes = properties.get("RouteSettings") or {}
    stage["routeSettings"] = {key: _camel(settings) for key, settings in routes.items()}


@_settled("AWS::ApiGatewayV2::Authorizer")
def _settle_authorizer(authorizer: str, properties: Properties) -> None:
    if properties.get("AuthorizerType") == "REQUEST":
        found = apigateway._authorizers[properties["ApiId"]][authorizer]
        found["identitySource"] = properties.get("IdentitySource") or []


@around(apigateway, "_create_deployment")
def _create_deployment(stock: Callable[..., Any], api_id: str, data: dict[str, Any]) -> Any:
    """Deploy to the stage that is given."""
    response = stock(api_id, data)
    stage = apigateway._stages.get(api_id, {}).get(data.get("stageName"))
    if response[0] < 400 and stage is not None:
        stage["deploymentId"] = json.loads(response[2])["deploymentId"]
    return response


_deployments = new_resource("AWS::ApiGatewayV2::Deployment", replaced_by=("ApiId",))


@_deployments.create
def _create_deployment_of_template(logical_id: str, properties: Properties, stack: str) -> Created:
    response = apigateway._create_deployment(properties["ApiId"], _camel(properties))
    if response[0] >= 400:
        raise ValueError(f"AWS::ApiGatewayV2::Deployment: {json.loads(response[2])['message']}")
    made = json.loads(response[2])["deploymentId"]
    return made, {"DeploymentId": made}


@_deployments.update
def _update_deployment(physical_id: str, old: Properties, new: Properties, stack: str) -> Created:
    return physical_id, {"DeploymentId": physical_id}


@_deployments.delete
def _delete_deployment(physical_id: str, properties: Properties) -> None:
    apigateway._deployments.get(properties.get("ApiId"), {}).pop(physical_id, None)


# --- REST APIs


@_settled("AWS::ApiGateway::RestApi")
def _settle_rest_api(api: str, properties: Properties) -> None:
    closed = _yes(properties.get("DisableExecuteApiEndpoint"))
    apigateway_v1._rest_apis[api]["disableExecuteApiEndpoint"] = closed


@_settled("AWS::ApiGateway::Method")
def _settle_method(_id: str, properties: Properties) -> None:
    resources = apigateway_v1._resources[properties["RestApiId"]]
    method = resources[properties["ResourceId"]]["resourceMethods"][properties["HttpMethod"]]
    method["requestValidatorId"] = properties.get("RequestValidatorId")
    integration = properties.get("Integration") or {}
    if integration.get("CacheNamespace"):
        method["methodIntegration"]["cacheNamespace"] = integration["CacheNamespace"]


@_settled("AWS::ApiGateway::RequestValidator")
def _settle_validator(validator: str, properties: Properties) -> None:
    apigateway_v1._request_validators.setdefault(properties["RestApiId"], {})[validator] = {
        "id": validator,
        "name": properties.get("Name"),
        "validateRequestBody": _yes(properties.get("ValidateRequestBody")),
        "validateRequestParameters": _yes(properties.get("ValidateRequestParameters")),
    }


@resource("AWS::ApiGateway::RequestValidator").delete
def _delete_validator(stock: Handler, physical_id: str, properties: Properties) -> None:
    apigateway_v1._request_validators.get(properties.get("RestApiId"), {}).pop(physical_id, None)
    stock(physical_id, properties)


@_settled("AWS::ApiGateway::Stage")
def _settle_rest_stage(name: str, properties: Properties) -> None:
    stage = apigateway_v1._stages_v1[properties["RestApiId"]][name]
    stage["accessLogSettings"] = _camel(properties.get("AccessLogSetting") or {})
    stage["cacheClusterEnabled"] = _yes(properties.get("CacheClusterEnabled"))
    stage["cacheClusterSize"] = properties.get("CacheClusterSize")
    if stage["cacheClusterEnabled"]:
        stage["cacheClusterStatus"] = "AVAILABLE"


@_settled("AWS::ApiGateway::UsagePlan")
def _settle_plan(plan: str, properties: Properties) -> None:
    for entry in apigateway_v1._usage_plans[plan]["apiStages"]:
        entry["throttle"] = {key: _camel(limits) for key, limits in (entry.get("throttle") or {}).items()}


def _yes(value: Any) -> bool:
    return json.dumps(value).strip('"').lower() == "true"
