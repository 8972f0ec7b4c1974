"""Tags and ACLs need permissions of their own, and DeleteObjects is authorised for each key."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

PUT, TAGS, ACL = "s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectAcl"
DELETE, VERSION = "s3:DeleteObject", "s3:DeleteObjectVersion"


@pytest.fixture(scope="module")
def bucket(local_aws: LocalAws) -> str:
    """A versioned bucket whose objects may have ACLs."""
    return make_bucket(local_aws)


def make_bucket(aws: LocalAws) -> str:
    s3, name = aws.client("s3"), f"photos-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def client(aws: LocalAws, bucket: str, *actions: str, below: str = "") -> Any:
    """The client of a user who may perform these actions on the objects of a folder."""
    return session_of(aws, *((action, f"arn:aws:s3:::{bucket}/{below}*") for action in actions)).client("s3")


def refused(client: Any, operation: str, **arguments: Any) -> str:
    """The error of a call; an empty text if there is none."""
    try:
        getattr(client, operation)(**arguments)
    except ClientError as error:
        return "{Code}: {Message}".format(**error.response["Error"])
    return ""


@pytest.mark.parametrize("operation", ["put_object", "create_multipart_upload"])
@pytest.mark.parametrize(
    ("sent", "needed"),
    [
        ({"Tagging": "a=b"}, TAGS),
        ({"ACL": "private"}, ACL),
        ({"ACL": "bucket-owner-full-control"}, ACL),
        ({"GrantRead": 'id="0123"'}, ACL),
    ],
)
def test_tags_and_acls_need_a_permission_of_their_own(
    local_aws: LocalAws, bucket: str, operation: str, sent: dict[str, str], needed: str
) -> None:
    target = {"Bucket": bucket, "Key": "a/photo"}
    writer, wider = client(local_aws, bucket, PUT), client(local_aws, bucket, PUT, needed)
    assert refused(writer, operation, **target) == ""
    error = refused(writer, operation, **target, **sent)
    assert error.startswith("AccessDenied:")
    assert f"is not authorized to perform: {needed} " in error
    assert not refused(wider, operation, **target, **sent).startswith("AccessDenied")


def test_a_copy_with_other_tags_needs_the_permission_for_tags(local_aws: LocalAws, bucket: str) -> None:
    local_aws.client("s3").put_object(Bucket=bucket, Key="source", Body=b"x")
    copied = {
        "Bucket": bucket,
        "Key": "copy",
        "CopySource": f"{bucket}/source",
        "TaggingDirective": "REPLACE",
        "Tagging": "a=b",
    }
    reader = client(local_aws, bucket, PUT, "s3:GetObject")
    assert TAGS in refused(reader, "copy_object", **copied)
    assert refused(client(local_aws, bucket, PUT, "s3:GetObject", TAGS), "copy_object", **copied) == ""


def put(aws: LocalAws, bucket: str, *keys: str) -> dict[str, str]:
    """Make objects; return their versions."""
    s3 = aws.client("s3")
    return {key: s3.put_object(Bucket=bucket, Key=key, Body=b"x")["VersionId"] for key in keys}


def test_a_batch_deletes_the_keys_that_the_caller_may_delete(local_aws: LocalAws, bucket: str) -> None:
    put(local_aws, bucket, "kept/a b", "mine/one", "mine/two")
    s3 = client(local_aws, bucket, DELETE, below="mine/")
    keys = [{"Key": key} for key in ("kept/a b", "mine/one", "mine/two")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert sorted(one["Key"] for one in answer["Deleted"]) == ["mine/one", "mine/two"]
    assert answer["Errors"] == [{"Key": "kept/a b", "Code": "AccessDenied", "Message": "Access Denied"}]
    left = local_aws.client("s3").list_objects_v2(Bucket=bucket, Prefix="mine/")
    assert left["KeyCount"] == 0
    local_aws.client("s3").head_object(Bucket=bucket, Key="kept/a b")


def test_a_batch_without_permission_is_answered_with_errors(local_aws: LocalAws, bucket: str) -> None:
    put(local_aws, bucket, "kept/a")
    keys = {"Objects": [{"Key": "kept/a"}], "Quiet": True}
    answer = client(local_aws, bucket, PUT).delete_objects(Bucket=bucket, Delete=keys)
    assert ("Deleted" not in answer, answer["Errors"][0]["Code"]) == (True, "AccessDenied")
    (denied,) = [one for one in local_aws.denied() if one.resource.endswith(f"{bucket}/kept/a")]
    assert denied.action == DELETE


def test_a_version_of_a_batch_needs_the_permission_for_versions(local_aws: LocalAws, bucket: str) -> None:
    version = put(local_aws, bucket, "old")["old"]
    objects = [{"Key": "old", "VersionId": version}, {"Key": "old"}]
    for allowed, errors in ((DELETE, [("old", version)]), (VERSION, [("old", None)])):
        answer = client(local_aws, bucket, allowed).delete_objects(Bucket=bucket, Delete={"Objects": objects})
        found = [(one["Key"], one.get("VersionId")) for one in answer["Errors"]]
        assert (found, len(answer["Deleted"])) == (errors, 1)


def test_a_batch_that_asks_to_bypass_governance_needs_the_permission(
    local_aws: LocalAws, bucket: str
) -> None:
    put(local_aws, bucket, "locked")
    request = {
        "Bucket": bucket,
        "Delete": {"Objects": [{"Key": "locked"}]},
        "BypassGovernanceRetention": True,
    }
    assert client(local_aws, bucket, DELETE).delete_objects(**request)["Errors"][0]["Key"] == "locked"
    wider = client(local_aws, bucket, DELETE, "s3:BypassGovernanceRetention")
    assert "Errors" not in wider.delete_objects(**request)


def test_too_many_keys_are_refused_before_any_is_denied(local_aws: LocalAws, bucket: str) -> None:
    keys = {"Objects": [{"Key": f"{number}"} for number in range(1001)]}
    error = refused(client(local_aws, bucket, PUT), "delete_objects", Bucket=bucket, Delete=keys)
    assert error.startswith("MalformedXML:")


def test_still_needed_the_emulator_refuses_a_batch_as_a_whole(stock_aws: LocalAws) -> None:
    bucket = make_bucket(stock_aws)
    put(stock_aws, bucket, "kept/a", "mine/one")
    s3 = client(stock_aws, bucket, DELETE, PUT, below="mine/")
    keys = {"Objects": [{"Key": "kept/a"}, {"Key": "mine/one"}]}
    assert refused(s3, "delete_objects", Bucket=bucket, Delete=keys).startswith("AccessDenied:")
    assert refused(s3, "put_object", Bucket=bucket, Key="mine/two", Tagging="a=b") == ""
