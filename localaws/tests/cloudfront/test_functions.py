"""CloudFront Functions, their key value stores, and function URLs behind a distribution."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.http import Endpoint, HttpResponse
from helpers.lambda_functions import Functions
from localaws import LocalAws
from localaws.services.cloudfront.functions import problem
from localaws.services.cloudfront.key_value_stores import read_items

DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_BUT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
REQUEST = {"method": "GET", "uri": "/", "headers": {"host": {"value": "h"}}, "querystring": {}, "cookies": {}}
EVENT = {"version": "1.0", "context": {"eventType": "viewer-request"}, "viewer": {}, "request": REQUEST}
AFTER = {
    **EVENT,
    "context": {"eventType": "viewer-response"},
    "response": {"statusCode": 200, "headers": {"via": {"value": "v"}}},
}


def _with(**headers: Any) -> dict[str, Any]:
    return {"host": {"value": "h"}, **{name.replace("_", "-"): value for name, value in headers.items()}}


@pytest.mark.parametrize(
    ("event", "value", "wrong"),
    [
        (EVENT, REQUEST, None),
        (EVENT, {"statusCode": 302, "headers": {"location": {"value": "/"}}}, None),
        (EVENT, {**REQUEST, "headers": _with(x_own={"value": "1"})}, None),
        (AFTER, {"statusCode": 404, "headers": {"via": {"value": "v"}}}, None),
        (EVENT, None, "no object"),
        (EVENT, {}, "neither a request"),
        (EVENT, {**REQUEST, "uri": "x"}, "neither a request"),
        (EVENT, {**REQUEST, "method": "POST"}, "method"),
        (EVENT, {"statusCode": "200"}, "statusCode"),
        (EVENT, {"statusCode": 99}, "statusCode"),
        (EVENT, {**REQUEST, "headers": {}}, "read-only header host"),
        (EVENT, {**REQUEST, "headers": {"host": {"value": "other"}}}, "read-only header host"),
        (EVENT, {**REQUEST, "headers": _with(Cache={"value": "1"})}, "lower case"),
        (EVENT, {**REQUEST, "headers": _with(x_edge_a={"value": "1"})}, "not allowed"),
        (EVENT, {**REQUEST, "headers": _with(x_amz_cf_a={"value": "1"})}, "not allowed"),
        (EVENT, {"statusCode": 200, "headers": {"x-cache": {"value": "1"}}}, "not allowed"),
        (EVENT, {**REQUEST, "headers": _with(x_own={"value": 1})}, "a string"),
        (EVENT, {**REQUEST, "headers": _with(x_own="1")}, "a string"),
        (AFTER, {"statusCode": 200, "headers": {}}, "read-only header via"),
        (AFTER, {"headers": {"via": {"value": "v"}}}, "statusCode"),
    ],
)
def test_what_a_function_may_return(event: dict[str, Any], value: Any, wrong: str | None) -> None:
    """The restrictions on edge functions: CloudFront answers 502 to the viewer otherwise."""
    found = problem(value, event)
    assert found is None if wrong is None else wrong in str(found)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b'{"data": [{"key": "a", "value": "1"}]}', None),
        (b'{"data": []}', None),
        (b"[]", "must be"),
        (b'{"data": [{"key": "a"}]}', "must be"),
        (b"\xff", "must be"),
        (b'{"data": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}', "duplicate"),
        (b'{"data": [{"key": "a", "value": 1}]}', "strings"),
        (b'{"data": [{"key": "", "value": "1"}]}', "1 to 512"),
        (json.dumps({"data": [{"key": "k" * 512, "value": "v" * 1024}]}).encode(), None),
        (json.dumps({"data": [{"key": "k" * 513, "value": "v"}]}).encode(), "1 to 512"),
        (json.dumps({"data": [{"key": "k", "value": "ä" * 513}]}).encode(), "1024"),
        (
            json.dumps({"data": [{"key": f"{i}", "value": "v" * 1024} for i in range(5200)]}).encode(),
            "5242880",
        ),
    ],
)
def test_which_files_can_be_imported(content: bytes, wrong: str | None) -> None:
    """JSON with unique keys, within the limits."""
    if wrong is None:
        read_items(content)
    else:
        with pytest.raises(ValueError, match=wrong):
            read_items(content)


CODE = """
import cf from 'cloudfront';
import { createHash as hash } from 'crypto';
const store = cf.kvs();
var calls = 0;

