"""Events as Lambda delivers them, in AWS's full shape: for the tests of every handler.

Every value has the length and the alphabet of AWS's: a sequence number has 56 digits, a receipt handle is
long base64. Names of tests stay readable, as a number chooses the value: `sequence_number(2)` is larger than
`sequence_number(1)`, whether it is compared as text or as a number.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote_plus

Event = dict[str, Any]

REGION = "eu-west-1"
ACCOUNT = "123456789012"
MILLISECONDS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
TIME = "2026-01-01T00:00:00.000Z"

_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def identifier(name: object) -> str:
    """A UUID, as message ids and request ids are: always the same for a name."""
    return str(uuid.uuid5(_NAMESPACE, str(name)))


def sequence_number(number: int) -> str:
    """A sequence number of a Kinesis stream: 56 digits, which no DynamoDB Number can store."""
    return str(49590338271490256608559692538361571095921575989136588898 + number)


def stream_sequence_number(number: int) -> str:
    """A sequence number of a DynamoDB stream: 21 to 40 digits."""
    return str(100000000003498069978 + number)


def dynamodb_record(
    number: int, keys: Event, old: Event | None, new: Event | None, *, expired: bool = False
) -> Event:
    """A record of a DynamoDB stream of new and old images, whose number chooses its place in the order.

    https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    """
    images = {"OldImage": old, "NewImage": new}
    record = {
        "eventID": hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest(),
        "eventName": "REMOVE" if new is None else "INSERT" if old is None else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": {
            "ApproximateCreationDateTime": MILLISECONDS // 1000,
            "Keys": keys,
            **{name: image for name, image in images.items() if image is not None},
            "SequenceNumber": stream_sequence_number(number),
            "SizeBytes": 59,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders/stream/2026-01-01T00:00:00.000",
    }
    identity = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    return record | ({"userIdentity": identity} if expired else {})


def fifo_sequence_number(number: int) -> str:
    """A sequence number of a FIFO queue or topic: 20 digits, more than 64 bits can store."""
    return str(18849496460467696128 + number)


def aggregated(partition_key: str, *datas: bytes) -> bytes:
    """The data of a record into which the Kinesis Producer Library packed several.

    https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
    """

    def field(number: int, value: bytes) -> bytes:
        assert len(value) < 128, "longer lengths have several bytes"
        return bytes([number << 3 | 2, len(value)]) + value

    records = [field(3, b"\x08\x00" + field(3, data)) for data in datas]  # the first partition key
    message = field(1, partition_key.encode()) + b"".join(records)
    digest = hashlib.md5(message, usedforsecurity=False).digest()
    return bytes.fromhex("f3899ac2") + message + digest


def message_id(name: object) -> str:
    """The id of a message in SQS and SNS."""
    return identifier(f"message {name}")


def receipt_handle(name: object) -> str:
    """A receipt handle of SQS: "AQEB" and long base64 (1,024 characters at most)."""
    text = b"".join(hashlib.sha512(f"{name} {part}".encode()).digest() for part in range(4))
    return "AQEB" + base64.b64encode(text[:255]).decode()


def version_id(name: object) -> str:
    """A version id of S3: 32 characters, of which "." and "_" are two."""
    text = base64.b64encode(hashlib.sha256(f"version {name}".encode()).digest()[:24]).decode()
    return text.replace("+", "_").replace("/", ".")


def etag(content: object) -> str:
    """The ETag of an object that was uploaded in one part."""
    return hashlib.md5(repr(content).encode(), usedforsecurity=False).hexdigest()


def multipart_etag(content: object, parts: int = 2) -> str:
    """The ETag of an object that was uploaded in parts."""
    return f"{etag(content)}-{parts}"


def sequencer(number: int) -> str:
    """A sequencer of S3: hexadecimal text, of which the length is not fixed.

    Two of one key compare after the shorter is padded at its end: as numbers they would compare wrongly.
    """
    return f"{0x0055AED6DCD90281 + number:016X}" + ("E5" if number % 2 else "")


# -- Kinesis


def kinesis_record(
    number: int, data: bytes, *, partition_key: str = "key", stream: str = "stream", shard: int = 0
) -> Event:
    """A record of a Kinesis stream, in the order of its number."""
    sequence = sequence_number(number)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": partition_key,
            "sequenceNumber": sequence,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": MILLISECONDS / 1000 + number / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-{shard:012}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/consumer",
        "awsRegion": REGION,
        "eventSourceARN": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}",
    }


# -- SQS and SNS


def sqs_record(
    name: object,
    body: str,
    *,
    group: str | None = None,
    number: int = 0,
    receive_count: int = 1,
    queue: str = "queue",
    attributes: dict[str, str] | None = None,
    message_attributes: Event | None = None,
) -> Event:
    """A message of a queue.

    Args:
        name: Chooses its message id and receipt handle.
        body: Its text.
        group: Its message group: the queue is FIFO then.
        number: Its place in a FIFO queue.
        receive_count: How often it was received.
        queue: The queue's name, without `.fifo`.
        attributes: More attributes, such as `AWSTraceHeader` or `DeadLetterQueueSourceArn`.
        message_attributes: The attributes that its sender set.
    """
    fifo = {}
    if group is not None:
        fifo = {
            "SequenceNumber": fifo_sequence_number(number),
            "MessageGroupId": group,
            "MessageDeduplicationId": hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest(),
        }
    text = body.encode("utf-8", "surrogatepass")
    return {
        "messageId": message_id(name),
        "receiptHandle": receipt_handle(name),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": str(MILLISECONDS),
            **fifo,
            "SenderId": "AROAIOSFODNN7EXAMPLE1:sender",
            "ApproximateFirstReceiveTimestamp": str(MILLISECONDS + 3),
            **(attributes or {}),
        },
        "messageAttributes": message_attributes or {},
        "md5OfBody": hashlib.md5(text, usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}{'' if group is None else '.fifo'}",
        "awsRegion": REGION,
    }


# -- S3


def s3_record(
    key: str,
    *,
    bucket: str = "bucket",
    name: str = "ObjectCreated:Put",
    order: str | None = None,
    size: int = 1024,
    tag: str | None = None,
    version: str | None = None,
    region: str = REGION,
) -> Event:
    """A record of an S3 event notification.

    Args:
        key: The object's key; the record has it encoded, as S3 sends it.
        bucket: The bucket.
        name: The event's name. Removals have no size and no ETag.
        order: Its sequencer; `""` for none, as with events about tags.
        size: The object's size.
        tag: The object's ETag.
        version: The object's version id, if the bucket is versioned.
        region: The bucket's Region.
    """
    described: Event = {"key": quote_plus(key, safe="/-_.*~")}
    if not name.startswith("ObjectRemoved:"):
        described |= {"size": size, "eTag": tag or etag(key)}
    elif name == "ObjectRemoved:DeleteMarkerCreated":
        described |= {"eTag": etag("")}
    if version:
        described["versionId"] = version
    if order != "":
        described["sequencer"] = order or sequencer(0)
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": TIME,
        "eventName": name,
        "userIdentity": {"principalId": "AWS:AROAIOSFODNN7EXAMPLE1:uploader"},
        "requestParameters": {"sourceIPAddress": "203.0.113.7"},
        "responseElements": {
            "x-amz-request-id": "C3D13FE58DE4C810",
            "x-amz-id-2": base64.b64encode(
                hashlib.sha512(key.encode("utf-8", "replace")).digest()[:57]
            ).decode(),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "NWRhNTM3MDItNWI5YS00OTEyLWJkNDgtZGI2ZWNiNDk4ZDlj",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": described,
        },
    }


def s3_bridge_event(
    key: str,
    *,
    bucket: str = "bucket",
    name: str = "Object Created",
    order: str | None = None,
    reason: str = "PutObject",
    size: int = 1024,
    tag: str | None = None,
    version: str | None = None,
    region: str = REGION,
) -> Event:
    """An event of S3 as EventBridge delivers it: its key is not encoded.

    Only a created object has a size; a deletion is that of a version or, with a version id, a delete marker.
    """
    described: Event = {"key": key}
    more: Event = {}
    if name == "Object Created":
        described |= {"size": size}
        more = {"reason": reason}
    elif name == "Object Deleted":
        kind = "Delete Marker Created" if version else "Permanently Deleted"
        more = {"reason": "DeleteObject", "deletion-type": kind}
    if more.get("deletion-type") != "Permanently Deleted":
        described |= {"etag": etag("") if name == "Object Deleted" else tag or etag(key)}
    if version:
        described["version-id"] = version
    if order != "":
        described["sequencer"] = order or sequencer(0)
    return {
        "version": "0",
        "id": identifier(f"event {name} {key.encode('utf-8', 'replace')!r}"),
        "detail-type": name,
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": "2026-01-01T00:00:00Z",
        "region": region,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": described,
            "request-id": "C3D13FE58DE4C810",
            "requester": ACCOUNT,
            "source-ip-address": "203.0.113.7",
            **more,
        },
    }


# -- Load balancers

TARGET_GROUP = "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/notes/49e9d65c45c6791a"
_ADDED = {
    "host": "notes-1234567890.us-east-2.elb.amazonaws.com",
    "user-agent": "curl/8.0",
    "x-amzn-trace-id": "Root=1-5bdb40ca-556d8b0c50dc66f0511bf520",
    "x-forwarded-for": "72.21.198.66",
    "x-forwarded-port": "80",
    "x-forwarded-proto": "http",
}


def alb_event(
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    multi_value: bool,
) -> Event:
    """A request as a load balancer sends it to a function, with the headers that it adds.

    Args:
        method: The method.
        target: Path and query string, which stay encoded.
        headers: Those of the client, and those of the load balancer that are not as usual.
        body: Text, by its type, or base64-encoded.
        multi_value: The attribute of the target group.
    """
    path, _, query = target.partition("?")
    parameters = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    lines = [(name.lower(), value) for name, value in headers]
    lines += [(name, value) for name, value in _ADDED.items() if name not in dict(lines)]
    if multi_value:
        fields: Event = {
            "multiValueQueryStringParameters": _grouped(parameters),
            "multiValueHeaders": _grouped(lines),
        }
    else:
        fields = {"queryStringParameters": dict(parameters), "headers": dict(lines)}
    is_text = dict(lines).get("content-type", "text/plain").startswith(("text/", "application/json"))
    return {
        "requestContext": {"elb": {"targetGroupArn": TARGET_GROUP}},
        "httpMethod": method,
        "path": path,
        **fields,
        "body": body.decode() if is_text else base64.b64encode(body).decode(),
        "isBase64Encoded": not is_text,
    }


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


# -- Function URLs


def function_url_event(body: str | None = None, *, method: str = "POST", encoded: bool = False) -> Event:
    """A request to a function URL without IAM: payload format 2.0."""
    event: Event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "host": "urlid0123456789abcdefghijklmnop.lambda-url.eu-west-1.on.aws",
            "x-amzn-trace-id": "Root=1-5bdb40ca-556d8b0c50dc66f0511bf520",
            "x-forwarded-for": "203.0.113.7",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "urlid0123456789abcdefghijklmnop",
            "domainName": "urlid0123456789abcdefghijklmnop.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "urlid0123456789abcdefghijklmnop",
            "http": {
                "method": method,
                "path": "/",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.0",
            },
            "requestId": identifier("request"),
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": MILLISECONDS,
        },
        "isBase64Encoded": encoded,
    }
    return event if body is None else event | {"body": body}


# -- CodeDeploy


def hook_event(deployment: str = "d-YA1VB9AWH", execution: object = "hook") -> Event:
    """What CodeDeploy invokes a lifecycle hook with: the execution id is long base64."""
    digest = hashlib.sha512(str(execution).encode()).digest()
    return {
        "DeploymentId": deployment,
        "LifecycleEventHookExecutionId": "eyJlbmNyeXB0ZWREYXRhIjoi" + base64.b64encode(digest * 2).decode(),
    }
