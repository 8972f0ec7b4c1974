"""Signing jobs for Lambda: they sign the archive, with the permissions of their caller in S3.

The emulator writes a receipt in place of the signed archive, and needs no permission in S3.

Faithful to: the source is a version of an object in a versioned bucket. The caller needs
`s3:GetObjectVersion` on it, `s3:PutObject` on the signed object, and `s3:ListBucket` on both buckets, besides
`signer:StartSigningJob` on the profile, which is active. The signed object has the name of the job. A job
fails if the archive is empty, is malformed or has a signature. A profile gives each signature its validity,
from a day to 135 months.
Not to: ListSigningProfiles, and the list of platforms; jobs take no time, and a source that does not exist is
refused at once; buckets and profiles of other accounts; permissions on KMS keys; the words of errors; other
platforms, which are as in the emulator.

https://docs.aws.amazon.com/signer/latest/api/API_StartSigningJob.html
https://docs.aws.amazon.com/signer/latest/developerguide/gs-iam.html
https://docs.aws.amazon.com/signer/latest/developerguide/signing-jobs-lambda.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region, json_response
from ministack.core.router import extract_access_key_id
from ministack.services import s3, signer

from localaws.patching import around
from localaws.services.iam.deployments import Deployer
from localaws.services.iam.roles import iam_is_enforced
from localaws.services.signer.signatures import Claims, UnusableError, signed

Answer = tuple[int, dict[str, str], bytes]

_LAMBDA = "AWSLambda-SHA384-ECDSA"


def arn_of(job: str) -> str:
    """The ARN of a job."""
    return f"arn:aws:signer:{get_region()}:{get_account_id()}:/signing-jobs/{job}"


# By default 135 months, which is the most.
# https://docs.aws.amazon.com/signer/latest/developerguide/cli-profile.html
_PLATFORMS = (
    *("AWSIoTDeviceManagement-SHA256-ECDSA", "AmazonFreeRTOS-Default", "AmazonFreeRTOS-TI-CC3220SF"),
    *(_LAMBDA, "Notation-OCI-SHA384-ECDSA"),
)
_LONGEST = {"DAYS": 4109, "MONTHS": 135, "YEARS": 11}


@around(signer, "_put_signing_profile")
def _put_signing_profile(stock: Callable[..., Answer], name: str, body: dict[str, Any]) -> Answer:
    platform, given = body.get("platformId"), body.get("signatureValidityPeriod")
    period = given if isinstance(given, dict) else {}
    if platform and platform not in _PLATFORMS:
        return _error(400, "ValidationException", f"Signing platform {platform} does not exist.")
    value = period.get("value")
    if isinstance(value, int) and not 1 <= value <= _LONGEST.get(period.get("type") or "MONTHS", value):
        return _error(400, "ValidationException", "signatureValidityPeriod: give 1 day to 135 months.")
    return stock(name, body)


@around(signer, "_start_signing_job")
def _start_signing_job(
    stock: Callable[..., Answer], body: dict[str, Any], headers: dict[str, str] | None = None
) -> Answer:
    if not body.get("clientRequestToken"):
        return _error(400, "ValidationException", "clientRequestToken is required.")
    profile = signer._profiles.get(str(body.get("profileName")))
    repeated = signer._tokens.get(body.get("clientRequestToken"))
    if profile is None or profile["platformId"] != _LAMBDA or repeated:
        return stock(body, headers)
    source = (body.get("source") or {}).get("s3") or {}
    destination = (body.get("destination") or {}).get("s3") or {}
    if not all(source.get(name) for name in ("bucketName", "key", "version")) or not destination.get(
        "bucketName"
    ):
        return _error(400, "ValidationException", "source and destination need a bucket, key and version.")
    if profile["status"] != "Active":
        text = f"Signing profile {profile['profileName']} is not active: its status is {profile['status']}."
        return _error(400, "ValidationException", text)
    job = str(uuid.uuid4())
    to = (
        destination["bucketName"],
        signer._signed_key(destination.get("prefix") or "", job, _LAMBDA, source["key"]),
    )
    return _refused(source, to, headers or {}) or _run(job, profile, source, to, body, headers)


def _refused(source: Mapping[str, str], to: tuple[str, str], headers: dict[str, str]) -> Answer | None:
    key = extract_access_key_id(headers, {})
    needed = [
        ("s3:ListBucket", source["bucketName"]),
        ("s3:GetObjectVersion", f"{source['bucketName']}/{source['key']}"),
        ("s3:ListBucket", to[0]),
        ("s3:PutObject", "/".join(to)),
    ]
    for action, what in needed if iam_is_enforced() else ():
        if who := Deployer(None, key).denied(action, f"arn:aws:s3:::{what}"):
            text = f"User: {who} is not authorized to perform: {action} on resource: arn:aws:s3:::{what}"
            return _error(403, "AccessDeniedException", text)
    for bucket in (source["bucketName"], to[0]):
        if s3._ensure_bucket(bucket) is None:
            return _error(404, "ResourceNotFoundException", f"Bucket {bucket} does not exist.")
    if s3._bucket_versioning.get(source["bucketName"]) is None:
        return _error(400, "ValidationException", f"Bucket {source['bucketName']} is not version enabled.")
    return None


def _run(
    job: str,
    profile: dict[str, Any],
    source: Mapping[str, str],
    to: tuple[str, str],
    body: Mapping[str, Any],
    headers: dict[str, str] | None,
) -> Answer:
    archive, version = signer._resolve_source(source["bucketName"], source["key"], source["version"])
    if archive is None:
        text = f"{source['key']} has no version {source['version']} in bucket {source['bucketName']}."
        return _error(404, "ResourceNotFoundException", text)
    now = signer._now()
    expires = signer._signature_expires_at(now, profile.get("signatureValidityPeriod"))
    record = {
        "jobId": job,
        "source": {"s3": {**source, "version": version}},
        "profileName": profile["profileName"],
        "profileVersion": profile["profileVersion"],
        "platformId": _LAMBDA,
        "createdAt": now,
        "completedAt": now,
        "requestedBy": signer._requested_by(headers),
        "jobOwner": get_account_id(),
        "jobInvoker": get_account_id(),
    }
    try:
        content = signed(archive, Claims(profile["profileVersionArn"], arn_of(job), now, expires))
    except UnusableError as error:
        signer._jobs[job] = {**record, "status": "Failed", "statusReason": str(error)}
    else:
        s3._put_object(*to, content, {"content-type": "application/zip", "content-length": str(len(content))})
        signer._jobs[job] = {
            **record,
            "signedObject": {"s3": {"bucketName": to[0], "key": to[1]}},
            "signatureExpiresAt": expires,
            "status": "Succeeded",
            "statusReason": "Signing Succeeded",
        }
    response = {"jobId": job, "jobOwner": get_account_id()}
    signer._remember_token(body["clientRequestToken"], response)
    answer: Answer = json_response(response)
    return answer


def _error(status: int, code: str, text: str) -> Answer:
    answer: Answer = signer._error(status, code, text)
    return answer
