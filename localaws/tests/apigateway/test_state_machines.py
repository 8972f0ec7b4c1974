"""Express workflows behind REST and HTTP APIs, and workflows that call APIs."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from helpers.http import Endpoint, HttpResponse
from helpers.lambda_functions import Functions
from helpers.stacks import arn, deploy, ref, role
from localaws import LocalAws
from localaws.services.apigateway.mapping_templates import TemplateFailed, render

PARAMS = {"path": {"id": "7"}, "querystring": {"q": "a b"}, "header": {"X": "it's"}}

REQUEST = """{"stateMachineArn": "MACHINE", "name": "$context.requestId",
 "input": "$util.escapeJavaScript($input.body).replaceAll("\\\\'", "'")"}"""
RESPONSE = """#if($input.path('$.status').toString().equals("SUCCEEDED"))
$input.path('$.output')
#else
#if($input.path('$.status').toString().equals("TIMED_OUT"))
#set($code = 504)
#else
#set($code = 409)
#end
#set($context.responseOverride.status = $code)
{"error": "$input.path('$.error')"}
#end"""
STATES = {
    "StartAt": "Which",
    "States": {
        "Which": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.do", "StringEquals": "fail", "Next": "Fail"},
                {"Variable": "$.do", "StringEquals": "wait", "Next": "Wait"},
            ],
            "Default": "Done",
        },
        "Fail": {"Type": "Fail", "Error": "OutOfStock", "Cause": "none left"},
        "Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "Done"},
        "Done": {"Type": "Pass", "End": True},
    },
    "TimeoutSeconds": 120,
}


# --- Templates


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$input.body", '{"a": {"b": [1, "it\'s"]}}'),
        ("$input.json('$.a')", '{"b":[1,"it\'s"]}'),
        ("$input.path('$.a.b[0]')$input.path('$.a.b').size()", "12"),
        ("$input.path('$.none')", ""),
        ("$input.params('id')$input.params('q')$input.params('none')", "7a b"),
        ("$util.escapeJavaScript($input.json('$.a.b[1]'))", '\\"it\\\'s\\"'),
        ("$util.escapeJavaScript($input.json('$.a.b[1]')).replaceAll(\"\\\\'\",\"'\")", '\\"it\'s\\"'),
        ("$util.urlEncode('a b')$util.base64Encode('x')$util.base64Decode('eA==')", "a+beA==x"),
        ("#foreach($n in $input.params().path.keySet())$n#if($foreach.hasNext),#end#end", "id"),
        ('#if($input.path("$.a.b[0]") == 1)one#{else}other#end', "one"),
        ("$util.parseJson('{\"x\": [2]}').x.get(0)", "2"),
    ],
)
def test_templates_know_the_variables_of_api_gateway(template: str, text: str) -> None:
    body = '{"a": {"b": [1, "it\'s"]}}'
    assert render(template, body=body, params=PARAMS, context={"requestId": "r"}) == (text, None)


def test_a_template_sets_the_status_of_the_response() -> None:
    template = "#set($context.responseOverride.status = 418)$context.requestId"
    assert render(template, body="", params=PARAMS, context={"requestId": "r"}) == ("r", 418)


def test_a_template_that_cannot_be_applied_says_so() -> None:
    with pytest.raises(TemplateFailed):
        render("#if($x)", body="", params=PARAMS, context={})


# --- APIs


@dataclass(frozen=True)
class Fronts:
    """Both APIs in front of one workflow."""

    aws: LocalAws
    outputs: dict[str, str]

    def post(self, front: str, body: object, path: str = "/orders") -> HttpResponse:
        address = self.aws.address_of_api(self.outputs[front])
        prefix = "/prod" if front == "Rest" else ""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        endpoint = Endpoint.of(address, address.host)
        headers = [("Content-Type", "application/json")]
        return endpoint.request("POST", prefix + path, headers=headers, body=content)


