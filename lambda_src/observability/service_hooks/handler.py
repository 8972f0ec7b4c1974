"""Request of CloudFormation → your function → exactly one answer, also if your function fails or is killed.

The function of a custom resource is invoked asynchronously and has to send its answer to a URL; a deployment
without an answer hangs for an hour. This function invokes yours, waits for it, and answers. Yours never gets
the URL. Each of the other hooks has a module of its own.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources-lambda.html
"""

import json
import logging
import os
import time
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from shared.environment import name, read
from shared.startup import no_garbage_collection

with no_garbage_collection():
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    from shared.clients import Client

    from .answers import BadResult, failure, success, was_never_created

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_FUNCTION = read(os.environ, "PROVIDER_ARN", name)
# Of the time of an invocation, in seconds, this much is left for the answer.
RESERVE = 10
_CONNECTING = 2  # seconds, which are not part of the time that your function has
_SENDING = 2  # seconds for each of the attempts, while nothing comes
_ATTEMPTS = 3

logger = logging.getLogger()
logger.setLevel(logging.INFO)


class Failed(Exception):
    """The function has failed, or has not ended in time."""


def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Answer a request. The log has neither the URL of the answer nor what your function has returned."""
    about = {name: event[name] for name in ("RequestType", "StackId", "LogicalResourceId", "RequestId")}
    if was_never_created(event):
        body, status = success(event, None), "nothing was created"
    else:
        try:
            seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE
            body, status = success(event, _invoke(event, seconds)), "SUCCESS"
        except BadResult as bad:
            body, status = failure(event, str(bad), bad.physical_id), f"FAILED: {bad}"
        except Exception as reason:  # whatever it is, CloudFormation must not wait for it
            logger.exception("the request has failed")
            body, status = failure(event, str(reason)), f"FAILED: {reason}"
    _send(event["ResponseURL"], body)
    logger.info("answered: %s", status, extra=about)


def _invoke(event: dict[str, Any], seconds: float) -> Any:
    """Return what your function returns.

    Raises:
        Failed: It has failed, or has not ended in time.
    """
    # One attempt: after a time-out the function may still be at work.
    config = Config(
        connect_timeout=_CONNECTING,
        read_timeout=seconds,
        retries={"total_max_attempts": 1},
        tcp_keepalive=True,
    )
    client: Client = botocore.session.get_session().create_client("lambda", config=config)
    request = {name: value for name, value in event.items() if name != "ResponseURL"}
    try:
        answer = client.invoke(FunctionName=_FUNCTION, Payload=json.dumps(request))
        text: bytes = answer["Payload"].read()
    except BotoCoreError as error:  # its text has the address of Lambda's API
        why = f"the function gave no answer within {seconds:.0f} seconds: {type(error).__name__}"
        raise Failed(why) from error
    except ClientError as error:
        raise Failed(f"the function could not be invoked: {error}") from error
    payload = _decoded(text)
    if "FunctionError" in answer:
        details = payload if isinstance(payload, dict) else {"errorMessage": payload}
        raise Failed(
            f"{details.get('errorType') or 'Error'}: {details.get('errorMessage') or 'no error message'}"
        )
    return payload


def _decoded(text: bytes) -> Any:
    """What a function has returned: its JSON, None if that is empty, or its text if it is no JSON."""
    try:
        return json.loads(text or b"null")
    except (ValueError, RecursionError):  # other languages' runtimes return what they are given
        return text.decode(errors="replace")


def _send(url: str, body: bytes) -> None:
    """Send the answer. The URL is signed for a request without a content type."""
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 # signed, HTTPS
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=_SENDING):  # noqa: S310
                return
        except (OSError, HTTPException) as error:
            if attempt == _ATTEMPTS:
                raise
            logger.warning("not answered: %s", error)
            time.sleep(0.5)
