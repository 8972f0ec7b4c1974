"""Uploads unsigned and changed code, signs a release, and lets signatures expire and be revoked."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults
from scenarios.support.stack_updates import StackUpdates, Template, UpdateRolledBack, changed_archive

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_RELEASE, _MISMATCH = "cross_account_code/release.json", "CodeVerificationFailedException"
_DRILLED = {
    "signed objects": 1,
    "expired": _MISMATCH,
    "revoked signature": _MISMATCH,
    "unsigned, with Warn": "deployed",
    "revoked profile": "rolled back",
    "new profile": "4",
}


def run(stack: DeployedStack) -> Outcome:
    """The function runs signed code, and Lambda refuses what is unsigned, changed or signed by another.

    Raises:
        ScenarioFailed: Lambda deployed other code, or the function does not run.
    """
    story = Story("Signed code only", stack.tell)
    shown = _configuration(stack)
    require("SigningJobArn" in shown, f"the function runs unsigned code: {shown}")
    require(_release(stack) == "1", "the function does not answer with release 1")
    story.say(f"Deployed by cdk deploy: release 1, signed by job {_job_of(shown)[:8]}….")
    signed = _signed_object(stack)
    archive = stack.client("s3").get_object(**signed)["Body"].read()
    story.fact("unsigned", _refusal(stack, ZipFile=_unsigned()))
    story.say(f"An archive without a signature: {story.outcome().facts['unsigned']}.")
    changed = changed_archive(archive, {_RELEASE: '{"release": "evil", "tax": "0"}'})
    story.fact("changed after signing", _refusal(stack, ZipFile=changed))
    story.say(f"The signed archive with one file changed: {story.outcome().facts['changed after signing']}.")
    facts = {"unsigned": _MISMATCH, "changed after signing": "InvalidCodeSignatureException"}
    require(story.outcome().facts == facts, f"Lambda answered {story.outcome().facts}")
    require(_release(stack) == "1" and _configuration(stack)["CodeSha256"] == shown["CodeSha256"], "changed")
    story.say("The function still runs release 1.")
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Invoke the function once: it needs no permission of its own.

    Raises:
        ScenarioFailed: It failed.
    """
    _release(stack)


def sign_and_delete(stack: DeployedStack) -> None:
    """Ask the provider to sign the code once more, and to delete the result, as CloudFormation would.

    Raises:
        ScenarioFailed: It did not.
    """
    source = _source(stack, _job_of(_configuration(stack)))
    made = _asked(stack, "Create", ResourceProperties={"Bucket": source["bucketName"], "Key": source["key"]})
    try:
        _asked(stack, "Delete", PhysicalResourceId=made["PhysicalResourceId"])
    finally:  # otherwise the next request would find it and sign nothing
        stack.client("s3").delete_object(Bucket=stack.output("BucketName"), Key=made["PhysicalResourceId"])


EVENT = BilledEvent("a call", smoke)