def fronts_template(*, allowed: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    machine = {
        "StateMachineType": "EXPRESS",
        "RoleArn": arn("MachineRole"),
        "Definition": STATES,
    }
    actions = ("states:StartSyncExecution", "states:StartExecution") if allowed else ()
    grants = [(action, ref("Machine")) for action in actions]
    request = REQUEST.split("MACHINE")
    method = {
        "RestApiId": ref("Rest"),
        "ResourceId": ref("Orders"),
        "HttpMethod": "POST",
        "AuthorizationType": "NONE",
        "Integration": {
            "Type": "AWS",
            "IntegrationHttpMethod": "POST",
            "Uri": {"Fn::Sub": "arn:aws:apigateway:${AWS::Region}:states:action/StartSyncExecution"},
            "Credentials": arn("ApiRole"),
            "PassthroughBehavior": "NEVER",
            "RequestTemplates": {
                "application/json": {"Fn::Join": ["", [request[0], ref("Machine"), request[1]]]}
            },
            "IntegrationResponses": [
                {"StatusCode": "200", "ResponseTemplates": {"application/json": RESPONSE}},
                {"StatusCode": "400", "SelectionPattern": "4\\d{2}"},
            ],
        },
    }
    integration = {
        "ApiId": ref("Http"),
        "IntegrationType": "AWS_PROXY",
        "IntegrationSubtype": "StepFunctions-StartSyncExecution",
        "PayloadFormatVersion": "1.0",
        "CredentialsArn": arn("ApiRole"),
        "RequestParameters": {"StateMachineArn": ref("Machine"), "Input": "$request.body"},
    }
    nested = {
        **integration,
        "RequestParameters": {"StateMachineArn": ref("Machine"), "Input": "$request.body.inner"},
    }
    started = {**integration, "IntegrationSubtype": "StepFunctions-StartExecution"}
    started_target = {"Fn::Join": ["/", ["integrations", ref("Started")]]}
    target = {"Fn::Join": ["/", ["integrations", ref("Integration")]]}
    nested_target = {"Fn::Join": ["/", ["integrations", ref("Nested")]]}
    resources = {
        "MachineRole": role(service="states.amazonaws.com"),
        "Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine},
        "ApiRole": role(*grants, service="apigateway.amazonaws.com"),
        "Rest": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "rest"}},
        "Orders": {
            "Type": "AWS::ApiGateway::Resource",
            "Properties": {
                "RestApiId": ref("Rest"),
                "ParentId": {"Fn::GetAtt": ["Rest", "RootResourceId"]},
                "PathPart": "orders",
            },
        },
        "Method": {"Type": "AWS::ApiGateway::Method", "Properties": method},
        "Deployment": {
            "Type": "AWS::ApiGateway::Deployment",
            "DependsOn": "Method",
            "Properties": {"RestApiId": ref("Rest"), "StageName": "prod"},
        },
        "Http": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "http", "ProtocolType": "HTTP"}},
        "Integration": {"Type": "AWS::ApiGatewayV2::Integration", "Properties": integration},
        "Nested": {"Type": "AWS::ApiGatewayV2::Integration", "Properties": nested},
        "Started": {"Type": "AWS::ApiGatewayV2::Integration", "Properties": started},
        "StartedRoute": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {"ApiId": ref("Http"), "RouteKey": "POST /started", "Target": started_target},
        },
        "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {"ApiId": ref("Http"), "RouteKey": "POST /orders", "Target": target},
        },
        "NestedRoute": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {"ApiId": ref("Http"), "RouteKey": "POST /nested", "Target": nested_target},
        },
        "Stage": {
            "Type": "AWS::ApiGatewayV2::Stage",
            "Properties": {"ApiId": ref("Http"), "StageName": "$default", "AutoDeploy": True},
        },
    }
    return resources, {"Rest": ref("Rest"), "Http": ref("Http"), "Machine": ref("Machine")}


