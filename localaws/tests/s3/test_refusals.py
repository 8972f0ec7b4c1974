"""Keys, metadata, tags, uploads and rules of buckets that S3 refuses."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest

from helpers.refusals import Row, check, client, ids
from helpers.stacks import DeploymentFailedError, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

BUCKET = "refusals"
OBJECT = {"Bucket": BUCKET, "Key": "object"}
ZEROS = base64.b64encode(b"0" * 32).decode()


def tags(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {**OBJECT, "Tagging": {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}}


def keys(count: int) -> dict[str, Any]:
    return {"Bucket": BUCKET, "Delete": {"Objects": [{"Key": str(number)} for number in range(count)]}}


def lifecycle(*rules: dict[str, Any]) -> dict[str, Any]:
    filled = [{"Filter": {"Prefix": ""}, "Status": "Enabled", **rule} for rule in rules]
    return {"Bucket": BUCKET, "LifecycleConfiguration": {"Rules": filled}}


def moved(days: int, class_: str) -> dict[str, Any]:
    return {"Transitions": [{"Days": days, "StorageClass": class_}]}


def cors(count: int = 1, **changes: Any) -> dict[str, Any]:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], **changes}
    return {"Bucket": BUCKET, "CORSConfiguration": {"CORSRules": [rule] * count}}


XML = "The XML you provided was not well-formed or did not validate against our published schema"
TAG_KEY, TAG_VALUE = "The TagKey you have provided is invalid", "The TagValue you have provided is invalid"
DAY = {"Expiration": {"Days": 1}}
TAGGED = {"Filter": {"Tag": {"Key": "a", "Value": "b"}}}
NOON = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
REFUSED: list[Row] = [
    *(
        ("create_bucket", {"Bucket": name}, "InvalidBucketName", "The specified bucket is not valid.")
        for name in (
            *("ab", "a" * 64, "a_b", "a..b", "-ab", "ab-", "192.168.1.1", "xn--ab", "sthree-ab"),
            *("amzn-s3-demo-ab", "ab-s3alias", "ab--ol-s3", "ab.mrap", "ab--table-s3"),
        )
    ),
    ("put_object", {**OBJECT, "Key": "x" * 1025}, "KeyTooLongError", "Your key is too long"),
    ("put_object", {**OBJECT, "Key": "ä" * 513}, "KeyTooLongError", "Your key is too long"),
    ("get_object", {**OBJECT, "Key": "x" * 1025}, "KeyTooLongError", "Your key is too long"),
    ("create_multipart_upload", {**OBJECT, "Key": "x" * 1025}, "KeyTooLongError", "Your key is too long"),
    (
        "put_object",
        {**OBJECT, "Metadata": {"a": "x" * 2048}},
        "MetadataTooLarge",
        "exceed the maximum allowed",
    ),
    ("put_object", {**OBJECT, "Body": b"x", "ContentMD5": ZEROS[:22] + "=="}, "BadDigest", ""),
    ("put_object", {**OBJECT, "Body": b"x", "ContentMD5": "abc"}, "InvalidDigest", ""),
    ("put_object", {**OBJECT, "Body": b"x", "ChecksumSHA256": ZEROS}, "BadDigest", "SHA256"),
    ("put_object", {**OBJECT, "Tagging": "a=1&a=2"}, "InvalidTag", "multiple Tags with the same key"),
    ("get_object", {**OBJECT, "Range": "bytes=10-20"}, "InvalidRange", "range is not satisfiable"),
    ("put_object_tagging", tags(*((f"k{n}", "v") for n in range(11))), "BadRequest", "greater than 10"),
    ("put_object_tagging", tags(("k" * 129, "v")), "InvalidTag", TAG_KEY),
    ("put_object_tagging", tags(("a<b", "v")), "InvalidTag", TAG_KEY),
    ("put_object_tagging", tags(("k", "v" * 257)), "InvalidTag", TAG_VALUE),
    ("put_object_tagging", tags(("aws:k", "v")), "InvalidTag", "System tags cannot be added"),
    ("put_object_tagging", tags(("k", "v"), ("k", "w")), "InvalidTag", "multiple Tags with the same key"),
    (
        "copy_object",
        {**OBJECT, "CopySource": f"{BUCKET}/object"},
        "InvalidRequest",
        "copy an object to itself without changing the object's metadata",
    ),
    ("delete_objects", keys(0), "MalformedXML", XML),
    ("delete_objects", keys(1001), "MalformedXML", XML),
    ("put_bucket_lifecycle_configuration", lifecycle(), "MalformedXML", XML),
    ("put_bucket_lifecycle_configuration", lifecycle(*[DAY] * 1001), "MalformedXML", XML),
    ("put_bucket_lifecycle_configuration", lifecycle({}), "InvalidRequest", "At least one action"),
    ("put_bucket_lifecycle_configuration", lifecycle({**DAY, "Filter": None}), "MalformedXML", XML),
    ("put_bucket_lifecycle_configuration", lifecycle({**DAY, "Status": "On"}), "MalformedXML", XML),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle({"Expiration": {"Days": 0}}),
        "InvalidArgument",
        "'Days' for Expiration action must be a positive integer",
    ),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle({"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}),
        "MalformedXML",
        XML,
    ),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle({"Expiration": {"Date": NOON}}),
        "InvalidArgument",
        "'Date' must be at midnight GMT",
    ),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle({**DAY, "ID": "a"}, {**DAY, "ID": "a"}),
        "InvalidArgument",
        "Rule ID must be unique. Found same ID for one or more rules",
    ),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle({**DAY, "ID": "a" * 256}),
        "InvalidArgument",
        "ID length should not exceed allowed limit of 255",
    ),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle(moved(29, "STANDARD_IA")),
        "InvalidArgument",
        "must be greater than or equal to 30 for storageClass 'STANDARD_IA'",
    ),
    ("put_bucket_lifecycle_configuration", lifecycle(moved(30, "TAPE")), "MalformedXML", XML),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle({**moved(60, "GLACIER"), "Expiration": {"Days": 60}}),
        "InvalidArgument",
        "must be greater than 'Days' in the Transition action",
    ),
    (
        "put_bucket_lifecycle_configuration",
        lifecycle({**TAGGED, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}),
        "InvalidRequest",
        "cannot be specified with Tags",
    ),
    ("put_bucket_cors", cors(0), "MalformedXML", XML),
    ("put_bucket_cors", cors(101), "InvalidRequest", "should not exceed allowed limit of 100 rules"),
    ("put_bucket_cors", cors(AllowedMethods=[]), "MalformedXML", XML),
    ("put_bucket_cors", cors(AllowedOrigins=[]), "MalformedXML", XML),
    ("put_bucket_cors", cors(AllowedMethods=["OPTIONS"]), "InvalidRequest", "Unsupported method is OPTIONS"),
    (
        "put_bucket_cors",
        cors(AllowedOrigins=["*.*"]),
        "InvalidRequest",
        "can not have more than one wildcard",
    ),
    (
        "put_bucket_cors",
        cors(AllowedHeaders=["x-*-*"]),
        "InvalidRequest",
        "can not have more than one wildcard",
    ),
    ("put_bucket_cors", cors(ExposeHeaders=["*"]), "InvalidRequest", 'ExposeHeader "*" contains wildcard'),
]
ALLOWED = [
    lifecycle(
        {**moved(30, "STANDARD_IA"), "Expiration": {"Days": 31}, "ID": "a"},
        {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}, "ID": "b"},
        {**TAGGED, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
        {"Filter": {"And": {"Prefix": "a", "Tags": [{"Key": "a", "Value": "b"}]}}, **moved(0, "GLACIER")},
        {"Expiration": {"Date": datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)}},
        {"Expiration": {"ExpiredObjectDeleteMarker": True}},
    )
]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """An account with a bucket and an object in it."""
    local_aws.client("s3").create_bucket(Bucket=BUCKET)
    local_aws.client("s3").put_object(**OBJECT, Body=b"hello")
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(aws: LocalAws, row: Row) -> None:
    check(aws, "s3", row)


def test_rules_of_every_kind_are_accepted(aws: LocalAws) -> None:
    s3 = client(aws, "s3")
    for request in ALLOWED:
        s3.put_bucket_lifecycle_configuration(**request)
    s3.put_bucket_cors(**cors(100, AllowedHeaders=["x-amz-*"], AllowedOrigins=["https://*.example.com"]))
    s3.put_object(Bucket=BUCKET, Key="x" * 1024, Metadata={"a": "x" * 2047}, Tagging="a=1&b=2")


@pytest.mark.parametrize(
    ("parts", "code", "text"),
    [
        ([2, 1], "InvalidPartOrder", "Parts must be ordered by part number."),
        ([1, 1], "InvalidPartOrder", "Parts must be ordered by part number."),
        ([3], "InvalidPart", "One or more of the specified parts could not be found."),
        ([], "MalformedXML", XML),
        ([1, 2], "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"),
    ],
)
def test_an_upload_in_parts_is_refused(aws: LocalAws, parts: list[int], code: str, text: str) -> None:
    s3 = client(aws, "s3")
    upload = {**OBJECT, "UploadId": s3.create_multipart_upload(**OBJECT)["UploadId"]}
    tags_of = {n: s3.upload_part(**upload, PartNumber=n, Body=b"x")["ETag"] for n in (1, 2)}
    listed = [{"PartNumber": number, "ETag": tags_of.get(number, '"none"')} for number in parts]
    check(
        aws, "s3", ("complete_multipart_upload", {**upload, "MultipartUpload": {"Parts": listed}}, code, text)
    )
    for number in (0, 10_001):
        row = (
            "upload_part",
            {**upload, "PartNumber": number, "Body": b"x"},
            "InvalidArgument",
            "1 and 10000",
        )
        check(aws, "s3", row)


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"BucketName": "xn--bucket"}, "The specified bucket is not valid."),
        (
            {"CorsConfiguration": {"CorsRules": [{"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}]}},
            "Unsupported method is PATCH",
        ),
        (
            {"LifecycleConfiguration": {"Rules": [{"Status": "Enabled", "Transitions": [
                {"StorageClass": "STANDARD_IA", "TransitionInDays": 7}]}]}},
            "greater than or equal to 30 for storageClass 'STANDARD_IA'",
        ),
    ],
)  # fmt: skip
def test_a_bucket_of_a_template_is_refused(aws: LocalAws, properties: dict[str, Any], text: str) -> None:
    with pytest.raises(DeploymentFailedError) as raised:
        deploy(aws, {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": properties}})
    assert text in str(raised.value)
