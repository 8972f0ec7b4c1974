"""Job of CodePipeline → a check of the release → exactly one answer to the job.

``handler`` answers also if the check raises an exception or takes too long. If the process is killed, it
cannot. Then Lambda invokes ``report_failure``, its failure destination, which answers instead.

The check only reads, so a job that is delivered twice does no harm. CodePipeline refuses the second answer.
"""

import json
import os
import time
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import LONGEST_CALL, make_clients, make_quick_client

    from .jobs import Job

    logger = Logger()
    (_dynamodb,) = make_clients("dynamodb")
    _codepipeline = make_quick_client("codepipeline")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Of the time of an invocation, in seconds, this much is left for the answer.
_RESERVE = LONGEST_CALL + 1


class Unhealthy(Exception):
    """The release must not go on; the message gives the reason."""


def check(release: str) -> dict[str, str] | None:
    """Return the variables of a healthy release, or `None` if it is still being deployed.

    The deployment writes its state into the table. ``pause`` is for demonstrations.

    Raises:
        Unhealthy: The deployment has failed.
    """
    item = _dynamodb.get_item(
        TableName=os.environ["TABLE_NAME"], Key={"release": {"S": release}}, ConsistentRead=True
    )["Item"]
    time.sleep(float(item["pause"]["N"]))
    match item["state"]["S"]:
        case "HEALTHY":
            return {"RELEASE": release, "VERSION": item["version"]["S"]}
        case "DEPLOYING":
            return None
        case state:
            raise Unhealthy(f"release {release} is {state}")


def work(job: Job, data: dict[str, Any], request_id: str) -> None:
    """Check the release that the action names, and answer the job."""
    try:
        release = json.loads(data["actionConfiguration"]["configuration"]["UserParameters"])["release"]
        variables = check(release)
        if variables is None:
            # The token comes with the next job. This one counts the checks.
            done = int(data.get("continuationToken", "0")) + 1
            job.continue_with(str(done))
        else:
            job.succeed(f"release {release} is healthy", variables)
    except Exception as reason:  # whatever it is, the pipeline must not wait for a job that has ended
        logger.exception("the action has failed", job_id=job.id)
        job.fail(str(reason) if isinstance(reason, Unhealthy) else repr(reason), request_id)


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> None:
    """Work on a job. CodePipeline invokes the function with one at a time, and waits for the answer."""
    job = Job(_codepipeline, event["CodePipeline.job"])
    seconds = context.get_remaining_time_in_millis() / 1000 - _RESERVE
    reason = (
        "the time of the function is over"
        if seconds > 0
        else f"the timeout of the function leaves no time for the work: {_RESERVE} seconds are for the answer"
    )
    with job.failing_after(seconds, reason, context.aws_request_id):
        work(job, event["CodePipeline.job"]["data"], context.aws_request_id)
    logger.info("answered", job_id=job.id)


@logger.inject_lambda_context
def report_failure(record: dict[str, Any], context: "LambdaContext") -> None:
    """Fail the job of a failed invocation, unless it has an answer. The record is that of a destination."""
    job = Job(_codepipeline, record["requestPayload"]["CodePipeline.job"])
    failed = record["requestContext"]
    response = record.get("responsePayload")  # of a function that was not invoked, it has none
    error = (response.get("errorMessage") if isinstance(response, dict) else response) or "no error message"
    job.fail(f"the function ended without an answer ({failed['condition']}): {error}", failed["requestId"])
    logger.info("answered", job_id=job.id)
