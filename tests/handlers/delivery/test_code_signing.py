"""The provider of `code-signing`: what it signs and deletes, and what it answers to CloudFormation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError, WaiterError

from delivery.code_signing.signing import Code, NotSignedError, Signer
from tests.handlers.importing import import_handler

EVENT = {
    "RequestType": "Create",
    "RequestId": "request",
    "StackId": "stack",
    "LogicalResourceId": "Signed",
    "ResponseURL": "https://answers/1",
    "ResourceProperties": {"Bucket": "assets", "Key": "a.zip", "ProfileVersion": "v1"},
}


class Services:
    """S3 with a versioned object, and AWS Signer, which needs one look to sign."""

    def __init__(self) -> None:
        self.s3, self.signer = mock.Mock(), mock.Mock()
        self.s3.head_object.return_value = {"VersionId": "version"}
        self.s3.list_objects_v2.side_effect = lambda Bucket, Prefix: {  # noqa: N803 - as boto3 names them
            "Contents": [{"Key": key} for key in self.signed if key.startswith(Prefix)]
        }
        self.signer.start_signing_job.side_effect = self._start
        self.signer.describe_signing_job.side_effect = lambda jobId: {  # noqa: N803
            "status": "Succeeded",
            "signedObject": {"s3": {"key": self.signed[-1]}},
        }
        self.signed: list[str] = []

    def _start(self, **request: Any) -> dict[str, str]:
        self.signed.append(f"{request['destination']['s3']['prefix']}job-{len(self.signed)}.zip")
        return {"jobId": "job"}

    @property
    def by_name(self) -> Signer:
        """What signs with them."""
        return Signer(self.s3, self.signer, "profile", "signed-code")

    @contextmanager
    def answers(self) -> Iterator[Any]:
        """The handler's module, whose answers to CloudFormation go nowhere."""
        variables = {
            "PROFILE_NAME": "profile",
            "SIGNED_BUCKET": "signed-code",
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        module = import_handler("delivery.code_signing.handler", variables)
        with mock.patch.object(module, "_signer", self.by_name), mock.patch.object(module, "_ANSWERS"):
            module._ANSWERS.request.return_value.status = 200
            yield module


def answer(module: Any, event: dict[str, Any]) -> dict[str, Any]:
    """What CloudFormation gets."""
    module.handler(event, None)
    method, url = module._ANSWERS.request.call_args.args
    assert (method, url) == ("PUT", "https://answers/1")
    found: dict[str, Any] = json.loads(module._ANSWERS.request.call_args.kwargs["body"])
    return found


def test_code_is_signed_with_the_profile_and_the_answer_has_the_key() -> None:
    services = Services()
    with services.answers() as module:
        found = answer(module, EVENT)
    assert found["Status"] == "SUCCESS"
    assert found["PhysicalResourceId"] == found["Data"]["Key"] == services.signed[0]
    assert {name: found[name] for name in ("StackId", "RequestId", "LogicalResourceId")} == {
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Signed",
    }
    request = services.signer.start_signing_job.call_args.kwargs
    assert request["source"] == {"s3": {"bucketName": "assets", "key": "a.zip", "version": "version"}}
    assert (request["profileName"], request["clientRequestToken"]) == ("profile", "request")
    services.signer.get_waiter.assert_called_once_with("successful_signing_job")


def test_the_same_code_is_signed_once_and_changed_code_or_another_profile_anew() -> None:
    services = Services()
    with services.answers() as module:
        first = answer(module, EVENT)["PhysicalResourceId"]
        update = {**EVENT, "RequestType": "Update", "PhysicalResourceId": first}
        for change in (
            {"Key": "b.zip"},
            {"ProfileVersion": "v2"},
            {"Version": "second"},
            {"Bucket": "elsewhere"},
        ):
            properties = {**EVENT["ResourceProperties"], **change}  # type: ignore[dict-item]
            assert answer(module, {**update, "ResourceProperties": properties})["PhysicalResourceId"] != first
        # A rollback: the old properties once more. The old object is still there.
        assert answer(module, update)["PhysicalResourceId"] == first
        assert answer(module, {**EVENT, "LogicalResourceId": "Other"})["PhysicalResourceId"] != first
    assert len(set(services.signed)) == 6


def test_only_signed_code_is_deleted() -> None:
    services = Services()
    with services.answers() as module:
        for key in ("signed/name/job.zip", "not-signed", "signed/../evil"):
            delete = {**EVENT, "RequestType": "Delete", "PhysicalResourceId": key}
            assert answer(module, delete)["Status"] == "SUCCESS"
    services.s3.delete_object.assert_called_once_with(Bucket="signed-code", Key="signed/name/job.zip")


def test_code_in_a_bucket_that_is_gone_is_deleted_and_another_error_is_not_hidden() -> None:
    services = Services()
    delete = {**EVENT, "RequestType": "Delete", "PhysicalResourceId": "signed/name/job.zip"}
    with services.answers() as module:
        for code, status in (("NoSuchBucket", "SUCCESS"), ("AccessDenied", "FAILED")):
            error = ClientError({"Error": {"Code": code}}, "DeleteObject")
            services.s3.delete_object.side_effect = error
            assert answer(module, delete)["Status"] == status


def test_an_answer_that_is_not_taken_fails_the_invocation_and_is_not_logged_as_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    services = Services()
    with services.answers() as module:
        module._ANSWERS.request.return_value.status = 403
        with pytest.raises(module.NotAnsweredError, match="answers 403"):
            module.handler(EVENT, None)
        assert "answered" not in caplog.messages
        assert {500, 503} <= set(module._RETRY.status_forcelist)


@pytest.mark.parametrize("character", ["a", "ü", "\x00", "\N{GRINNING FACE}", "\ud800"])
def test_an_answer_is_never_longer_than_cloudformation_takes(character: str) -> None:
    services = Services()
    services.signer.start_signing_job.side_effect = RuntimeError(character * 6_000)
    with services.answers() as module:
        assert answer(module, EVENT)["Status"] == "FAILED"
        assert len(module._ANSWERS.request.call_args.kwargs["body"]) < 4_096


def test_a_request_that_cloudformation_does_not_know_is_refused() -> None:
    services = Services()
    with services.answers() as module:
        found = answer(module, {**EVENT, "RequestType": "Explode"})
    assert (found["Status"], services.signed) == ("FAILED", [])


@pytest.mark.parametrize("id", ["", "signed/name/old.zip"])
def test_a_failure_is_answered_with_its_reason_and_keeps_the_id(id: str) -> None:
    services = Services()
    services.signer.start_signing_job.side_effect = RuntimeError("no permission")
    with services.answers() as module:
        found = answer(module, {**EVENT, **({"PhysicalResourceId": id} if id else {})})
    assert found["Status"] == "FAILED"
    assert found["Reason"] == "RuntimeError: no permission"
    assert found["PhysicalResourceId"] == (id or "not-signed")


def test_a_job_that_fails_says_why() -> None:
    services = Services()
    services.signer.get_waiter.return_value.wait.side_effect = WaiterError("name", "failed", {})
    services.signer.describe_signing_job.side_effect = lambda jobId: {  # noqa: N803
        "status": "Failed",
        "statusReason": "The zip file is empty.",
    }
    with pytest.raises(NotSignedError, match=r"signing job job of a\.zip: Failed: The zip file is empty\."):
        services.by_name.sign(Code("assets", "a.zip"), "name", token="request")


def test_a_version_that_is_known_is_signed_and_an_object_without_one_is_refused() -> None:
    services = Services()
    services.by_name.sign(Code("assets", "a.zip", "first"), "name", token="request")
    services.s3.head_object.assert_not_called()
    assert services.signer.start_signing_job.call_args.kwargs["source"]["s3"]["version"] == "first"
    services.s3.head_object.return_value = {}
    with pytest.raises(NotSignedError, match="turn versioning on"):
        services.by_name.sign(Code("assets", "a.zip"), "other", token="request")
