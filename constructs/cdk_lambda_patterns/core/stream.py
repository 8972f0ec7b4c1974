"""The streams of this library: on-demand and encrypted."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kinesis as kinesis
from constructs import Construct

from cdk_lambda_patterns.core.permissions import acknowledge


def make_stream(scope: Construct, id: str, *, removal_policy: RemovalPolicy) -> kinesis.Stream:
    """Make an on-demand stream.

    Args:
        scope: The parent.
        id: The id under the parent.
        removal_policy: What happens to it when the stack is deleted.
    """
    # No argument about encryption, because that would overrule a key from the app's property injectors.
    stream = kinesis.Stream(
        scope, id, stream_mode=kinesis.StreamMode.ON_DEMAND, removal_policy=removal_policy
    )
    acknowledge(
        stream,
        {
            "AwsSolutions-KDS3": "The CDK encrypts a stream with aws/kinesis where the region has that key: "
            "in all but two in China."
        },
    )
    return stream
