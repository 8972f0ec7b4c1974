"""HTTP request → API Gateway (REST or HTTP API) → Step Functions, synchronous Express workflow → Lambda.

Use it for a request that several functions and services answer together within seconds, with retries and
compensation that you can see. Do not use it where one function is enough, where the work takes longer than
the caller waits (start a Standard workflow, and return its id), or where a repeated request must not start
the work twice: an Express workflow has no idempotency of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from aws_cdk import Annotations, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk.aws_apigatewayv2_authorizers import HttpIamAuthorizer
from aws_cdk.aws_logs import LogGroup
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import refuse_settings
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import LogOptions
from cdk_lambda_patterns.core.permissions import acknowledge, acknowledge_wildcard
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.workflow.sync_express.definition import check_express
from cdk_lambda_patterns.workflow.sync_express.templates import (
    check_statuses,
    integration_responses,
    request_template,
)

#: Errors of Lambda itself that a retry may cure. A missing permission is ``Lambda.AWSLambdaException``, too.
#: https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html
TRANSIENT_LAMBDA_ERRORS: Final = (
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
)

# https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
_EXPRESS = Limit("an Express workflow", 1, 300, "seconds")
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
_REST = Limit("a REST API", 0.05, 300, "seconds", whole=False)
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_HTTP_SECONDS = 30

_DEFAULT_TIMEOUT = Duration.seconds(25)
_REST_TIMEOUT = Duration.seconds(29)
_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_SAME_PLACE = "An API starts workflows of its own account and Region only"
_NO_STATUSES: Mapping[str, int] = MappingProxyType({})


@check_types
class SyncExpressWorkflow(Construct):
    """An Express workflow whose result is the response of an API, with the logs of its executions.

    It builds the state machine (unless you give one), its log group, and for each route an integration with a
    role that may start this state machine and nothing else. The body of the request is the input. A
    synchronous Express workflow runs at most once: nothing restarts it, and a client that repeats its request
    starts it again, so the tasks must be idempotent.

    Args:
        definition: The states of a new state machine: a state, or a chain of states.
        state_machine: An existing state machine of the type Express instead; owned, from another stack, or
            imported.
        timeout: When the workflow ends with ``States.Timeout``, 1 to 300 seconds, and less than the API
            waits. Default of a new one: 25 seconds. Of an existing one: what its definition says, for that
            check.
        log_level: Which events are logged. Default: all. An Express workflow has no other history.
        include_execution_data: Whether the log has input and output of the states. Default: no.
        logs: Settings of the log group.
        tracing_enabled: X-Ray. Default: yes.
        removal_policy: What happens to the logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: The workflow may run longer than allowed, is of the type Standard, or in another account
            or Region; a state waits for a job, a callback or an activity, or is a Distributed Map; or both
            or none of ``definition`` and ``state_machine`` are given.

    Attributes:
        state_machine (IStateMachine): The state machine.
        log_group (LogGroup | None): The log of its executions; ``None`` for an existing state machine.

    Example::

        workflow = SyncExpressWorkflow(self, "Orders", definition=sfn.Pass(self, "Accept"))
        api = apigateway.RestApi(self, "Api")
        workflow.add_rest_method(api.root.add_resource("orders"), statuses={"OutOfStock": 409})

    https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        definition: sfn.IChainable | None = None,
        state_machine: sfn.IStateMachine | None = None,
        timeout: Duration | None = None,
        log_level: sfn.LogLevel = sfn.LogLevel.ALL,
        include_execution_data: bool = False,
        logs: LogOptions | None = None,
        tracing_enabled: bool = True,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if (definition is None) == (state_machine is None):
            raise ValueError(
                "definition, state_machine: give the states of a new state machine, or an existing one."
            )
        _EXPRESS.check("timeout", timeout)
        super().__init__(scope, id)
        self.log_group: LogGroup | None = None
        if state_machine is not None:
            settings = {
                "logs": logs is not None,
                "log_level": log_level != sfn.LogLevel.ALL,
                "include_execution_data": include_execution_data,
                "tracing_enabled": not tracing_enabled,
                "removal_policy": removal_policy != RemovalPolicy.RETAIN,
            }
            refuse_settings("state_machine", settings)
            check_region(self, _SAME_PLACE, {"state_machine": state_machine}, in_account=True)
            _check_type(state_machine)
            self._timeout = timeout
            self.state_machine = state_machine
        else:
            assert definition is not None
            self._timeout = timeout or _DEFAULT_TIMEOUT
            self.log_group = _make_log_group(self, logs or LogOptions(), removal_policy)
            machine = self._make(definition, log_level, include_execution_data, tracing_enabled)
            check_express("definition", machine)
            self.state_machine = machine

    def add_rest_method(
        self,
        resource: apigateway.IResource,
        http_method: str = "POST",
        *,
        authorization: apigateway.IAuthorizer
        | apigateway.AuthorizationType = apigateway.AuthorizationType.IAM,
        statuses: Mapping[str, int] = _NO_STATUSES,
        integration_timeout: Duration = _REST_TIMEOUT,
    ) -> apigateway.Method:
        """Let requests of a REST API run the workflow; its output is the response.

        An error of the workflow becomes a status with ``{"error": …, "message": …}``: that of ``statuses``,
        with the cause unless a function raised it (that holds its stack trace); 504 after a timeout; 500 for
        any other error, without its name.

        Args:
            resource: The resource, owned or imported.
            http_method: The method, which has a body: POST, PUT, PATCH or DELETE.
            authorization: Who may call it: an authorizer, or ``AuthorizationType.NONE`` for everybody on the
                internet. Default: who has ``execute-api:Invoke`` (IAM).
            statuses: The status for each error that a client should know, by the name of the error.
            integration_timeout: How long the API waits. More than 29 seconds needs a higher quota, and a
                Regional or private API.

        Raises:
            ValueError: The workflow may run longer than the API waits, or is in another account or Region
                than the API, or an argument is not allowed.
        """
        _check_method("http_method", http_method)
        _check_authorization(authorization)
        check_statuses(statuses)
        check_region(resource, _SAME_PLACE, {"the workflow": self.state_machine}, in_account=True)
        _REST.check("integration_timeout", integration_timeout)
        _check_endpoint(resource.api, integration_timeout)
        advice = "or a longer integration_timeout, which needs a higher quota"
        self._check_timeout("the REST API answers 504", integration_timeout, advice)
        integration = apigateway.StepFunctionsIntegration.start_execution(
            self.state_machine,
            request_templates={"application/json": request_template(self.state_machine.state_machine_arn)},
            integration_responses=integration_responses(statuses),
            timeout=integration_timeout,
        )
        if isinstance(authorization, apigateway.AuthorizationType):
            method = resource.add_method(http_method, integration, authorization_type=authorization)
        else:
            method = resource.add_method(http_method, integration, authorizer=authorization)
        if authorization == apigateway.AuthorizationType.NONE:
            acknowledge(method, {"AwsSolutions-APIG4": "The app opens it with AuthorizationType.NONE."})
        acknowledge(method, {"AwsSolutions-COG4": "Who may call it is what the app says; by default IAM."})
        return method

    def add_http_route(
        self,
        api: apigatewayv2.IHttpApi,
        path: str,
        method: apigatewayv2.HttpMethod = apigatewayv2.HttpMethod.POST,
        *,
        authorization: apigatewayv2.IHttpRouteAuthorizer | None = None,
    ) -> apigatewayv2.HttpRoute:
        """Let requests of an HTTP API run the workflow.

        The response is that of StartSyncExecution, with status 200 also for an execution that failed: an HTTP
        API has no templates. The client reads ``status``, and ``output`` or ``error``. Where it must not see
        these, use a REST API.

        Args:
            api: The API, owned or imported.
            path: The path, such as ``/orders``.
            method: The method, which has a body: POST, PUT, PATCH or DELETE.
            authorization: Who may call it: an authorizer, or ``HttpNoneAuthorizer()`` for everybody on the
                internet. Default: who has ``execute-api:Invoke`` (IAM).

        Raises:
            ValueError: The workflow may run longer than the 30 seconds that the API waits, or is in another
                account or Region than the API, or an argument is not allowed.
        """
        _check_method("method", method.value)
        _check_path(path)
        places = {"api": api, "the workflow": self.state_machine}
        check_region(self, _SAME_PLACE, places, in_account=True)
        self._check_timeout("the HTTP API answers 503", Duration.seconds(_HTTP_SECONDS))
        # The API is part of the id: other APIs may have the same route.
        place = api.node.path.removeprefix(f"{Stack.of(self).node.path}/")
        route = apigatewayv2.HttpRoute(
            self,
            f"{place} {method.value} {path}",
            http_api=api,
            route_key=apigatewayv2.HttpRouteKey.with_(path, method),
            authorizer=authorization or HttpIamAuthorizer(),
            integration=_HttpIntegration(f"{self.node.id}Integration", self.state_machine.state_machine_arn),
        )
        if isinstance(authorization, apigatewayv2.HttpNoneAuthorizer):
            reason = "The app opens this route with HttpNoneAuthorizer."
            acknowledge(route, {"AwsSolutions-APIG4": reason})
        return route

    def _make(
        self, definition: sfn.IChainable, level: sfn.LogLevel, include_execution_data: bool, tracing: bool
    ) -> sfn.StateMachine:
        assert self.log_group is not None
        machine = sfn.StateMachine(
            self,
            "StateMachine",
            definition_body=sfn.DefinitionBody.from_chainable(definition),
            state_machine_type=sfn.StateMachineType.EXPRESS,
            timeout=self._timeout,
            logs=sfn.LogOptions(
                destination=self.log_group, level=level, include_execution_data=include_execution_data
            ),
            tracing_enabled=tracing,
        )
        acknowledge_wildcard(
            machine.role,
            "*",
            "The delivery of logs and X-Ray have no resource-level permissions: "
            "https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html",
        )
        return machine

    def _check_timeout(self, what: str, waits: Duration, advice: str = "") -> None:
        """Check that the workflow ends before the API gives up: then it would go on, and no client knows."""
        if self._timeout is None:
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:workflowTimeout",
                f"timeout: unknown of an existing state machine, and {what} after {waits.to_seconds():g} "
                "seconds while the workflow goes on; give the TimeoutSeconds of its definition as timeout.",
            )
            return
        if self._timeout.is_unresolved() or waits.is_unresolved():
            return
        timeout, limit = (one.to_seconds(integral=False) for one in (self._timeout, waits))
        if timeout >= limit:
            raise ValueError(
                f"timeout={timeout:g}: {what} after {limit:g} seconds while the workflow goes on; give a "
                f"timeout of less than {limit:g} seconds{', ' if advice else ''}{advice}."
            )


