"""A custom resource: CloudFormation creates, changes or deletes signed code.

Each request is answered, also after an error: CloudFormation would wait for the answer until a timeout. The
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

_ANSWERS = urllib3.PoolManager(timeout=10, retries=urllib3.Retry(3, backoff_factor=1))
_ECHOED = ("StackId", "RequestId", "LogicalResourceId")
_s3, _client = make_clients("s3", "signer")
_signer = Signer(_s3, _client, os.environ["PROFILE_NAME"], os.environ["SIGNED_BUCKET"])


def handler(event: Mapping[str, Any], _context: Any) -> None:
    """Do what CloudFormation asks for, and answer."""
    key = event.get("PhysicalResourceId", "not-signed")
    outcome: dict[str, Any] = {"Status": "SUCCESS"}
    try:
        if event["RequestType"] == "Delete":
            _signer.delete(key)
        else:
            key = _sign(event)
            outcome["Data"] = {"Key": key}
    except Exception as error:
        logger.exception("failed", extra={"request": event.get("RequestId")})
        outcome = {"Status": "FAILED", "Reason": f"{type(error).__name__}: {error}"}
    answer = {**{name: event[name] for name in _ECHOED}, "PhysicalResourceId": key, **outcome}
    logger.info("answered", extra={"status": outcome["Status"], "key": key})
    # S3 has signed the URL without a content type.
    _ANSWERS.request("PUT", event["ResponseURL"], body=json.dumps(answer), headers={"Content-Type": ""})


def _sign(event: Mapping[str, Any]) -> str:
    given = event["ResourceProperties"]
    code = Code(given["Bucket"], given["Key"], given.get("Version"))
    of = [event["StackId"], event["LogicalResourceId"], *map(given.get, ("Key", "Version", "ProfileVersion"))]
    name = hashlib.sha256(json.dumps(of).encode()).hexdigest()[:32]
    return _signer.sign(code, name, token=event["RequestId"])