ROLES = (Covered("FunctionName", smoke), Covered("ProviderFunctionName", sign_and_delete))


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the bucket besides the code that the function runs."""
    found = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName")).get("Contents", [])
    own = _signed_object(stack)["Key"]
    return [f"object: {one['Key']}" for one in found if one["Key"] != own]


def drill(stack: DeployedStack, _faults: Faults) -> Outcome:
    """Release, let the signature expire, revoke it, and revoke the profile.

    Raises:
        ScenarioFailed: Untrusted code was deployed, or trusted code was not.
    """
    story = Story("Signatures that are no longer trusted", stack.tell)
    updates, original = StackUpdates(stack), StackUpdates(stack).template()
    first = _signed_object(stack)
    assets = _source(stack, _job_of(_configuration(stack)))["bucketName"]
    updates.update(_with_release(stack, updates.template(), assets, "2"))
    second = _signed_object(stack)
    require(_release(stack) == "2" and second != first, "release 2 was not deployed")
    story.fact("signed objects", len(leftovers(stack)) + 1)
    story.say("Release 2 is deployed: signed by a new job; the signed object of release 1 is deleted.")
    assert stack.paced is not None  # a drill runs on the embedded AWS only
    with stack.paced(0.001):
        stack.wait_until(lambda: _refused(stack, second), "the expiry of the signature")
    story.fact("expired", _MISMATCH)
    story.say(f"A day later the signature has expired. The same object again: {_MISMATCH}.")
    job = _job_of(_configuration(stack))
    stack.client("signer").revoke_signature(jobId=job, reason="drill")
    story.fact("revoked signature", _refusal(stack, **_code(second)))
    require(_release(stack) == "2", "the function does not run any more")
    story.say(
        f"The signature is revoked: {story.outcome().facts['revoked signature']}; the function runs on."
    )
    _warn(stack, story)
    updates.update(_with_release(stack, updates.template(), assets, "3"))
    require(_release(stack) == "3", "release 3 was not deployed")
    story.say("Release 3 has a signature of its own, and is deployed.")
    _revoke_profile(stack, story, updates, assets)
    updates.update(original)
    require(_release(stack) == "1", "release 1 was not deployed again")
    require(story.outcome().facts == _DRILLED, f"the drill ended with {story.outcome().facts}")
    return story.outcome()


def _warn(stack: DeployedStack, story: Story) -> None:
    """Deploy unsigned code while the configuration only warns."""
    client, function = stack.client("lambda"), stack.output("FunctionName")
    config = client.get_function_code_signing_config(FunctionName=function)["CodeSigningConfigArn"]
    named = {"CodeSigningConfigArn": config}
    client.update_code_signing_config(**named, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"})
    try:
        story.fact("unsigned, with Warn", _refusal(stack, ZipFile=_unsigned()))
        require(_release(stack) == "unsigned", "the unsigned code was not deployed")
        story.say("With Warn, unsigned code is deployed, and counted in SignatureValidationErrors.")
    finally:
        client.update_code_signing_config(
            **named, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"}
        )


def _revoke_profile(stack: DeployedStack, story: Story, updates: StackUpdates, assets: str) -> None:
    signer = stack.client("signer")
    *_, name, version = _configuration(stack)["SigningProfileVersionArn"].split("/")
    signer.revoke_signing_profile(
        profileName=name, profileVersion=version, reason="drill", effectiveTime=datetime.now(UTC)
    )
    try:
        updates.update(_with_release(stack, updates.template(), assets, "4"))
    except UpdateRolledBack as error:
        reason = str(error)
    else:
        reason = "deployed"
    require("is not active" in reason and _release(stack) == "3", f"with a revoked profile: {reason}")
    story.fact("revoked profile", "rolled back")
    story.say("The profile is revoked: release 4 is not signed, and the update is rolled back to release 3.")
    updates.update(_with_another_profile(_with_release(stack, updates.template(), assets, "4")))
    require(_release(stack) == "4", "release 4 was not deployed")
    story.fact("new profile", _release(stack))
    story.say("With a new profile in the template, release 4 is signed and deployed.")


def _release(stack: DeployedStack) -> str:
    """Return which release the function runs."""
    client, function = stack.client("lambda"), stack.output("FunctionName")
    client.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 1})
    answer = client.invoke(FunctionName=function, Payload=json.dumps({"net": "100.00"}))
    result = json.loads(answer["Payload"].read())
    require("FunctionError" not in answer, f"the function failed: {result}")
    return str(result["release"])


def _configuration(stack: DeployedStack) -> dict[str, Any]:
    return dict(stack.client("lambda").get_function_configuration(FunctionName=stack.output("FunctionName")))


def _job_of(configuration: Mapping[str, Any]) -> str:
    return str(configuration["SigningJobArn"]).rpartition("/")[2]


def _source(stack: DeployedStack, job: str) -> dict[str, str]:
    return dict(stack.client("signer").describe_signing_job(jobId=job)["source"]["s3"])


def _signed_object(stack: DeployedStack) -> dict[str, str]:
    """Return bucket and key of the signed code that the function runs."""
    job = stack.client("signer").describe_signing_job(jobId=_job_of(_configuration(stack)))
    found = job["signedObject"]["s3"]
    return {"Bucket": found["bucketName"], "Key": found["key"]}


def _code(signed: Mapping[str, str]) -> dict[str, str]:
    return {"S3Bucket": signed["Bucket"], "S3Key": signed["Key"]}


def _unsigned() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(
            "cross_account_code/handler.py", 'def handler(event, _): return {"release": "unsigned"}'
        )
    return archive.getvalue()


def _refusal(stack: DeployedStack, **code: Any) -> str:
    """Update the code of the function, and return the error."""
    try:
        stack.client("lambda").update_function_code(FunctionName=stack.output("FunctionName"), **code)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "deployed"


def _refused(stack: DeployedStack, signed: Mapping[str, str]) -> None:
    answer = _refusal(stack, **_code(signed))
    if answer != _MISMATCH:
        raise NotYet(answer)


def _with_release(stack: DeployedStack, template: Template, assets: str, release: str) -> Template:
    """Return the template with new code, uploaded as the CDK uploads an asset."""
    (properties,) = (
        one["Properties"] for one in template["Resources"].values() if one["Type"] == "Custom::SignedCode"
    )
    s3 = stack.client("s3")
    archive = s3.get_object(Bucket=assets, Key=properties["Key"])["Body"].read()
    archive = changed_archive(archive, {_RELEASE: json.dumps({"release": release, "tax": "0.19"})})
    properties["Key"] = f"{hashlib.sha256(archive).hexdigest()}.zip"
    s3.put_object(Bucket=assets, Key=properties["Key"], Body=archive)
    return template


def _with_another_profile(template: Template) -> Template:
    """Return the template with another id of the profile, which makes a new one."""
    (profile,) = (
        name for name, one in template["Resources"].items() if one["Type"] == "AWS::Signer::SigningProfile"
    )
    changed: Template = json.loads(json.dumps(template).replace(f'"{profile}"', f'"{profile}2"'))
    return changed


def _asked(stack: DeployedStack, request: str, **more: Any) -> dict[str, Any]:
    """Ask the provider as CloudFormation does, and return its answer."""
    s3, answer = stack.client("s3"), {"Bucket": stack.output("BucketName"), "Key": f"answers/{uuid4().hex}"}
    url = s3.generate_presigned_url("put_object", Params=answer)
    event = {"RequestType": request, "RequestId": str(uuid4()), "StackId": "drill", "ResponseURL": url}
    stack.client("lambda").invoke(
        FunctionName=stack.output("ProviderFunctionName"),
        Payload=json.dumps({**event, "LogicalResourceId": "Signed", **more}),
    )
    found = json.loads(s3.get_object(**answer)["Body"].read())
    s3.delete_object(**answer)
    require(found["Status"] == "SUCCESS", f"the provider answered {found}")
    return dict(found)
