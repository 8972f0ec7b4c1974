"""CodeDeploy's hooks of a release: before the first caller gets the new version, after the last one got it.

Both read from the deployment what is released, and both always answer: a hook that says nothing holds its
deployment for an hour. What fails, crashes or takes too long is answered with ``Failed``, while the function
still has time to. CodeDeploy may ask twice; nothing that is done here differs the second time.
"""

# through all of it again and again takes a third of the start.
import gc

gc.disable()

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools.logging import Logger
from botocore.config import Config
from releases import Release, ReleaseFailed, parse_release
from smoke import Reply, parse_cases, try_cases
from timing import within
from traffic import Numbers, check_alias, check_numbers, prunable

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_RESERVE_S = 10  # for telling CodeDeploy

logger = Logger()
# A case has its own time limit, so a call is neither cut off nor repeated after a while by the client.
_PATIENT = Config(read_timeout=900, retries={"mode": "standard", "total_max_attempts": 3})
_HASTY = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
_lambda = boto3.client("lambda", config=_PATIENT)
_codedeploy = boto3.client("codedeploy", config=_HASTY)
_cloudwatch = boto3.client("cloudwatch", config=_HASTY)
gc.enable()


def pre_traffic(event: dict[str, Any], context: "LambdaContext") -> dict[str, str]:
    """Invoke the new version, and nothing else, once for each case."""

    def check(release: Release, _: datetime) -> None:
        try_cases(parse_cases(os.environ["SMOKE_CASES"]), lambda payload: _invoke(release, payload))

    return _answer(event, context, check)


def post_traffic(event: dict[str, Any], context: "LambdaContext") -> dict[str, str]:
    """See that every caller gets the new version, and how it did; delete versions that are old enough."""

    def check(release: Release, began: datetime) -> None:
        alias = _lambda.get_alias(FunctionName=release.function, Name=release.alias)
        check_alias(alias, release.target_version)
        numbers = _numbers(release, began)
        check_numbers(numbers, float(os.environ["ERROR_PERCENTAGE"]))
        logger.info("the new version did well", invocations=numbers.invocations, errors=numbers.errors)
        if kept := os.environ.get("VERSIONS_KEPT"):
            _prune(release, int(kept))

    return _answer(event, context, check)


def _answer(
    event: dict[str, Any], context: "LambdaContext", check: Callable[[Release, datetime], None]
) -> dict[str, str]:
    """Run a check within the time that is left, and tell CodeDeploy how it went."""
    deployment_id = event["DeploymentId"]
    logger.remove_keys(["alias", "current", "target"])  # of the deployment before
    logger.append_keys(deployment_id=deployment_id)
    status = "Failed"
    try:
        seconds = context.get_remaining_time_in_millis() / 1000 - _RESERVE_S
        within(seconds, lambda: _check(deployment_id, check))
        status = "Succeeded"
    except ReleaseFailed as failure:
        logger.error("the release failed", reason=str(failure), **failure.details)
    except TimeoutError:
        logger.error("the hook ran out of time")
    except Exception:
        logger.exception("the hook crashed")
    _codedeploy.put_lifecycle_event_hook_execution_status(
        deploymentId=deployment_id,
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    logger.info("told CodeDeploy", status=status)
    return {"status": status}


def _check(deployment_id: str, check: Callable[[Release, datetime], None]) -> None:
    deployment = _codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
    release = parse_release(deployment)
    logger.append_keys(alias=release.alias, current=release.current_version, target=release.target_version)
    check(release, deployment["createTime"])


def _invoke(release: Release, payload: object) -> Reply:
    answer = _lambda.invoke(
        FunctionName=release.function,
        Qualifier=release.target_version,
        Payload=json.dumps(payload).encode(),
    )
    return Reply(answer["Payload"].read(), failed="FunctionError" in answer)


def _numbers(release: Release, began: datetime) -> Numbers:
    """What Lambda counted of the new version behind the alias since the release began."""
    dimensions = [
        {"Name": "FunctionName", "Value": release.function},
        {"Name": "Resource", "Value": f"{release.function}:{release.alias}"},
        {"Name": "ExecutedVersion", "Value": release.target_version},
    ]
    queries = [
        {
            "Id": name.lower(),
            "MetricStat": {
                "Metric": {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions},
                "Period": 60,
                "Stat": "Sum",
            },
        }
        for name in ("Invocations", "Errors")
    ]
    sums = {"invocations": 0.0, "errors": 0.0}
    pages = _cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=began.replace(second=0, microsecond=0),
        EndTime=datetime.now(UTC),
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            sums[result["Id"]] += sum(result["Values"])
    return Numbers(**{name: round(value) for name, value in sums.items()})


def _prune(release: Release, kept: int) -> None:
    """Delete old versions. Failing costs a log line and not the release, which is over and well."""
    try:
        pages = _lambda.get_paginator("list_versions_by_function").paginate(FunctionName=release.function)
        versions = [version["Version"] for page in pages for version in page["Versions"]]
        pages = _lambda.get_paginator("list_aliases").paginate(FunctionName=release.function)
        aliases = [alias for page in pages for alias in page["Aliases"]]
        for version in prunable(versions, aliases, release.target_version, kept):
            # Lambda itself refuses to delete what an alias has been pointed at meanwhile.
            _lambda.delete_function(FunctionName=release.function, Qualifier=version)
            logger.info("deleted an old version", version=version)
    except Exception:
        logger.exception("old versions were not deleted")