@pytest.fixture(scope="module")
def fronts(local_aws: LocalAws) -> Fronts:
    return Fronts(local_aws, deploy(local_aws, *fronts_template()).outputs)


@pytest.mark.local
def test_a_rest_api_answers_what_its_templates_make(fronts: Fronts) -> None:
    order = {"do": 'it\'s "done" é'}
    answer = fronts.post("Rest", order)
    assert (answer.status, answer.json()) == (200, order)
    answer = fronts.post("Rest", {"do": "fail"})
    assert (answer.status, answer.json()) == (409, {"error": "OutOfStock"})


@pytest.mark.local
def test_an_http_api_answers_what_step_functions_answers(fronts: Fronts) -> None:
    answer = fronts.post("Http", {"do": "it"})
    assert (answer.status, answer.json()["status"]) == (200, "SUCCEEDED")
    assert json.loads(answer.json()["output"]) == {"do": "it"}
    failed = fronts.post("Http", {"do": "fail"})
    assert (failed.status, failed.json()["status"], failed.json()["error"]) == (200, "FAILED", "OutOfStock")
    assert isinstance(failed.json()["startDate"], float)
    inner = fronts.post("Http", {"inner": {"do": "x"}}, "/nested")
    assert json.loads(inner.json()["output"]) == {"do": "x"}


@pytest.mark.local
def test_an_api_starts_an_execution_without_waiting_for_it(fronts: Fronts) -> None:
    answer = fronts.post("Http", {"do": "wait", "seconds": 100}, "/started")
    assert (answer.status, set(answer.json())) == (200, {"executionArn", "startDate"})


@pytest.mark.local
@pytest.mark.parametrize(("front", "status"), [("Rest", 504), ("Http", 503)])
def test_an_api_waits_no_longer_than_it_can(fronts: Fronts, front: str, status: int) -> None:
    assert fronts.post(front, {"do": "wait", "seconds": 28}).status == 200
    late = fronts.post(front, {"do": "wait", "seconds": 31})
    assert (late.status, set(late.json())) == (status, {"message"})


@pytest.mark.local
def test_an_execution_that_times_out_before_the_api_is_mapped(fronts: Fronts) -> None:
    client = fronts.aws.client("stepfunctions")
    machine, states = fronts.outputs["Machine"], {**STATES, "TimeoutSeconds": 20}
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(states))
    assert fronts.post("Rest", {"do": "wait", "seconds": 25}).status == 504
    answer = fronts.post("Http", {"do": "wait", "seconds": 25})
    assert (answer.status, answer.json()["status"]) == (200, "TIMED_OUT")
    client.update_state_machine(stateMachineArn=machine, definition=json.dumps(STATES))


@pytest.mark.local
@pytest.mark.parametrize("front", ["Rest", "Http"])
def test_step_functions_refuses_input_that_is_not_json(fronts: Fronts, front: str) -> None:
    for body in (b"not JSON", b"[" * 100_000 + b"]" * 100_000, b"9" * 5000, b"[NaN]"):
        answer = fronts.post(front, body)
        assert (answer.status, answer.json()["__type"]) == (400, "InvalidExecutionInput")
        assert not any(word in answer.json()["message"] for word in ("recursion", "set_int_max_str_digits"))


@pytest.mark.local
@pytest.mark.parametrize("front", ["Rest", "Http"])
def test_the_role_of_the_integration_is_asked(local_aws: LocalAws, front: str) -> None:
    made = Fronts(local_aws, deploy(local_aws, *fronts_template(allowed=False)).outputs)
    answer = made.post(front, {"do": "it"})
    assert answer.status == 400
    assert "states:StartSyncExecution" in answer.json()["message"]


@pytest.mark.local
def test_still_needed_the_emulator_runs_no_workflow_behind_an_api(stock_aws: LocalAws) -> None:
    made = Fronts(stock_aws, deploy(stock_aws, *fronts_template()).outputs)
    assert {made.post(front, {"do": "it"}).status for front in ("Rest", "Http")} <= {500, 502, 504}