async function handler(event) {
  const what = event.request.uri.slice(1);
  calls += 1;
  console.log('asked for', what, { calls });
  if (what === 'get') {
    const json = await store.get('json', { format: 'json' });
    const bytes = await store.get('flag', { format: 'bytes' });
    return text({ flag: await store.get('flag'), json, size: bytes.length, known: await store.exists('flag'),
      unknown: await store.exists('x'), count: await store.count(), keys: (await store.meta()).keyCount,
      calls });
  }
  if (what === 'missing') { try { await store.get('x'); } catch (e) { return text(String(e)); } }
  if (what === 'event') return text(event);
  if (what === 'throw') throw new Error('no');
  if (what === 'eval') return text(eval('1 + 1'));
  if (what === 'timer') setTimeout(() => 1, 1);
  if (what === 'fetch') await fetch('https://example.com');
  if (what === 'fs') require('fs');
  if (what === 'strict') undeclared = 1;
  if (what === 'host') event.request.headers.host = { value: 'other' };
  if (what === 'hash') return text(hash('sha256').update('a').digest('hex'));
  return event.request;
}
const text = (value) => ({ statusCode: 200, body: { encoding: 'text', data: JSON.stringify(value) } });
"""


@dataclass
class Deployed:
    """A distribution with the function and its store before a function URL."""

    aws: LocalAws
    id: str
    name: str
    function: str
    store: str
    origin: str

    def get(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> HttpResponse:
        address = self.aws.address_of_distribution(self.name)
        lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return Endpoint.of(address, address.host).request(method, path, headers=lines, body=body)

    def put(self, key: str, value: str, etag: str | None = None) -> None:
        data = self.aws.client("cloudfront-keyvaluestore")
        known = data.describe_key_value_store(KvsARN=self.store)["ETag"]
        data.put_key(KvsARN=self.store, Key=key, Value=value, IfMatch=etag or known)


@pytest.fixture(scope="module")
def deployed(local_aws: LocalAws) -> Deployed:
    """All of it, made by the API."""
    cloudfront, s3 = local_aws.client("cloudfront"), local_aws.client("s3")
    functions, name = Functions(local_aws), f"n{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    items = {"data": [{"key": "flag", "value": "on"}, {"key": "json", "value": '{"a": 1}'}]}
    s3.put_object(Bucket=name, Key="items/kvs.json", Body=json.dumps(items))
    source = {"SourceType": "S3", "SourceARN": f"arn:aws:s3:::{name}/items/kvs.json"}
    store = cloudfront.create_key_value_store(Name=name, ImportSource=source)["KeyValueStore"]["ARN"]
    made = cloudfront.create_function(
        Name=name,
        FunctionCode=CODE.encode(),
        FunctionConfig={
            "Comment": "",
            "Runtime": "cloudfront-js-2.0",
            "KeyValueStoreAssociations": {"Quantity": 1, "Items": [{"KeyValueStoreARN": store}]},
        },
    )
    arn = made["FunctionSummary"]["FunctionMetadata"]["FunctionARN"]
    cloudfront.publish_function(Name=name, IfMatch=made["ETag"])
    origin = functions.make("def handler(event, context): return event")
    lambda_ = local_aws.client("lambda")
    url = lambda_.create_function_url_config(FunctionName=origin, AuthType="AWS_IAM")["FunctionUrl"]
    control = cloudfront.create_origin_access_control(
        OriginAccessControlConfig={
            "Name": name,
            "SigningProtocol": "sigv4",
            "SigningBehavior": "always",
            "OriginAccessControlOriginType": "lambda",
        }
    )["OriginAccessControl"]["Id"]
    host = url.removeprefix("https://").rstrip("/")
    custom = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}
    item = {"Id": "o", "DomainName": host, "CustomOriginConfig": custom, "OriginAccessControlId": control}
    association = {"EventType": "viewer-request", "FunctionARN": arn}
    methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    config = {
        "CallerReference": name,
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [item]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "allow-all",
            "CachePolicyId": DISABLED,
            "OriginRequestPolicyId": ALL_BUT_HOST,
            "AllowedMethods": {"Quantity": 7, "Items": methods},
            "FunctionAssociations": {"Quantity": 1, "Items": [association]},
        },
    }
    distribution = cloudfront.create_distribution(DistributionConfig=config)["Distribution"]
    return Deployed(local_aws, distribution["Id"], distribution["DomainName"], name, store, origin)


@pytest.mark.local
def test_a_function_reads_its_store(deployed: Deployed) -> None:
    """A change is seen by the next request, without a deployment; nothing is left of the request before."""
    expected = {"json": {"a": 1}, "known": True, "unknown": False, "count": 2, "keys": 2, "calls": 1}
    assert deployed.get("/get").json() == {"flag": "on", "size": 2, **expected}
    deployed.put("flag", "off")
    assert deployed.get("/get").json() == {"flag": "off", "size": 3, **expected}
    assert "does not exist" in deployed.get("/missing").json()


@pytest.mark.local
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("throw", 503),
        ("eval", 503),
        ("timer", 503),
        ("fetch", 503),
        ("fs", 503),
        ("strict", 503),
        ("host", 502),
    ],
)
def test_what_the_runtime_lacks(deployed: Deployed, path: str, status: int) -> None:
    """Errors are 503, results that CloudFront does not take 502."""
    answer = deployed.get(f"/{path}")
    assert (answer.status, answer.header("x-cache")) == (status, "Error from cloudfront")


@pytest.mark.local
def test_the_event_and_the_log(deployed: Deployed) -> None:
    """Disallowed headers are not in it; the log is in us-east-1."""
    answer = deployed.get("/event?a=1&a=2&b", Cookie="c=1", X_Real_Ip="1.2.3.4", X_Own="1", Via="1.0 x")
    event = answer.json()
    assert answer.header("x-cache") == "FunctionGeneratedResponse from cloudfront"
    request = event["request"]
    assert "x-real-ip" not in request["headers"]
    assert request["headers"]["x-own"] == {"value": "1"}
    assert request["querystring"]["a"] == {"value": "1", "multiValue": [{"value": "1"}, {"value": "2"}]}
    assert request["cookies"] == {"c": {"value": "1"}}
    assert event["context"]["distributionId"] == deployed.id
    logs = deployed.aws.client("logs")
    group = f"/aws/cloudfront/function/{deployed.function}"
    found = [one["message"] for one in logs.filter_log_events(logGroupName=group)["events"]]
    assert f'{event["context"]["requestId"]} asked for event {{"calls":1}}' in found
    assert deployed.get("/hash").json() == hashlib.sha256(b"a").hexdigest()


@pytest.mark.local
def test_a_function_is_tested_without_a_request(deployed: Deployed) -> None:
    """Output, log and error of either stage."""
    cloudfront = deployed.aws.client("cloudfront")
    etag = cloudfront.describe_function(Name=deployed.function, Stage="LIVE")["ETag"]

    def tested(uri: str) -> dict[str, Any]:
        event = {**EVENT, "request": {**REQUEST, "uri": uri}}
        answer = cloudfront.test_function(
            Name=deployed.function, IfMatch=etag, Stage="LIVE", EventObject=json.dumps(event).encode()
        )
        return dict(answer["TestResult"])

    passed = tested("/x")
    assert json.loads(passed["FunctionOutput"])["request"]["uri"] == "/x"
    assert "asked for x" in passed["FunctionExecutionLogs"][0]
    assert 0 <= int(passed["ComputeUtilization"]) <= 100
    assert "statusCode" in json.loads(tested("/get")["FunctionOutput"])["response"]
    assert tested("/throw")["FunctionErrorMessage"] == "Error: no"
    assert "read-only" in tested("/host")["FunctionErrorMessage"]
    with pytest.raises(ClientError, match="InvalidIfMatchVersion"):
        cloudfront.test_function(Name=deployed.function, IfMatch="x", EventObject=b"{}")


@pytest.mark.local
def test_what_cloudfront_refuses_of_functions_and_stores(deployed: Deployed) -> None:
    """10 KB, one store with runtime 2.0, If-Match, and the sizes of keys and values."""
    cloudfront = deployed.aws.client("cloudfront")

    def create(code: bytes, runtime: str = "cloudfront-js-2.0", stores: tuple[str, ...] = ()) -> None:
        items = [{"KeyValueStoreARN": arn} for arn in stores]
        associations = {"Quantity": len(items), "Items": items}
        config = {"Comment": "", "Runtime": runtime, "KeyValueStoreAssociations": associations}
        cloudfront.create_function(Name=uuid.uuid4().hex, FunctionCode=code, FunctionConfig=config)

    create(b" " * 10_240)
    with pytest.raises(ClientError, match="FunctionSizeLimitExceeded"):
        create(b" " * 10_241)
    with pytest.raises(ClientError, match="cloudfront-js-2"):
        create(b" ", "cloudfront-js-1.0", (deployed.store,))
    with pytest.raises(ClientError, match="one key value store"):
        create(b" ", stores=(deployed.store, deployed.store))
    with pytest.raises(ClientError, match="EntityNotFound"):
        create(b" ", stores=(f"{deployed.store}x",))
    with pytest.raises(ClientError, match="ConflictException"):
        deployed.put("flag", "x", "old")
    with pytest.raises(ClientError, match="1 to 512"):
        deployed.put("k" * 513, "x")
    with pytest.raises(ClientError, match="1024"):
        deployed.put("k", "x" * 1025)
    data = deployed.aws.client("cloudfront-keyvaluestore")
    etag = data.describe_key_value_store(KvsARN=deployed.store)["ETag"]
    puts = [{"Key": str(number), "Value": "x"} for number in range(51)]
    with pytest.raises(ClientError, match="up to 50"):
        data.update_keys(KvsARN=deployed.store, IfMatch=etag, Puts=puts)


@pytest.mark.local
def test_the_store_of_a_deleted_one_is_empty(local_aws: LocalAws) -> None:
    """The emulator would find the items of before."""
    cloudfront, data = local_aws.client("cloudfront"), local_aws.client("cloudfront-keyvaluestore")
    for _ in range(2):
        made = cloudfront.create_key_value_store(Name="again")
        arn = made["KeyValueStore"]["ARN"]
        described = data.describe_key_value_store(KvsARN=arn)
        assert described["ItemCount"] == 0
        data.put_key(KvsARN=arn, Key="a", Value="1", IfMatch=described["ETag"])
        cloudfront.delete_key_value_store(Name="again", IfMatch=made["ETag"])
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            data.describe_key_value_store(KvsARN=arn)


@pytest.mark.local
def test_a_distribution_signs_for_a_function_url(deployed: Deployed) -> None:
    """Only with both permissions for this distribution; a body needs its hash from the viewer."""
    client = deployed.aws.client("lambda")
    assert deployed.get("/x").status == 403
    source = f"arn:aws:cloudfront::{deployed.aws.account}:distribution/{deployed.id}"
    common = {"FunctionName": deployed.origin, "Principal": "cloudfront.amazonaws.com"}
    client.add_permission(
        **common, StatementId="other", Action="lambda:InvokeFunctionUrl", SourceArn=f"{source}X"
    )
    client.add_permission(**common, StatementId="url", Action="lambda:InvokeFunctionUrl", SourceArn=source)
    assert deployed.get("/x").status == 403
    client.add_permission(**common, StatementId="f", Action="lambda:InvokeFunction", SourceArn=source)
    assert deployed.get("/x?a=1").json()["rawQueryString"] == "a=1"
    assert deployed.get("/x", "POST", b"data").status == 403
    digest = hashlib.sha256(b"data").hexdigest()
    sent = deployed.get("/x", "POST", b"data", x_amz_content_sha256=digest, Content_Type="text/plain")
    assert (sent.status, sent.json()["body"]) == (200, "data")


@pytest.mark.local
def test_still_needed_the_emulator_knows_no_test_and_imports_nothing(stock_aws: LocalAws) -> None:
    """Until it does."""
    cloudfront = stock_aws.client("cloudfront")
    source = {"SourceType": "S3", "SourceARN": "arn:aws:s3:::none/x"}
    cloudfront.create_key_value_store(Name="s", ImportSource=source)
    config = {"Comment": "", "Runtime": "cloudfront-js-2.0"}
    made = cloudfront.create_function(Name="s", FunctionCode=b" " * 10_241, FunctionConfig=config)
    with pytest.raises(ClientError):
        cloudfront.test_function(Name="s", IfMatch=made["ETag"], EventObject=b"{}")
