"""Tags on everything below a scope, and an aspect that changes what others have made.

https://docs.aws.amazon.com/cdk/v2/guide/tagging.html
https://docs.aws.amazon.com/cdk/v2/guide/aspects.html
"""

import aws_cdk as cdk
import jsii
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IConstruct


@jsii.implements(cdk.IAspect)
class VersionedBuckets:
    def visit(self, node: IConstruct) -> None:
        if isinstance(node, s3.CfnBucket):
            node.versioning_configuration = s3.CfnBucket.VersioningConfigurationProperty(status="Enabled")


class TaggedStack(cdk.Stack):
    def __init__(self, scope: Construct, construct_id: str, **kwargs) -> None:
        super().__init__(scope, construct_id, **kwargs)
        bucket = s3.Bucket(self, "Bucket")
        queue = sqs.Queue(self, "Queue")
        topic = sns.Topic(self, "Topic")
        table = dynamodb.Table(
            self, "Table", partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
        )
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline("def handler(event, context):\n    return 'ok'\n"),
        )
        cdk.Tags.of(queue).add("team", "messaging", priority=300)
        cdk.Tags.of(topic).remove("cost-centre")
        cdk.CfnOutput(self, "BucketName", value=bucket.bucket_name)
        cdk.CfnOutput(self, "QueueUrl", value=queue.queue_url)
        cdk.CfnOutput(self, "TopicArn", value=topic.topic_arn)
        cdk.CfnOutput(self, "TableArn", value=table.table_arn)
        cdk.CfnOutput(self, "FunctionArn", value=function.function_arn)


app = cdk.App()
stack = TaggedStack(app, "TaggedStack", tags={"stage": "test"})
cdk.Tags.of(app).add("team", "web")
cdk.Tags.of(stack).add("cost-centre", "4711", exclude_resource_types=["AWS::DynamoDB::Table"])
cdk.Aspects.of(app).add(VersionedBuckets())
cdk.RemovalPolicies.of(app).destroy()
app.synth()
