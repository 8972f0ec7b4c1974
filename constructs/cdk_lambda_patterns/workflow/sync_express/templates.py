"""Request → input of the workflow, and result → response: the mapping templates of the REST API.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""

from collections.abc import Mapping

from aws_cdk import aws_apigateway as apigateway

from cdk_lambda_patterns.core.limits import Limit

_STATUS = Limit("a response for an error", 400, 599)
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartSyncExecution.html
_NAME_LENGTH = 256

_TEXT = """$util.escapeJavaScript($cause).replaceAll("\\\\'", "'")"""
_INTERNAL = '{"error": "InternalServerError", "message": "Internal server error"}'
# What Step Functions refuses, and whose fault that is.
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartSyncExecution.html
_REFUSALS = (
    ("InvalidExecutionInput", 400, '{"error": "InvalidInput", "message": "The body must be JSON."}'),
    ("ValidationException", 413, '{"error": "InputTooLarge", "message": "The body is larger than 256 KiB."}'),
    ("ThrottlingException", 503, '{"error": "Busy", "message": "Too many requests; try again."}'),
)


def check_statuses(statuses: Mapping[str, int]) -> None:
    """Check the statuses of errors.

    Raises:
        ValueError: A status is not that of an error, or a name cannot be that of one.
    """
    for name, status in statuses.items():
        _STATUS.check(f"statuses[{name!r}]", status)
        if name == "States.ALL":
            raise ValueError(
                "statuses['States.ALL']: it is a wildcard of Catch and Retry, and never the error of an "
                "execution; name the errors that clients should know: any other is answered with 500."
            )
        if not (0 < len(name) <= _NAME_LENGTH and name.isprintable()) or "'" in name:
            raise ValueError(
                f"statuses[{name!r}]: give the name of an error of the workflow, 1 to {_NAME_LENGTH} "
                "printable characters without an apostrophe, which ends a text in the template of the API."
            )


def request_template(state_machine_arn: str) -> str:
    """Make the request of StartSyncExecution: the body is the input, the id of the request the name."""
    return f"""{{
  "stateMachineArn": "{state_machine_arn}",
  "name": "$context.requestId",
  "input": "{_TEXT.replace("$cause", "$input.body")}"
}}"""


def integration_responses(statuses: Mapping[str, int]) -> list[apigateway.IntegrationResponse]:
    """Make responses of the answers of Step Functions, by their status."""
    return [
        _integration_response(200, _response_template(statuses)),
        _integration_response(400, _refusal_template(), pattern="4\\d{2}"),
        _integration_response(500, _INTERNAL, pattern="5\\d{2}"),
    ]


def _response_template(statuses: Mapping[str, int]) -> str:
    """Make a response of the result: the output, or an error with its status."""
    known = "".join(f"#elseif($error == '{name}')\n#set($code = {code})\n" for name, code in statuses.items())
    name = _TEXT.replace("$cause", "$error")
    return f"""#set($outcome = $input.path('$.status').toString())
#if($outcome == 'SUCCEEDED')
$input.path('$.output')
#else
#set($error = $input.path('$.error').toString())
#set($cause = $input.path('$.cause').toString())
#set($code = 500)
#if($outcome == 'TIMED_OUT')
#set($code = 504)
{known}#end
#set($context.responseOverride.status = $code)
#if($outcome == 'TIMED_OUT')
{{"error": "Timeout", "message": "The workflow took too long"}}
#elseif($code == 500)
{_INTERNAL}
#elseif($cause.startsWith("{{"))
{{"error": "{name}", "message": "The workflow ended with this error"}}
#else
{{"error": "{name}", "message": "{_TEXT}"}}
#end
#end"""


def _refusal_template() -> str:
    """Make a response of a request that Step Functions has refused."""
    template = "#set($type = $input.path('$.__type').toString())\n"
    for number, (name, status, body) in enumerate(_REFUSALS):
        template += f"#{'else' if number else ''}if($type.contains('{name}'))\n"
        template += f"#set($context.responseOverride.status = {status})\n{body}\n"
    return f"{template}#else\n#set($context.responseOverride.status = 500)\n{_INTERNAL}\n#end"


def _integration_response(
    status: int, template: str, pattern: str | None = None
) -> apigateway.IntegrationResponse:
    return apigateway.IntegrationResponse(
        status_code=str(status),
        selection_pattern=pattern,
        response_templates={"application/json": template},
    )
