"""SyncExpressWorkflow: limits, permissions, what it says of errors, and who may call it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns import LogOptions
from cdk_lambda_patterns.workflow.sync_express import SyncExpressWorkflow
from localaws.services.apigateway.mapping_templates import render
from tests.templates import Resources, stack_with

ARN = "arn:aws:states:eu-west-1:123456789012:stateMachine:theirs"
# Each is a name that a Fail state or a function may give its error.
ODD_NAMES = ("Foo$Bar", "not in stock", 'a "quoted" one', "back\\slash", "#if($x)", "Übergröße", "E" * 256)
STATUSES = {"OutOfStock": 409, "Busy": 503, **dict.fromkeys(ODD_NAMES, 418)}
NO_PARAMETERS: dict[str, dict[str, str]] = {"path": {}, "querystring": {}, "header": {}}


def a_stack() -> Stack:
    """A stack of an app that is synthesised without the slow validation."""
    return Stack(App(builtin_cloud_formation_validation=False), "S")


def make(stack: Stack, **more: Any) -> SyncExpressWorkflow:
    if "state_machine" not in more:
        more["definition"] = sfn.Pass(stack, "State")
    return SyncExpressWorkflow(stack, "Workflow", **more)


def rest(workflow: SyncExpressWorkflow, regional: bool = False, **more: Any) -> apigateway.Method:
    types = [apigateway.EndpointType.REGIONAL] if regional else None
    api = apigateway.RestApi(Stack.of(workflow), "Rest", endpoint_types=types)
    return workflow.add_rest_method(api.root.add_resource("orders"), **more)


def http(workflow: SyncExpressWorkflow, **more: Any) -> apigatewayv2.HttpRoute:
    return workflow.add_http_route(apigatewayv2.HttpApi(Stack.of(workflow), "Http"), "/orders", **more)


@stack_with
def both(stack: Stack) -> None:
    workflow = make(stack)
    rest(workflow, statuses=STATUSES)
    http(workflow)


def test_it_is_an_express_workflow_that_logs_all_events_without_data(both: Resources) -> None:
    machine = both.only("AWS::StepFunctions::StateMachine")
    assert machine["StateMachineType"] == "EXPRESS"
    assert json.loads(machine["DefinitionString"])["TimeoutSeconds"] == 25
    logging = machine["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)
    assert machine["TracingConfiguration"] == {"Enabled": True}


def test_callers_need_iam_unless_the_app_says_otherwise(both: Resources) -> None:
    assert both.only("AWS::ApiGateway::Method")["AuthorizationType"] == "AWS_IAM"
    assert both.only("AWS::ApiGatewayV2::Route")["AuthorizationType"] == "AWS_IAM"


def test_everybody_may_call_only_if_the_app_says_so() -> None:
    stack = a_stack()
    workflow = make(stack)
    rest(workflow, authorization=apigateway.AuthorizationType.NONE)
    http(workflow, authorization=apigatewayv2.HttpNoneAuthorizer())
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::ApiGateway::Method", {"AuthorizationType": "NONE"})
    template.has_resource_properties("AWS::ApiGatewayV2::Route", {"AuthorizationType": "NONE"})


def test_each_api_may_start_this_workflow_and_nothing_else(both: Resources) -> None:
    (machine,) = both.all("AWS::StepFunctions::StateMachine")
    for role in ("RestordersPOSTStartSyncExecutionRole", "WorkflowHttpPOSTordersInvokeRole"):
        (statement,) = both.statements(role)
        assert (statement["Action"], statement["Resource"]) == ("states:StartSyncExecution", {"Ref": machine})


def test_the_body_is_the_input_behind_both_apis(both: Resources) -> None:
    parameters = both.only("AWS::ApiGatewayV2::Integration")["RequestParameters"]
    assert parameters["Input"] == "$request.body"
    template = both.only("AWS::ApiGateway::Method")["Integration"]["RequestTemplates"]["application/json"]
    text = "".join(part if isinstance(part, str) else "ARN" for part in template["Fn::Join"][1])
    body = '{"a": "it\'s \\"quoted\\" / é"}'
    sent, _ = render(text, body=body, params=NO_PARAMETERS, context={"requestId": "r-1"})
    assert json.loads(sent) == {"stateMachineArn": "ARN", "name": "r-1", "input": body}


# --- Responses


def response(both: Resources, code: int, answer: dict[str, Any]) -> tuple[int, Any]:
    """What the REST API makes of an answer of Step Functions."""
    integration = both.only("AWS::ApiGateway::Method")["Integration"]
    pattern = {200: None, 400: "4\\d{2}", 500: "5\\d{2}"}[code]
    [chosen] = [one for one in integration["IntegrationResponses"] if one.get("SelectionPattern") == pattern]
    template = chosen["ResponseTemplates"]["application/json"]
    text, status = render(template, body=json.dumps(answer), params=NO_PARAMETERS, context={})
    return status or int(chosen["StatusCode"]), json.loads(text)


@pytest.mark.parametrize(
    ("error", "cause", "status", "body"),
    [
        ("OutOfStock", 'it\'s "gone"', 409, {"error": "OutOfStock", "message": 'it\'s "gone"'}),
        (
            "Busy",
            '{"errorMessage": "x", "stackTrace": ["secret"]}',
            503,
            {"error": "Busy", "message": "The workflow ended with this error"},
        ),
        *((name, "It is so.", 418, {"error": name, "message": "It is so."}) for name in ODD_NAMES),
        (
            "KeyError",
            "'secret'",
            500,
            {"error": "InternalServerError", "message": "Internal server error"},
        ),
    ],
)
def test_an_error_becomes_its_status_and_shows_nothing_of_the_inside(
    both: Resources, error: str, cause: str, status: int, body: dict[str, str]
) -> None:
    failed = {"status": "FAILED", "error": error, "cause": cause}
    assert response(both, 200, failed) == (status, body)


def test_the_output_becomes_the_response(both: Resources) -> None:
    assert response(both, 200, {"status": "SUCCEEDED", "output": '{"a": [1]}'}) == (200, {"a": [1]})


@pytest.mark.parametrize("more", [{}, {"error": "States.Timeout"}])
def test_a_timeout_is_504(both: Resources, more: dict[str, str]) -> None:
    status, body = response(both, 200, {"status": "TIMED_OUT", **more})
    assert (status, body["error"]) == (504, "Timeout")


@pytest.mark.parametrize(
    ("code", "refusal", "status"),
    [
        (400, "InvalidExecutionInput", 400),
        (400, "com.amazon.coral.validate#ValidationException", 413),
        (400, "com.amazon.coral.availability#ThrottlingException", 503),
        (400, "AccessDeniedException", 500),
        (500, "InternalFailure", 500),
    ],
)
def test_a_refusal_of_step_functions_becomes_a_status(
    both: Resources, code: int, refusal: str, status: int
) -> None:
    answer = response(both, code, {"__type": refusal, "message": "User: arn:aws:sts::1:secret"})
    assert answer[0] == status
    assert "secret" not in json.dumps(answer[1])


# --- Limits


@pytest.mark.parametrize("seconds", [0, 301])
def test_a_timeout_is_at_most_five_minutes(seconds: int) -> None:
    with pytest.raises(ValueError, match=f"^timeout={seconds}: an Express workflow allows 1 to 300 seconds"):
        make(a_stack(), timeout=Duration.seconds(seconds))


@pytest.mark.parametrize(("front", "seconds"), [(rest, 29), (http, 30)])
def test_the_workflow_ends_before_the_api_gives_up(front: Any, seconds: int) -> None:
    front(make(a_stack(), timeout=Duration.seconds(seconds - 1)))
    with pytest.raises(
        ValueError, match=rf"^timeout={seconds}: the .* API answers 50[34] after {seconds} seconds"
    ):
        front(make(a_stack(), timeout=Duration.seconds(seconds)))


def test_a_rest_api_with_a_higher_quota_waits_longer() -> None:
    workflow = make(a_stack(), timeout=Duration.seconds(119))
    rest(workflow, regional=True, integration_timeout=Duration.minutes(2))
    properties = {"Integration": Match.object_like({"TimeoutInMillis": 120_000})}
    Template.from_stack(Stack.of(workflow)).has_resource_properties("AWS::ApiGateway::Method", properties)


def test_a_timeout_that_is_known_at_deployment_only_is_accepted() -> None:
    stack = a_stack()
    parameter = CfnParameter(stack, "Seconds", type="Number")
    rest(make(stack, timeout=Duration.seconds(parameter.value_as_number)))


@pytest.mark.parametrize("status", [200, 600])
def test_an_error_has_the_status_of_an_error(status: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^statuses\['A'\]={status}: a response for an error allows 400 to 599"
    ):
        rest(make(a_stack()), statuses={"A": status})


@pytest.mark.parametrize("name", ["", "x'y", "a\n", "E" * 257])
def test_the_name_of_an_error_cannot_change_the_template(name: str) -> None:
    with pytest.raises(ValueError, match="give the name of an error of the workflow"):
        rest(make(a_stack()), statuses={name: 400})


# --- An existing state machine


def test_definition_or_state_machine_is_needed() -> None:
    stack = a_stack()
    theirs = sfn.StateMachine.from_state_machine_arn(stack, "Theirs", ARN)
    both: dict[str, Any] = {"definition": sfn.Pass(stack, "P"), "state_machine": theirs}
    for given in ({}, both):
        with pytest.raises(ValueError, match=r"^definition, state_machine: give the states"):
            SyncExpressWorkflow(stack, "W", **given)


def test_a_standard_workflow_is_refused() -> None:
    stack = a_stack()
    body = sfn.DefinitionBody.from_chainable(sfn.Pass(stack, "P"))
    with pytest.raises(ValueError, match="type Standard cannot be run synchronously"):
        make(stack, state_machine=sfn.StateMachine(stack, "Theirs", definition_body=body))


def test_the_timeout_of_an_existing_workflow_is_checked_if_it_is_given() -> None:
    stack = a_stack()
    theirs = sfn.StateMachine.from_state_machine_arn(stack, "Theirs", ARN)
    workflow = make(stack, state_machine=theirs)
    rest(workflow)
    Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp("workflow goes on"))
    statement = {"Action": "states:StartSyncExecution", "Resource": ARN}
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy", {"PolicyDocument": {"Statement": [Match.object_like(statement)]}}
    )
    other = a_stack()
    imported = sfn.StateMachine.from_state_machine_arn(other, "Theirs", ARN)
    slow = make(other, state_machine=imported, timeout=Duration.seconds(40))
    with pytest.raises(ValueError, match=r"^timeout=40: the REST API answers 504"):
        rest(slow)


def test_settings_of_a_new_workflow_cannot_be_combined_with_an_existing_one() -> None:
    stack = a_stack()
    theirs = sfn.StateMachine.from_state_machine_arn(stack, "Theirs", ARN)
    with pytest.raises(
        ValueError, match=r"^logs, log_level, tracing_enabled, removal_policy cannot be combined"
    ):
        make(
            stack,
            state_machine=theirs,
            logs=LogOptions(),
            log_level=sfn.LogLevel.ERROR,
            tracing_enabled=False,
            removal_policy=RemovalPolicy.DESTROY,
        )


def _by_arn(stack: Stack) -> sfn.IStateMachine:
    return sfn.StateMachine.from_state_machine_arn(stack, "Theirs", ARN)


def _by_name(stack: Stack) -> sfn.IStateMachine:
    return sfn.StateMachine.from_state_machine_name(stack, "Theirs", "theirs")


def _from_another_stack(stack: Stack) -> sfn.IStateMachine:
    other = Stack(stack.node.root, "Other")  # type: ignore[arg-type]
    return express(other, sfn.Pass(other, "P"))


def express(stack: Stack, definition: sfn.IChainable) -> sfn.StateMachine:
    body = sfn.DefinitionBody.from_chainable(definition)
    kind = sfn.StateMachineType.EXPRESS
    return sfn.StateMachine(stack, "Express", definition_body=body, state_machine_type=kind)


@pytest.mark.parametrize("existing", [_by_arn, _by_name, _from_another_stack])
@pytest.mark.parametrize("front", [rest, http])
def test_an_existing_workflow_runs_behind_both_apis(front: Any, existing: Any) -> None:
    stack = a_stack()
    front(make(stack, state_machine=existing(stack), timeout=Duration.seconds(9)))
    statement = {"Action": "states:StartSyncExecution", "Effect": "Allow", "Resource": Match.any_value()}
    Template.from_stack(stack).has_resource_properties(
        "AWS::IAM::Policy", {"PolicyDocument": {"Statement": [Match.object_like(statement)]}}
    )


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"region": "us-east-1"}, "it is in eu-west-1, and this stack in us-east-1"),
        ({"account": "210987654321"}, "it is in 123456789012, and this stack in 210987654321"),
    ],
)
def test_a_workflow_of_another_place_is_refused(environment: dict[str, str], message: str) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "S", env=Environment(**environment))
    with pytest.raises(ValueError, match=rf"^state_machine=S/Theirs: {message}. An API starts"):
        make(stack, state_machine=_by_arn(stack))


def test_an_api_of_another_place_is_refused() -> None:
    app = App(builtin_cloud_formation_validation=False)
    ours, theirs = (Stack(app, name, env=Environment(region=name)) for name in ("eu-west-1", "us-east-1"))
    workflow = make(ours)
    with pytest.raises(
        ValueError, match=r"^the workflow=eu-west-1/Workflow/StateMachine: it is in eu-west-1"
    ):
        workflow.add_rest_method(apigateway.RestApi(theirs, "Rest").root)
    with pytest.raises(ValueError, match=r"^api=us-east-1/Http: it is in us-east-1"):
        workflow.add_http_route(apigatewayv2.HttpApi(theirs, "Http"), "/orders")


# --- What an Express workflow does not support


def _activity(stack: Stack) -> sfn.IChainable:
    return tasks.StepFunctionsInvokeActivity(stack, "T", activity=sfn.Activity(stack, "A"))


def _imported_activity(stack: Stack) -> sfn.IChainable:
    arn = "arn:aws:states:eu-west-1:123456789012:activity:theirs"
    activity = sfn.Activity.from_activity_arn(stack, "A", arn)
    return tasks.StepFunctionsInvokeActivity(stack, "T", activity=activity)


def _callback(stack: Stack) -> sfn.IChainable:
    return tasks.SqsSendMessage(
        stack,
        "T",
        queue=sqs.Queue(stack, "Q"),
        message_body=sfn.TaskInput.from_object({"token": sfn.JsonPath.task_token}),
        integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
    )


def _job(stack: Stack) -> sfn.IChainable:
    return tasks.GlueStartJobRun(
        stack, "T", glue_job_name="job", integration_pattern=sfn.IntegrationPattern.RUN_JOB
    )


def _sync_2_in_a_map(stack: Stack) -> sfn.IChainable:
    resource = "arn:aws:states:::states:startExecution.sync:2"
    task = sfn.CustomState(stack, "T", state_json={"Type": "Task", "Resource": resource, "End": True})
    return sfn.Map(stack, "M").item_processor(task)


def _callback_in_a_parallel(stack: Stack) -> sfn.IChainable:
    return sfn.Parallel(stack, "P").branch(sfn.Pass(stack, "B").next(_callback(stack)))


def _distributed(stack: Stack) -> sfn.IChainable:
    return sfn.DistributedMap(stack, "T").item_processor(sfn.Pass(stack, "P"))


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        (_activity, "waits for an activity"),
        (_imported_activity, "waits for an activity"),
        (_callback, r"uses the pattern \.waitForTaskToken"),
        (_callback_in_a_parallel, r"uses the pattern \.waitForTaskToken"),
        (_job, r"uses the pattern \.sync"),
        (_sync_2_in_a_map, r"uses the pattern \.sync:2"),
        (_distributed, "is a Distributed Map"),
    ],
)
@pytest.mark.parametrize("argument", ["definition", "state_machine"])
def test_a_state_that_express_workflows_do_not_support_is_refused(
    definition: Any, problem: str, argument: str
) -> None:
    stack = a_stack()
    given = definition(stack)
    if argument == "state_machine":
        given = express(stack, given)
    with pytest.raises(ValueError, match=f"^{argument}: the state 'T' {problem}, which an Express workflow"):
        SyncExpressWorkflow(stack, "Workflow", **{argument: given})


def test_names_and_inputs_that_look_like_patterns_are_accepted() -> None:
    stack = a_stack()
    version = lambda_.Function.from_function_name(stack, "F", "f")
    parameters = {"Resource": "x.sync", "n": CfnParameter(stack, "N", type="Number").value_as_number}
    task = tasks.LambdaInvoke(
        stack, "a.sync", lambda_function=version, payload=sfn.TaskInput.from_object(parameters)
    )
    resource = CfnParameter(stack, "Arn").value_as_string
    other = sfn.CustomState(stack, "T", state_json={"Type": "Task", "Resource": resource})
    SyncExpressWorkflow(stack, "W", definition=task.next(other))


# --- What an API does not support


def test_a_workflow_has_the_same_route_of_several_apis() -> None:
    stack = a_stack()
    workflow = make(stack)
    other = Stack(stack.node.root, "Other")  # type: ignore[arg-type]
    for scope, name in ((stack, "One"), (stack, "Two"), (other, "One")):
        workflow.add_http_route(apigatewayv2.HttpApi(scope, name), "/orders")
    Template.from_stack(stack).resource_count_is("AWS::ApiGatewayV2::Route", 3)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "ANY"])
@pytest.mark.parametrize(("front", "name"), [(rest, "http_method"), (http, "method")])
def test_a_method_without_a_body_is_refused(front: Any, name: str, method: str) -> None:
    given = apigatewayv2.HttpMethod[method] if front is http else method
    with pytest.raises(ValueError, match=f"^{name}='{method}': the body of the request is the input .* POST"):
        front(make(a_stack()), **{name if front is rest else "method": given})


@pytest.mark.parametrize(("path", "advice"), [("orders", "/orders"), ("/orders/", "/orders"), ("", "/")])
def test_a_path_starts_with_a_slash(path: str, advice: str) -> None:
    workflow = make(a_stack())
    api = apigatewayv2.HttpApi(Stack.of(workflow), "Http")
    with pytest.raises(ValueError, match=f"^path='{path}': .* give '{advice}'"):
        workflow.add_http_route(api, path)


@pytest.mark.parametrize("kind", ["COGNITO", "CUSTOM"])
def test_an_authorizer_is_needed_for_its_type(kind: str) -> None:
    with pytest.raises(ValueError, match=f"^authorization=AuthorizationType.{kind}: .* give the authorizer"):
        rest(make(a_stack()), authorization=apigateway.AuthorizationType[kind])


def test_an_edge_optimized_api_waits_29_seconds_at_most() -> None:
    with pytest.raises(ValueError, match=r"^integration_timeout=60: the edge-optimized API S/Rest waits 29"):
        rest(make(a_stack()), integration_timeout=Duration.seconds(60))


def test_all_errors_cannot_have_one_status() -> None:
    with pytest.raises(ValueError, match=r"^statuses\['States.ALL'\]: it is a wildcard"):
        rest(make(a_stack()), statuses={"States.ALL": 500})


# --- Why the integration of the CDK is not used as it is


@stack_with
def of_cdk(stack: Stack) -> None:
    body = sfn.DefinitionBody.from_chainable(sfn.Pass(stack, "State"))
    kind = sfn.StateMachineType.EXPRESS
    machine = sfn.StateMachine(stack, "Machine", definition_body=body, state_machine_type=kind)
    apigateway.StepFunctionsRestApi(stack, "Rest", state_machine=machine, headers=True)


def input_of_cdk(of_cdk: Resources, header: str) -> str:
    """The input that the template of the CDK makes of a request."""
    template = of_cdk.only("AWS::ApiGateway::Method")["Integration"]["RequestTemplates"]["application/json"]
    text = "".join(part if isinstance(part, str) else "ARN" for part in template["Fn::Join"][1])
    params = {"path": {"id": "7"}, "querystring": {"q": "x"}, "header": {"Agent": header}}
    sent, _ = render(text, body='{"a": "it\'s"}', params=params, context={})
    return str(json.loads(sent)["input"])


def test_the_template_of_the_cdk_passes_the_parameters_too(of_cdk: Resources) -> None:
    assert json.loads(input_of_cdk(of_cdk, "curl")) == {
        "body": {"a": "it's"},
        "header": {"Agent": "curl"},
        "path": {"id": "7"},
        "querystring": {"q": "x"},
    }


def test_an_apostrophe_in_a_header_breaks_the_input_of_the_cdk(of_cdk: Resources) -> None:
    with pytest.raises(ValueError, match="escape"):
        json.loads(input_of_cdk(of_cdk, "it's"))


def test_the_responses_of_the_cdk_hide_timeouts_and_break_on_quotes(of_cdk: Resources) -> None:
    responses = of_cdk.only("AWS::ApiGateway::Method")["Integration"]["IntegrationResponses"]
    template = responses[0]["ResponseTemplates"]["application/json"]
    timeout, failure = {"status": "TIMED_OUT"}, {"status": "FAILED", "error": "E", "cause": 'a "b"'}
    text, status = render(template, body=json.dumps(timeout), params=NO_PARAMETERS, context={})
    assert (text.strip(), status) == ("", None)
    text, status = render(template, body=json.dumps(failure), params=NO_PARAMETERS, context={})
    assert status == 500
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(text)