class _HttpIntegration(apigatewayv2.HttpRouteIntegration):
    """Runs a workflow with the body as its input.

    That of the CDK takes no imported state machine, and without a mapping of its own passes no input.
    """

    def __init__(self, id: str, state_machine_arn: str) -> None:
        super().__init__(id)
        self._arn = state_machine_arn

    def bind(
        self, *, route: apigatewayv2.IHttpRoute, scope: Construct
    ) -> apigatewayv2.HttpRouteIntegrationConfig:
        """Make the role, and the settings of the integration."""
        role = iam.Role(scope, "InvokeRole", assumed_by=iam.ServicePrincipal("apigateway.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(
                sid="AllowStepFunctionsExecution",
                actions=["states:StartSyncExecution"],
                resources=[self._arn],
            )
        )
        mapping = apigatewayv2.ParameterMapping()
        mapping.custom("StateMachineArn", self._arn)
        mapping.custom("Input", "$request.body")
        return apigatewayv2.HttpRouteIntegrationConfig(
            type=apigatewayv2.HttpIntegrationType.AWS_PROXY,
            subtype=apigatewayv2.HttpIntegrationSubtype.STEPFUNCTIONS_START_SYNC_EXECUTION,
            payload_format_version=apigatewayv2.PayloadFormatVersion.VERSION_1_0,
            connection_type=apigatewayv2.HttpConnectionType.INTERNET,
            credentials=apigatewayv2.IntegrationCredentials.from_role(role),
            parameter_mapping=mapping,
        )


