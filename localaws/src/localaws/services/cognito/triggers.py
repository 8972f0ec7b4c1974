"""How user pools invoke the functions of their triggers, and what their failures mean for the user.

The emulator asks for no permission, waits for a function as long as it runs, passes on Python's text of the
whole error, and issues tokens although the pre token generation trigger failed.

Faithful to:
- For every trigger, the resource policy of the function must allow `cognito-idp.amazonaws.com` with the ARN
  of the pool as SourceArn. Otherwise, and if the function was deleted, the request fails with
  UnexpectedLambdaException and "PreSignUp invocation failed due to error AccessDeniedException."
- A function that raises an error denies the request with UserLambdaValidationException, and its message
  reaches the user: "PreSignUp failed with error Not allowed."
- A function must answer within five seconds. After three attempts the request fails with
  UnexpectedLambdaException.
- A result that is not the event with its response fails with InvalidLambdaResponseException. So does a pre
  sign-up trigger that verifies an email address or a phone number that the user does not have.
Not to: a function that does not answer is stopped here after five seconds; in AWS it continues during the
next attempt. A cold start does not count here. AWS documents few of the messages; the others are from public
reports of users.

https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html
https://repost.aws/knowledge-center/cognito-lambda-trigger-errors
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import cognito, lambda_svc

from localaws.patching import Properties, around
from localaws.services.iam.invocations import service_may_invoke

ANSWER_SECONDS = 5
ATTEMPTS = 3

_SERVICE = "cognito-idp.amazonaws.com"
# What a pre sign-up trigger may verify, and the attribute that the user must have for it.
_VERIFIED = {"autoVerifyEmail": "email", "autoVerifyPhone": "phone_number"}

#: The parameters of the current request to Cognito; `None` elsewhere.
request: ContextVar[Properties | None] = ContextVar("localaws_cognito_request", default=None)


class TriggerFailed(BaseException):
    """A trigger ends the request. Not an `Exception`: the emulator catches those and goes on.

    Args:
        code: The error code of the API.
        message: Its message.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@around(cognito, "_run_idp_handler")
def _run_idp_handler(stock: Callable[..., Any], handler: Any, action: str, data: Properties) -> Any:
    token = request.set(data)
    try:
        return stock(handler, action, data)
    except TriggerFailed as failed:
        return error_response_json(failed.code, failed.message, 400)
    finally:
        request.reset(token)


@around(cognito, "_oauth2_idp_response")
@around(cognito, "_saml2_idp_response")
@around(cognito, "_oauth2_token")
def _managed_login(stock: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    token = request.set({})
    try:
        return stock(*args, **kwargs)
    except TriggerFailed as failed:
        return cognito._oauth2_error("invalid_request", failed.message)
    finally:
        request.reset(token)


def trigger_of(event: Properties) -> str:
    """The name of the trigger in LambdaConfig and in messages."""
    name = str(event["triggerSource"]).partition("_")[0]
    return "PreTokenGeneration" if name == "TokenGeneration" else name


def function_of(pool: Properties, trigger: str) -> str | None:
    """The ARN of a trigger's function, if the pool has that trigger."""
    config = pool.get("LambdaConfig") or {}
    found = config.get(f"{trigger}Config") or config.get(trigger)
    arn: str | None = found.get("LambdaArn") if isinstance(found, dict) else found
    return arn


def invoke(function: str, event: Properties) -> Properties:
    """Invoke the function of a trigger, and return the response in its result.

    Raises:
        TriggerFailed: It denies the request, or gave no valid answer.
    """
    record, config, _name = lambda_svc._get_func_record_for_ref(function)
    runnable = lambda_svc._execution_record_for_config(record, config)
    result = lambda_svc._execute_function_with_config_scope(runnable, event)
    response: Properties = result["body"]["response"]
    return response


@around(lambda_svc, "_get_func_record_for_ref")
def _get_func_record_for_ref(stock: Callable[[str], Any], function_ref: str) -> Any:
    found = stock(function_ref)
    if found[0] is None and request.get() is not None:
        configs = [pool.get("LambdaConfig") or {} for pool in cognito._user_pools.values()]
        named = (name for config in configs for name, value in config.items() if function_ref in str(value))
        raise _not_invoked(next(named, "Trigger").removesuffix("Config"), "AccessDeniedException")
    return found


@around(lambda_svc, "_execute_function_with_config_scope", after=["cloudformation.custom_resources"])
def _execute(stock: Callable[..., Any], func: Properties, event: Properties) -> Any:
    if request.get() is None or "triggerSource" not in event:
        return stock(func, event)
    trigger, pool = trigger_of(event), cognito._get_pool_unscoped(event["userPoolId"])
    _check_permission(trigger, pool)
    config = func["config"]
    limited = {**func, "config": {**config, "Timeout": min(config["Timeout"], ANSWER_SECONDS)}}
    for _ in range(ATTEMPTS):
        result = stock(limited, event)
        answered = not ("timed out after" in str(result.get("body")) and config["Timeout"] > ANSWER_SECONDS)
        if answered or not result.get("error"):
            break
    else:
        raise _not_invoked(trigger, "Socket timeout while invoking Lambda function")
    if result.get("throttle"):
        raise _not_invoked(trigger, "TooManyRequestsException")
    body = result.get("body")
    if result.get("error"):
        reason = body.get("errorMessage") if isinstance(body, dict) else body
        raise TriggerFailed("UserLambdaValidationException", f"{trigger} failed with error {reason}.")
    _check_result(event, body)
    return result


def _check_permission(trigger: str, pool: Properties) -> None:
    arn, function = pool["Arn"], function_of(pool, trigger)
    if function and not service_may_invoke(function, _SERVICE, arn, arn.split(":")[4]):
        raise _not_invoked(trigger, "AccessDeniedException")


def _check_result(event: Properties, body: Any) -> None:
    if not isinstance(body, dict):
        raise TriggerFailed("InvalidLambdaResponseException", "Invalid lambda function output : Invalid JSON")
    response = body.get("response")
    if not isinstance(response, dict) or _verifies_what_is_missing(event, response):
        raise TriggerFailed("InvalidLambdaResponseException", "Unrecognizable lambda output")


def _verifies_what_is_missing(event: Properties, response: Properties) -> bool:
    """Whether a pre sign-up trigger verifies an attribute that the user does not have."""
    user, source = event["request"].get("userAttributes", {}), event["triggerSource"]
    # When an administrator creates the user, the response has no effect.
    has_effect = source.startswith("PreSignUp_") and source != "PreSignUp_AdminCreateUser"
    return has_effect and any(response.get(flag) and not user.get(name) for flag, name in _VERIFIED.items())


def _not_invoked(trigger: str, reason: str) -> TriggerFailed:
    return TriggerFailed("UnexpectedLambdaException", f"{trigger} invocation failed due to error {reason}.")
