"""CodeDeploy → hook before the first call or after the last shift → report to CodeDeploy.

Both hooks read from the deployment which version is released, and both always report: CodeDeploy waits an
hour for a hook that does not. A check that fails, crashes or runs out of time is reported as ``Failed`` while
the function still has time to. CodeDeploy may invoke a hook twice; the second time has the same effect.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    import boto3
    from aws_lambda_powertools.logging import Logger
    from botocore.config import Config
    from botocore.exceptions import ClientError, ReadTimeoutError

    from . import release as releases
    from .release import Release, ReleaseFailed
    from .smoke import Case, check_response, parse_cases

    _CALL_S = 15  # what two attempts and the pause between them take at most
    _CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})
    _lambda = boto3.client("lambda", config=_CONFIG)
    _codedeploy = boto3.client("codedeploy", config=_CONFIG)
    _cloudwatch = boto3.client("cloudwatch", config=_CONFIG)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_INVOKE_ATTEMPTS = 3
_THROTTLED_OR_UNAVAILABLE = (429, 500, 502, 503, 504)

logger = Logger()


class OutOfTime(Exception):
    """The hook must report now."""


def pre_traffic(event: dict[str, Any], context: "LambdaContext") -> dict[str, str]:
    """Invoke exactly the new version, once for each case."""
    with _reporting(event) as report:
        release, _ = _read_deployment(event)
        for case in parse_cases(os.environ["SMOKE_CASES"]):
            response = _invoke(release, case, context)
            check_response(case, response["Payload"].read(), failed="FunctionError" in response)
    return report


def post_traffic(event: dict[str, Any], context: "LambdaContext") -> dict[str, str]:
    """Check that all calls go to the new version and how many failed; delete versions that are old enough."""
    with _reporting(event) as report:
        release, began = _read_deployment(event)
        _require_time_for_a_call(context)
        alias = _lambda.get_alias(FunctionName=release.function, Name=release.alias)
        releases.check_alias(alias, release.target_version)
        _require_time_for_a_call(context)
        counts = _counts(release, began)
        releases.check_error_rate(**counts, allowed_percentage=float(os.environ["ERROR_PERCENTAGE"]))
        logger.info("the new version did well", extra=counts)
        if kept := os.environ.get("VERSIONS_KEPT"):
            _delete_old_versions(release, int(kept), context)
    return report


@contextmanager
def _reporting(event: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Report to CodeDeploy whether the body succeeded. What the body raises is logged and goes no further."""
    deployment_id = event["DeploymentId"]
    logger.remove_keys(["alias", "current", "target"])  # of the previous deployment
    logger.append_keys(deployment_id=deployment_id)
    report = {"status": "Failed"}
    try:
        yield report
        report["status"] = "Succeeded"
    except ReleaseFailed as failure:
        logger.error("the release failed", reason=str(failure), **failure.details)
    except OutOfTime:
        logger.error("the hook ran out of time")
    except Exception:
        logger.exception("the hook crashed")
    _codedeploy.put_lifecycle_event_hook_execution_status(
        deploymentId=deployment_id,
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=report["status"],
    )
    logger.info("reported to CodeDeploy", status=report["status"])


def _read_deployment(event: dict[str, Any]) -> tuple[Release, datetime]:
    """Return what is released and when the release began."""
    deployment = _codedeploy.get_deployment(deploymentId=event["DeploymentId"])["deploymentInfo"]
    release = releases.parse_release(deployment)
    logger.append_keys(alias=release.alias, current=release.current_version, target=release.target_version)
    return release, deployment["createTime"]


def _seconds_left(context: "LambdaContext") -> float:
    """Return how many seconds are left before the hook must report.

    Raises:
        OutOfTime: None.
    """
    left = context.get_remaining_time_in_millis() / 1000 - _CALL_S
    if left <= 0:
        raise OutOfTime
    return left


def _require_time_for_a_call(context: "LambdaContext") -> None:
    if _seconds_left(context) < _CALL_S:
        raise OutOfTime


def _invoke(release: Release, case: Case, context: "LambdaContext") -> Any:
    """Invoke the new version. A throttled call is repeated; one that takes too long is not.

    Raises:
        ReleaseFailed: There was no response within the case's timeout.
        OutOfTime: There was no response while the hook still had time.
    """
    attempt = 0
    while True:
        attempt += 1
        left = _seconds_left(context)
        try:
            return _lambda_that_waits(min(case.timeout, left)).invoke(
                FunctionName=release.function,
                Qualifier=release.target_version,
                Payload=json.dumps(case.payload).encode(),
            )
        except ReadTimeoutError:
            if left < case.timeout:
                raise OutOfTime from None
            raise ReleaseFailed(f"no response within {case.timeout:g} s", case=case.name) from None
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if attempt == _INVOKE_ATTEMPTS or status not in _THROTTLED_OR_UNAVAILABLE:
                raise
        time.sleep(min(attempt, left))


@cache
def _lambda_that_waits(read_timeout: float) -> Any:
    """A client that waits this many seconds for a response, and never repeats a call by itself."""
    return boto3.client(
        "lambda",
        config=Config(connect_timeout=2, read_timeout=read_timeout, retries={"total_max_attempts": 1}),
    )


def _counts(release: Release, began: datetime) -> dict[str, int]:
    """Return the invocations and errors of the new version behind the alias since the release began."""
    dimensions = [
        {"Name": "FunctionName", "Value": release.function},
        {"Name": "Resource", "Value": f"{release.function}:{release.alias}"},
        {"Name": "ExecutedVersion", "Value": release.target_version},
    ]
    metric = {"Namespace": "AWS/Lambda", "Dimensions": dimensions}
    counts = {"invocations": 0, "errors": 0}
    queries = [
        {
            "Id": name,
            "MetricStat": {"Metric": {**metric, "MetricName": metric_name}, "Period": 60, "Stat": "Sum"},
        }
        for name, metric_name in (("invocations", "Invocations"), ("errors", "Errors"))
    ]
    pages = _cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=began.replace(second=0, microsecond=0),
        EndTime=datetime.now(UTC),
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            counts[result["Id"]] += round(sum(result["Values"]))
    return counts


def _delete_old_versions(release: Release, kept: int, context: "LambdaContext") -> None:
    """Delete old versions. A failure is only logged: the release itself is complete and succeeded."""
    try:
        _require_time_for_a_call(context)
        pages = _lambda.get_paginator("list_versions_by_function").paginate(FunctionName=release.function)
        versions = [version["Version"] for page in pages for version in page["Versions"]]
        _require_time_for_a_call(context)
        pages = _lambda.get_paginator("list_aliases").paginate(FunctionName=release.function)
        aliases = [alias for page in pages for alias in page["Aliases"]]
        for version in releases.deletable_versions(versions, aliases, release.target_version, kept):
            _require_time_for_a_call(context)
            # Lambda refuses to delete a version that an alias has been pointed at meanwhile.
            _lambda.delete_function(FunctionName=release.function, Qualifier=version)
            logger.info("deleted an old version", version=version)
    except OutOfTime:
        logger.warning("old versions remain for the next release to delete: the hook ran out of time")
    except Exception:
        logger.exception("old versions were not deleted")
