"""Actions of CodeDeploy's API on deployments, and descriptions of deployments.

Used by `codedeploy.service`. Paging, and deployments of other compute platforms, are not emulated.

https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_CreateDeployment.html
https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_LambdaTarget.html
"""

from __future__ import annotations

from ministack.core.responses import get_account_id, get_region

from localaws.services.codedeploy import configs, groups, records
from localaws.services.codedeploy.deployments import Deployment, active_deployment, deployments
from localaws.services.codedeploy.records import CodeDeployError, Record
from localaws.services.codedeploy.revisions import read_revision

_ANSWERS = ("Succeeded", "Failed")


def create_deployment(request: Record, creator: str = "user") -> Record:
    """CreateDeployment."""
    group = groups.group(request)
    revision, spec = read_revision(request.get("revision"))
    config = configs.config(
        {"deploymentConfigName": request.get("deploymentConfigName") or group["deploymentConfigName"]}
    )
    alarms = request.get("overrideAlarmConfiguration")
    rollback = request.get("autoRollbackConfiguration")
    settings = {
        "deploymentConfigName": config["deploymentConfigName"],
        "creator": creator,
        "description": request.get("description", ""),
        "alarmConfiguration": groups.checked_alarms(alarms or group["alarmConfiguration"]),
        "autoRollbackConfiguration": groups.checked_rollback(rollback or group["autoRollbackConfiguration"]),
    }
    active = active_deployment(group)
    if active is not None:
        raise CodeDeployError(
            "DeploymentLimitExceededException",
            f"The Deployment Group '{group['deploymentGroupName']}' already has an active Deployment "
            f"'{active.id}'",
        )
    deployment = Deployment(group, revision, spec, config["trafficRoutingConfig"], settings)
    deployments[deployment.id] = deployment
    deployment.start()
    return {"deploymentId": deployment.id}


def find_deployment(request: Record) -> Deployment:
    """The deployment in a request."""
    id_ = request.get("deploymentId")
    if not id_:
        raise CodeDeployError("DeploymentIdRequiredException", "deploymentId was not specified")
    deployment = deployments.get(id_)
    if deployment is None or deployment.account_and_region != (get_account_id(), get_region()):
        raise CodeDeployError("DeploymentDoesNotExistException", f"The deployment {id_} could not be found")
    return deployment


def stop_deployment(request: Record) -> Record:
    """StopDeployment."""
    deployment = find_deployment(request)
    if not deployment.is_active:
        raise CodeDeployError(
            "DeploymentAlreadyCompletedException", f"Deployment {deployment.id} has already completed."
        )
    deployment.stop(roll_back=request.get("autoRollbackEnabled"))
    return {"status": "Pending", "statusMessage": "The deployment is being stopped."}


def put_hook_status(request: Record) -> Record:
    """PutLifecycleEventHookExecutionStatus."""
    deployment = find_deployment(request)
    status, execution = request.get("status"), request.get("lifecycleEventHookExecutionId")
    if status not in _ANSWERS:
        raise CodeDeployError(
            "InvalidLifecycleEventHookExecutionStatusException",
            f"status={status!r}: it must be {' or '.join(_ANSWERS)}",
        )
    if execution not in deployment.hook_answers:
        raise CodeDeployError(
            "InvalidLifecycleEventHookExecutionIdException",
            f"lifecycleEventHookExecutionId={execution!r} does not belong to {deployment.id}",
        )
    if not deployment.answer_hook(execution, status):
        raise CodeDeployError(
            "LifecycleEventAlreadyCompletedException", "The lifecycle event has already completed."
        )
    return {"lifecycleEventHookExecutionId": execution}


def list_deployments(request: Record) -> Record:
    """ListDeployments, the newest first."""
    named = {name: request.get(name) for name in ("applicationName", "deploymentGroupName")}
    if any(named.values()):
        groups.group(request)
    statuses = request.get("includeOnlyStatuses") or []
    between = request.get("createTimeRange") or {}
    here = (get_account_id(), get_region())
    found = [
        each.id
        for each in reversed(list(deployments.values()))
        if each.account_and_region == here
        and all(given in (None, each.group[name]) for name, given in named.items())
        and (not statuses or each.status in statuses)
        and between.get("start", 0) <= each.times["createTime"] <= between.get("end", float("inf"))
    ]
    return {"deployments": found}


