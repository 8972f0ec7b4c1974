"""Functions of Lambda@Edge whose distribution is in a stack of another Region."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aws_cdk import App, CfnOutput, Environment, Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins

from cdk_lambda_patterns.edge.lambda_edge import EdgeHook, LambdaEdge
from localaws import LocalAws
from scenarios.support.endpoints import Endpoint

pytestmark = [pytest.mark.local, pytest.mark.full]

CODE = """
def handler(event, context):
    return {"status": "200", "headers": {}, "body": "from the edge"}
"""


def test_a_stack_of_another_region_has_functions_at_the_edge(empty_aws: LocalAws, tmp_path: Path) -> None:
    """The CDK makes them in a stack in us-east-1, and reads the ARN there with a custom resource."""
    (tmp_path / "worker.py").write_text(CODE, "utf-8")
    app = App()
    stack = Stack(app, "Site", env=Environment(account=empty_aws.account, region="eu-west-1"))
    edge = LambdaEdge(stack, "Edge", viewer_request=EdgeHook(code=tmp_path, handler="worker.handler"))
    behavior = cloudfront.BehaviorOptions(
        origin=origins.HttpOrigin("example.com"), edge_lambdas=edge.edge_lambdas
    )
    distribution = cloudfront.Distribution(stack, "Distribution", default_behavior=behavior)
    CfnOutput(stack, "DomainName", value=distribution.distribution_domain_name)
    CfnOutput(stack, "Arn", value=edge.edge_lambdas[0].function_version.edge_arn)

    deployed = empty_aws.deploy(app)
    outputs = deployed.stacks["Site"]
    assert outputs["Arn"].startswith(f"arn:aws:lambda:us-east-1:{empty_aws.account}:function:")
    address = empty_aws.address_of_distribution(outputs["DomainName"])
    url = urlsplit(address.url)
    endpoint = Endpoint("https", (str(url.hostname), url.port or 0), address.host, str(address.ca_file))
    assert endpoint.request("GET", "/").body == b"from the edge"

    name = outputs["Arn"].split(":")[6]
    logs = empty_aws.session.client("logs", region_name="us-east-1")
    groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/us-east-1.{name}")["logGroups"]
    assert len(groups) == 1
    deployed.destroy()
    functions = empty_aws.session.client("lambda", region_name="us-east-1")
    # Lambda would refuse to delete it, because it has replicas.
    assert functions.get_function(FunctionName=name)["Configuration"]["FunctionName"] == name
