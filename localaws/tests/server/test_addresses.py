"""Load balancers and APIs can be reached, although their public names do not resolve."""

from __future__ import annotations

import ssl
import urllib.request

import pytest

from helpers.processes_of import make_function
from localaws import Address, LocalAws

pytestmark = pytest.mark.local


def _get(address: Address, path: str) -> tuple[int, str]:
    request = urllib.request.Request(address.url + path, headers={"Host": address.host})  # noqa: S310 (https)
    context = ssl.create_default_context(cafile=str(address.ca_file))
    with urllib.request.urlopen(request, context=context, timeout=60) as response:  # noqa: S310
        return response.status, response.read().decode()


def test_a_load_balancer_answers(empty_aws: LocalAws) -> None:
    elb = empty_aws.client("elbv2")
    subnets = ["subnet-00000001", "subnet-00000002"]
    made = elb.create_load_balancer(Name="web", Subnets=subnets)["LoadBalancers"][0]
    hello = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "hello"}
    elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": hello}],
    )
    assert _get(empty_aws.address_of_load_balancer(made["DNSName"]), "/photos") == (200, "hello")


def test_an_api_answers_by_its_id_and_by_its_url(empty_aws: LocalAws) -> None:
    arn = make_function(
        empty_aws, "def handler(event, context): return {'statusCode': 200, 'body': event['rawPath']}"
    )
    gateway = empty_aws.client("apigatewayv2")
    api = gateway.create_api(Name="web", ProtocolType="HTTP")
    integration = gateway.create_integration(
        ApiId=api["ApiId"], IntegrationType="AWS_PROXY", IntegrationUri=arn, PayloadFormatVersion="2.0"
    )
    gateway.create_route(
        ApiId=api["ApiId"], RouteKey="$default", Target=f"integrations/{integration['IntegrationId']}"
    )
    gateway.create_stage(ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)
    empty_aws.client("lambda").add_permission(
        FunctionName="f",
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{empty_aws.region}:{empty_aws.account}:{api['ApiId']}/*",
    )
    url = f"https://{api['ApiId']}.execute-api.{empty_aws.region}.amazonaws.com"
    for name in (api["ApiId"], url, f"{url}/", api["ApiEndpoint"]):
        assert _get(empty_aws.address_of_api(name), "/photos") == (200, "/photos")


def test_the_stage_in_the_url_is_preserved(local_aws: LocalAws) -> None:
    address = local_aws.address_of_api("https://abc123.execute-api.us-east-1.amazonaws.com/prod/")
    assert address.url == f"{local_aws.endpoint_url}/prod"


@pytest.mark.parametrize(
    "wrong", ["", "https://example.com/prod", "abc/def", "https://execute-api.amazonaws.com"]
)
def test_an_invalid_api_is_refused(local_aws: LocalAws, wrong: str) -> None:
    with pytest.raises(ValueError, match="it must be the API's id or URL"):
        local_aws.address_of_api(wrong)


@pytest.mark.parametrize("wrong", ["", "http://web.us-east-1.elb.amazonaws.com/"])
def test_an_invalid_load_balancer_is_refused(local_aws: LocalAws, wrong: str) -> None:
    with pytest.raises(ValueError, match="DNSName attribute"):
        local_aws.address_of_load_balancer(wrong)


def test_the_address_of_a_function_url(local_aws: LocalAws) -> None:
    host = f"{'a' * 32}.lambda-url.eu-west-1.on.aws"
    address = local_aws.address_of_function_url(f"https://{host}/photos/")
    assert (address.url, address.host) == (f"{local_aws.endpoint_url}/photos", host)
    for wrong in (host, f"http://{host}/", "https://example.com/", ""):
        with pytest.raises(ValueError, match="it must be a function URL"):
            local_aws.address_of_function_url(wrong)


def test_the_address_of_a_distribution(local_aws: LocalAws) -> None:
    assert local_aws.address_of_distribution("d1.cloudfront.net").host == "d1.cloudfront.net"
    with pytest.raises(ValueError, match=r"ID\.cloudfront\.net"):
        local_aws.address_of_distribution("https://d1.cloudfront.net/")
