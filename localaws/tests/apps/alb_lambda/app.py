"""A public load balancer with a function behind it, and a fixed response on another path.

https://github.com/aws-samples/aws-cdk-examples/tree/main/python/application-load-balancer
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_elasticloadbalancingv2_targets/README.html
"""

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_elasticloadbalancingv2_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

CODE = """
import json
def handler(event, context):
    body = json.dumps({"path": event["path"], "query": event["queryStringParameters"]})
    headers = {"Content-Type": "application/json"}
    return {"statusCode": 200, "isBase64Encoded": False, "headers": headers, "body": body}
"""


class LoadBalancerStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        vpc = ec2.Vpc(self, "Vpc")
        balancer = elbv2.ApplicationLoadBalancer(self, "Balancer", vpc=vpc, internet_facing=True)
        listener = balancer.add_listener("Listener", port=80, open=True)
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
        )
        listener.add_targets("Function", targets=[targets.LambdaTarget(function)])
        listener.add_action(
            "Maintenance",
            priority=5,
            conditions=[elbv2.ListenerCondition.path_patterns(["/maintenance"])],
            action=elbv2.ListenerAction.fixed_response(
                503, content_type="text/plain", message_body="back soon"
            ),
        )
        cdk.CfnOutput(self, "DnsName", value=balancer.load_balancer_dns_name)


app = cdk.App()
LoadBalancerStack(app, "LoadBalancerStack")
app.synth()
