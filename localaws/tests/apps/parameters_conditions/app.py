"""Parameters that are given when the stack is deployed, conditions on them, and a mapping.

https://docs.aws.amazon.com/cdk/v2/guide/parameters.html
https://docs.aws.amazon.com/cdk/v2/guide/cfn-layer.html
"""

import aws_cdk as cdk
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class ParametersStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        stage = cdk.CfnParameter(self, "StageName", allowed_values=["beta", "prod"], default="beta")
        delay = cdk.CfnParameter(self, "Delay", type="Number", min_value=0, max_value=900, default=0)
        regions = cdk.CfnParameter(self, "Regions", type="CommaDelimitedList", default="eu-west-1,us-east-1")
        secret = cdk.CfnParameter(self, "Password", no_echo=True, min_length=8)
        prod = cdk.CfnCondition(
            self, "IsProd", expression=cdk.Fn.condition_equals(stage.value_as_string, "prod")
        )
        large = cdk.CfnCondition(
            self,
            "Large",
            expression=cdk.Fn.condition_and(
                prod, cdk.Fn.condition_not(cdk.Fn.condition_equals(delay.value_as_number, 0))
            ),
        )
        sizes = cdk.CfnMapping(
            self, "Sizes", mapping={"beta": {"days": "1"}, "prod": {"days": "14"}}, lazy=False
        )
        queue = sqs.Queue(self, "Queue", delivery_delay=cdk.Duration.seconds(delay.value_as_number))
        cfn_queue = queue.node.default_child
        cfn_queue.add_property_override(
            "KmsMasterKeyId", cdk.Fn.condition_if(large.logical_id, "alias/aws/sqs", cdk.Aws.NO_VALUE)
        )
        pager = sns.CfnTopic(self, "Pager", display_name=cdk.Fn.select(0, regions.value_as_list))
        pager.cfn_options.condition = prod
        cdk.CfnOutput(self, "QueueUrl", value=queue.queue_url)
        cdk.CfnOutput(self, "Days", value=sizes.find_in_map(stage.value_as_string, "days"))
        cdk.CfnOutput(self, "PagerArn", value=pager.ref, condition=prod)
        cdk.CfnOutput(self, "PasswordLength", value=cdk.Fn.base64(secret.value_as_string))


app = cdk.App()
ParametersStack(app, "ParametersStack")
app.synth()
