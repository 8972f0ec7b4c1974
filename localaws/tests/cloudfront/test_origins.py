"""APIs of API Gateway as origins of a distribution."""

from __future__ import annotations

import json

import pytest

from helpers.http import Endpoint
from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local

CODE = """
import json
def handler(event, context):
    seen = [event["rawPath"], event["rawQueryString"], event.get("body")]
    return {"statusCode": 200, "body": json.dumps(seen)}
"""
ALL_VIEWER, NO_HOST = "216adef6-5c7f-47e4-b989-5492eafa07d3", "b689b0a8-53d0-40ab-baf2-68738e2966ac"
DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"


@pytest.fixture(scope="module")
def api(local_aws: LocalAws) -> str:
    """The domain name of an HTTP API whose function says what it got."""
    functions = Functions(local_aws)
    name = functions.make(CODE)
    arn = functions.arn("lambda", f"function:{name}")
    http = local_aws.client("apigatewayv2")
    made = http.create_api(Name="a", ProtocolType="HTTP")
    integration = http.create_integration(
        ApiId=made["ApiId"],
        IntegrationType="AWS_PROXY",
        IntegrationUri=arn,
        IntegrationMethod="POST",
        PayloadFormatVersion="2.0",
    )
    target = f"integrations/{integration['IntegrationId']}"
    http.create_route(ApiId=made["ApiId"], RouteKey="$default", Target=target)
    http.create_stage(ApiId=made["ApiId"], StageName="$default", AutoDeploy=True)
    local_aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{local_aws.region}:{local_aws.account}:{made['ApiId']}/*",
    )
    return f"{made['ApiId']}.execute-api.{local_aws.region}.amazonaws.com"


def through(aws: LocalAws, api: str, *, request_policy: str, protocol: str = "https-only") -> Endpoint:
    """A distribution before an API."""
    custom = {"HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": protocol}
    behavior = {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "allow-all",
        "AllowedMethods": {
            "Quantity": 7,
            "Items": ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"],
        },
        "CachePolicyId": DISABLED,
        "OriginRequestPolicyId": request_policy,
    }
    config = {
        "CallerReference": f"{request_policy}{protocol}",
        "Comment": "",
        "Enabled": True,
        "Origins": {
            "Quantity": 1,
            "Items": [{"Id": "o", "DomainName": api, "CustomOriginConfig": custom}],
        },
        "DefaultCacheBehavior": behavior,
    }
    made = aws.client("cloudfront").create_distribution(DistributionConfig=config)
    name = made["Distribution"]["DomainName"]
    return Endpoint.of(aws.address_of_distribution(name), name)


def test_an_api_is_asked_under_its_own_name(local_aws: LocalAws, api: str) -> None:
    endpoint = through(local_aws, api, request_policy=NO_HOST)
    answer = endpoint.request("POST", "/posts?a=b", headers=[("Content-Type", "text/plain")], body=b"x")
    assert (answer.status, json.loads(answer.body)) == (200, ["/posts", "a=b", "x"])


def test_the_host_of_the_viewer_is_no_name_of_the_api(local_aws: LocalAws, api: str) -> None:
    assert through(local_aws, api, request_policy=ALL_VIEWER).request("GET", "/").status == 403


def test_an_api_does_not_answer_http(local_aws: LocalAws, api: str) -> None:
    endpoint = through(local_aws, api, request_policy=NO_HOST, protocol="http-only")
    assert endpoint.request("GET", "/").status == 502