# --- Workflows that call an API

PRICES = """
import json
def handler(event, context):
    query = event.get("queryStringParameters") or {}
    if query.get("product") == "none":
        return {"statusCode": 404, "body": json.dumps({"message": "unknown"})}
    seen = {"query": query, "body": event.get("body"), "x": event["headers"].get("x-a")}
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(seen)}
"""


@dataclass(frozen=True)
class Prices:
    """An HTTP API whose routes ask for IAM."""

    functions: Functions
    api: str

    def call(self, *allowed: str, **parameters: Any) -> dict[str, Any]:
        """Run a workflow that calls the API, with a role that may invoke these routes."""
        aws = self.functions.aws
        grants = [
            ("execute-api:Invoke", f"arn:aws:execute-api:{aws.region}:{aws.account}:{self.api}/{route}")
            for route in allowed
        ]
        given = {
            "ApiEndpoint": f"{self.api}.execute-api.{aws.region}.amazonaws.com",
            "Method": "GET",
            "Stage": "prod",
            "Path": "/prices",
            "AuthType": "IAM_ROLE",
            **parameters,
        }
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::apigateway:invoke",
            "Parameters": given,
            "End": True,
        }
        client = aws.client("stepfunctions")
        machine = client.create_state_machine(
            name=f"machine-{uuid.uuid4().hex[:8]}",
            definition=json.dumps({"StartAt": "Call", "States": {"Call": task}}),
            type="EXPRESS",
            roleArn=self.functions.role(*grants, service="states.amazonaws.com"),
        )["stateMachineArn"]
        answer: dict[str, Any] = client.start_sync_execution(stateMachineArn=machine, input="{}")
        return answer


@pytest.fixture
def prices(functions: Functions) -> Prices:
    aws, function = functions.aws, functions.make(PRICES)
    client = aws.client("apigatewayv2")
    api = client.create_api(Name="prices", ProtocolType="HTTP")["ApiId"]
    integration = client.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=functions.arn("lambda", f"function:{function}"),
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    for key in ("GET /prices", "POST /prices"):
        client.create_route(
            ApiId=api, RouteKey=key, Target=f"integrations/{integration}", AuthorizationType="AWS_IAM"
        )
    client.create_stage(ApiId=api, StageName="prod", AutoDeploy=True)
    aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    return Prices(functions, api)


@pytest.mark.local
def test_a_task_calls_a_route_as_the_role_of_its_workflow(prices: Prices) -> None:
    answer = prices.call("prod/GET/prices", QueryParameters={"product": ["a b"]}, Headers={"X-A": ["1", "2"]})
    assert answer["status"] == "SUCCEEDED", answer.get("cause")
    output = json.loads(answer["output"])
    assert (output["StatusCode"], output["StatusText"]) == (200, "OK")
    assert output["ResponseBody"]["query"] == {"product": "a b"}
    assert output["ResponseBody"]["x"] == "1,2"
    assert "application/json" in {value for values in output["Headers"].values() for value in values}
    posted = prices.call("prod/POST/prices", Method="POST", RequestBody={"a": 1})
    assert json.loads(json.loads(posted["output"])["ResponseBody"]["body"]) == {"a": 1}


@pytest.mark.local
def test_the_role_needs_that_route_and_a_status_is_an_error(prices: Prices) -> None:
    other = prices.call("prod/POST/prices")
    assert (other["status"], other["error"]) == ("FAILED", "ApiGateway.403")
    assert prices.call("prod/GET/prices", AuthType="NO_AUTH")["error"] == "ApiGateway.403"
    unknown = prices.call("prod/GET/prices", QueryParameters={"product": ["none"]})
    assert (unknown["error"], json.loads(unknown["cause"])) == ("ApiGateway.404", {"message": "unknown"})
    assert prices.call("prod/GET/prices", Headers={"Authorization": "x"})["error"] == "States.Runtime"
