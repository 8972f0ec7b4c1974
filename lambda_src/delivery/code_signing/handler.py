"""A custom resource: CloudFormation creates, changes or deletes signed code.

Each request is answered, also after an error: CloudFormation would wait for the answer until a timeout. If it
does not take the answer, the handler fails, and Lambda runs it again: it finds what it has signed. The
physical id is the key of the signed object: changed code has another one, so CloudFormation deletes the old
object only when the update is complete. A rollback asks for the old code once more, and finds it signed, also
if the profile signs nothing more.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import urllib3

from shared.clients import make_clients

from .signing import Code, Signer

logger = logging.getLogger()
logger.setLevel(logging.INFO)

_RETRY = urllib3.Retry(3, backoff_factor=1, status_forcelist=(500, 502, 503, 504))
_ANSWERS = urllib3.PoolManager(timeout=10, retries=_RETRY)
_ECHOED = ("StackId", "RequestId", "LogicalResourceId")
# An answer has 4,096 bytes at most, and a character up to six of them.
_LONGEST_REASON = 500
# Destination is the bucket for signed code: code is signed into another one when that changes.
_SIGNED = ("Bucket", "Key", "Version", "ProfileVersion")
_s3, _client = make_clients("s3", "signer")
_signer = Signer(_s3, _client, os.environ["PROFILE_NAME"], os.environ["SIGNED_BUCKET"])


class NotAnsweredError(Exception):
    """CloudFormation did not take the answer."""


def handler(event: Mapping[str, Any], _context: Any) -> None:
    """Do what CloudFormation asks for, and answer."""
    key = event.get("PhysicalResourceId", "not-signed")
    outcome: dict[str, Any] = {"Status": "SUCCESS"}
    try:
        kind = event["RequestType"]
        if kind == "Delete":
            _signer.delete(key)
        elif kind in ("Create", "Update"):
            key = _sign(event)
            outcome["Data"] = {"Key": key}
        else:
            raise ValueError(f"RequestType {kind}: CloudFormation sends Create, Update and Delete only")
    except Exception as error:
        logger.exception("failed", extra={"request": event.get("RequestId")})
        outcome = {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"[:_LONGEST_REASON]}
    answer = {**{name: event[name] for name in _ECHOED}, "PhysicalResourceId": key, **outcome}
    body = json.dumps(answer, ensure_ascii=False).encode(errors="replace")
    # S3 has signed the URL without a content type.
    taken = _ANSWERS.request("PUT", event["ResponseURL"], body=body, headers={"Content-Type": ""})
    if taken.status >= 300:
        raise NotAnsweredError(f"CloudFormation's URL answers {taken.status}")
    logger.info("answered", extra={"status": outcome["Status"], "key": key})


def _sign(event: Mapping[str, Any]) -> str:
    given = event["ResourceProperties"]
    code = Code(given["Bucket"], given["Key"], given.get("Version"))
    of = [event["StackId"], event["LogicalResourceId"], *map(given.get, _SIGNED)]
    name = hashlib.sha256(json.dumps(of).encode()).hexdigest()[:32]
    return _signer.sign(code, name, token=event["RequestId"])