def _make_log_group(scope: Construct, options: LogOptions, removal_policy: RemovalPolicy) -> LogGroup:
    return LogGroup(
        scope,
        "LogGroup",
        retention=options.retention,
        encryption_key=options.encryption_key,
        removal_policy=options.removal_policy or removal_policy,
    )


def _check_type(machine: sfn.IStateMachine) -> None:
    if not isinstance(machine, sfn.StateMachine):
        return  # imported: what it is like is not known here
    if machine.state_machine_type != sfn.StateMachineType.EXPRESS:
        raise ValueError(
            f"state_machine={machine.node.path}: a workflow of the type Standard cannot be run "
            "synchronously; give one with state_machine_type=StateMachineType.EXPRESS."
        )
    check_express("state_machine", machine)


def _check_method(name: str, method: str) -> None:
    if method.upper() not in _METHODS and not Token.is_unresolved(method):
        raise ValueError(
            f"{name}={method!r}: the body of the request is the input of the workflow; choose one of "
            f"{', '.join(_METHODS)}."
        )


def _check_path(path: str) -> None:
    valid = path == "/" or (path.startswith("/") and not path.endswith("/"))
    if not valid and not Token.is_unresolved(path):
        raise ValueError(
            f"path={path!r}: the path of a route starts with a slash and does not end with one; give "
            f"{'/' + path.strip('/')!r}."
        )


def _check_authorization(given: apigateway.IAuthorizer | apigateway.AuthorizationType) -> None:
    allowed = (apigateway.AuthorizationType.IAM, apigateway.AuthorizationType.NONE)
    if isinstance(given, apigateway.AuthorizationType) and given not in allowed:
        raise ValueError(
            f"authorization=AuthorizationType.{given.name}: API Gateway needs to know which authorizer; give "
            "the authorizer itself, AuthorizationType.IAM or AuthorizationType.NONE."
        )


def _check_endpoint(api: apigateway.IRestApi, timeout: Duration) -> None:
    """Check that an edge-optimized API, which is the default of the CDK, waits 29 seconds at most.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
    """
    resource = api.node.default_child
    if timeout.is_unresolved() or not isinstance(resource, apigateway.CfnRestApi):
        return
    most, waits = (one.to_seconds(integral=False) for one in (_REST_TIMEOUT, timeout))
    endpoint = Stack.of(api).resolve(resource.endpoint_configuration) or {}
    if waits > most and "EDGE" in (endpoint.get("types") or ["EDGE"]):
        raise ValueError(
            f"integration_timeout={waits:g}: the edge-optimized API {api.node.path} waits {most:g} seconds "
            "at most; make the API with endpoint_types=[EndpointType.REGIONAL], or give at most "
            f"{most:g} seconds."
        )