def batch_get_deployments(request: Record) -> Record:
    """BatchGetDeployments."""
    found = [find_deployment({"deploymentId": each}) for each in request.get("deploymentIds") or []]
    return {"deploymentsInfo": [describe(each) for each in found]}


def get_target(request: Record) -> Record:
    """GetDeploymentTarget."""
    deployment = find_deployment(request)
    target = describe_target(deployment)
    if request.get("targetId") != target["targetId"]:
        raise CodeDeployError(
            "DeploymentTargetDoesNotExistException",
            f"{request.get('targetId')!r} is not a target of {deployment.id}",
        )
    return {"deploymentTarget": {"deploymentTargetType": "LambdaTarget", "lambdaTarget": target}}


def list_targets(request: Record) -> Record:
    """ListDeploymentTargets: the function."""
    return {"targetIds": [describe_target(find_deployment(request))["targetId"]]}


def get_deployment(request: Record) -> Record:
    """GetDeployment."""
    return {"deploymentInfo": describe(find_deployment(request))}


def describe(deployment: Deployment) -> Record:
    """The description of a deployment in GetDeployment."""
    group, settings = deployment.group, dict(deployment.settings)
    alarms = settings.pop("alarmConfiguration")
    info = {
        "applicationName": group["applicationName"],
        "deploymentGroupName": group["deploymentGroupName"],
        "deploymentId": deployment.id,
        "status": deployment.status,
        "revision": deployment.revision,
        "computePlatform": "Lambda",
        "deploymentStyle": group["deploymentStyle"],
        **settings,
        **deployment.times,
    }
    if alarms != group["alarmConfiguration"]:
        info["overrideAlarmConfiguration"] = alarms
    if deployment.error:
        info["errorInformation"] = deployment.error
    if deployment.rollback:
        info["rollbackInfo"] = deployment.rollback
    return info


def describe_target(deployment: Deployment) -> Record:
    """The description of the function in GetDeploymentTarget."""
    spec = deployment.spec
    account, region = deployment.account_and_region
    name = spec.function.split(":")[6] if spec.function.startswith("arn:") else spec.function
    states = {"Created": "Pending", "Stopped": "Failed"}
    return {
        "deploymentId": deployment.id,
        "targetId": f"{name}:{spec.alias}",
        "targetArn": f"arn:aws:lambda:{region}:{account}:function:{name}:{spec.alias}",
        "status": states.get(deployment.status, deployment.status),
        "lifecycleEvents": list(deployment.events.values()),
        "lambdaFunctionInfo": {
            "functionName": name,
            "functionAlias": spec.alias,
            "currentVersion": spec.current_version,
            "targetVersion": spec.target_version,
            "targetVersionWeight": deployment.weight,
        },
    }


# --- Groups


def get_group(request: Record) -> Record:
    """GetDeploymentGroup."""
    group = groups.group(request)
    info = dict(group)
    own = [
        each
        for each in list(deployments.values())
        if each.group["deploymentGroupId"] == group["deploymentGroupId"]
    ]
    succeeded = [each for each in own if each.status == "Succeeded"]
    for name, found in (("lastAttemptedDeployment", own), ("lastSuccessfulDeployment", succeeded)):
        if found:
            last = found[-1]
            info[name] = {"deploymentId": last.id, "status": last.status, **last.times}
    if succeeded:
        info["targetRevision"] = succeeded[-1].revision
    return {"deploymentGroupInfo": info}


def list_groups(request: Record) -> Record:
    """ListDeploymentGroups."""
    name = records.application(request)["applicationName"]
    found = [key[1] for key in records.groups if key[0] == name]
    return {"applicationName": name, "deploymentGroups": found}
