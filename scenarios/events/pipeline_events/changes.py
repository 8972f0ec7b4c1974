"""Events of CodePipeline and CodeCommit, in the form that AWS documents.

https://docs.aws.amazon.com/codepipeline/latest/userguide/detect-state-changes-cloudwatch-events.html
https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html
https://docs.aws.amazon.com/codecommit/latest/userguide/monitoring-events.html
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Event = dict[str, Any]

_DEPLOY = {"owner": "AWS", "category": "Deploy", "provider": "CodeDeploy", "version": "1"}


def _event(source: str, detail_type: str, arn: str, detail: Event) -> Event:
    _arn, _partition, _service, region, account, _name = arn.split(":", 5)
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [arn],
        "detail": detail,
    }


def state_change(level: str, pipeline_arn: str, execution: str, state: str) -> Event:
    """A state change of a pipeline, of its stage Prod, or of the action Deploy in that stage."""
    detail: Event = {
        "pipeline": pipeline_arn.rpartition(":")[2],
        "execution-id": execution,
        "start-time": "2026-11-27T10:00:00.000Z",
        "state": state,
        "version": 3.0,
        "pipeline-execution-attempt": 1.0,
    }
    if level == "Pipeline":
        detail["execution-trigger"] = {"trigger-type": "StartPipelineExecution", "trigger-detail": "arn"}
    else:
        detail["stage"] = "Prod"
    if level == "Action":
        detail |= {"action": "Deploy", "type": _DEPLOY, "region": pipeline_arn.split(":")[3]}
        detail |= {"action-execution-id": str(uuid4()), "input-artifacts": [], "output-artifacts": []}
    if level == "Action" and state == "FAILED":
        detail["execution-result"] = {
            "external-execution-url": "https://example.com/deployments/d-7",
            "external-execution-summary": "Deployment d-7 failed",
            "external-execution-id": "d-7",
            "error-code": "JobFailed",
        }
    return _event("aws.codepipeline", f"CodePipeline {level} Execution State Change", pipeline_arn, detail)


def reference_change(change: str, repository_arn: str, name: str, kind: str = "branch") -> Event:
    """A branch or a tag was Created, Updated or Deleted."""
    folder = {"branch": "heads", "tag": "tags"}[kind]
    detail: Event = {
        "event": f"reference{change}",
        "repositoryName": repository_arn.rpartition(":")[2],
        "repositoryId": str(uuid4()),
        "referenceType": kind,
        "referenceName": name,
        "referenceFullName": f"refs/{folder}/{name}",
        "callerUserArn": "arn:aws:iam::123456789012:user/Mary_Major",
    }
    if change != "Deleted":
        detail["commitId"] = uuid4().hex
    if change != "Created":
        detail["oldCommitId"] = uuid4().hex
    return _event("aws.codecommit", "CodeCommit Repository State Change", repository_arn, detail)


def job(function: str, account: str, parameters: object, token: str | None = None) -> Event:
    """A job of an action that invokes a function. A text as parameters is passed as it is."""
    text = parameters if isinstance(parameters, str) else json.dumps(parameters)
    credentials = {"accessKeyId": "AKIAIOSFODNN7EXAMPLE", "secretAccessKey": "secret", "sessionToken": "t"}
    data: Event = {
        "actionConfiguration": {"configuration": {"FunctionName": function, "UserParameters": text}},
        "inputArtifacts": [],
        "outputArtifacts": [],
        "artifactCredentials": credentials,
    }
    if token is not None:
        data["continuationToken"] = token
    return {"CodePipeline.job": {"id": str(uuid4()), "accountId": account, "data": data}}
