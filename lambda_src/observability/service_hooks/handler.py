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
_SENDING = 2.5  # seconds for each of the attempts
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
        connect_timeout=2, read_timeout=seconds, retries={"total_max_attempts": 1}, tcp_keepalive=True
    )
    client: Client = botocore.session.get_session().create_client("lambda", config=config)
    request = {name: value for name, value in event.items() if name != "ResponseURL"}
    try:
        answer = client.invoke(FunctionName=_FUNCTION, Payload=json.dumps(request))
        payload = json.loads(answer["Payload"].read())
    except (BotoCoreError, ClientError) as error:
        raise Failed(f"the function gave no answer within {seconds:.0f} seconds: {error}") from error
    if "FunctionError" in answer:
        kind = payload.get("errorType", "Error")
        raise Failed(f"{kind}: {payload.get('errorMessage', 'no error message')}")
    return payload


def _send(url: str, body: bytes) -> None:
    """Send the answer. The URL is signed for a request without a content type."""
    request = urllib.request.Request(url, body, {"Content-Type": ""}, method="PUT")  # noqa: S310 # signed, HTTPS
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(request, timeout=_SENDING):  # noqa: S310
                return
        except OSError as error:
            if attempt == _ATTEMPTS:
                raise
            logger.warning("not answered: %s", error)
            time.sleep(0.5)
