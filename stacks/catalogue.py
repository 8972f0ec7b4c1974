"""The one list of the architectures that are here. Everything that goes over "all of them" reads it."""

from stacks.architecture import Architecture

__all__ = ["ARCHITECTURES", "Architecture", "find"]

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        id="thumbnailer",
        family="storage",
        title="S3 upload → Lambda → thumbnails in S3 + metadata in DynamoDB",
        stack="ThumbnailerStack",
        shows="photographs become thumbnails; malicious files go to the failure queue, once, with the reason",
    ),
    Architecture(
        id="metadata-sync",
        family="storage",
        title="S3 event → Lambda → a row per object in DynamoDB or PostgreSQL; a reconciler repairs the rest",
        stack="MetadataSyncStack",
        shows="rows agree with the bucket after hundreds of changes at once; lost events are made up for",
    ),
    Architecture(
        id="alb-function",
        family="web",
        title="HTTP request → Application Load Balancer → Lambda → notes in DynamoDB",
        stack="AlbFunctionStack",
        shows="requests of every kind, many at a time; limits and broken functions answer as they should",
    ),
    Architecture(
        id="sqs-consumer",
        family="messaging",
        title="SQS queue, standard and FIFO → Lambda → ledger in DynamoDB, failures → dead-letter queue",
        stack="SqsConsumerStack",
        shows="every entry is booked once; a poison message stops its own group alone; a redrive heals it",
    ),
    Architecture(
        id="kinesis-consumer",
        family="streams",
        title="Kinesis stream → Lambda, in order for each key → summaries in DynamoDB",
        stack="KinesisConsumerStack",
        shows="every reading counts once; bisecting leaves a poison record alone, and its shard goes on",
    ),
    Architecture(
        id="sns-fifo-fanout",
        family="messaging",
        title="Kinesis → Lambda → SNS FIFO → SQS FIFO queues → event store and read models in DynamoDB",
        stack="SnsFifoFanoutStack",
        shows="read models are the fold of the event store, also after duplicates, failures and redrives",
    ),
    Architecture(
        id="rds-proxy",
        family="data",
        title="Lambda in a VPC → RDS Proxy (IAM, TLS) → PostgreSQL or MySQL",
        stack="RdsProxyStack",
        shows="hundreds of callers share 20 connections; a failover in the middle loses and doubles nothing",
    ),
    Architecture(
        id="private-function",
        family="data",
        title="Lambda in isolated subnets → VPC endpoints → DynamoDB and SQS",
        stack="PrivateFunctionStack",
        shows="orders leave the network through the endpoints of two services, and there is no other way out",
    ),
    Architecture(
        id="environments",
        family="delivery",
        title="Caller → alias dev, test or prod, with weights → numbered version of one Lambda",
        stack="EnvironmentsStack",
        shows="one value promotes a version, sends it a tenth of the calls, or takes it back; ARNs stay",
    ),
    Architecture(
        id="canary-alias",
        family="delivery",
        title="Callers → alias → old and new version, by CodeDeploy: smoke test, shift, alarms, roll back",
        stack="CanaryAliasStack",
        shows="a good release reaches its callers in steps; a bad one is taken back, the sooner the better",
    ),
)


def find(id: str) -> Architecture:
    """Return an architecture by its id.

    Raises:
        LookupError: There is no such architecture; the message lists those that there are.
    """
    for architecture in ARCHITECTURES:
        if architecture.id == id:
            return architecture
    known = ", ".join(architecture.id for architecture in ARCHITECTURES)
    raise LookupError(f"{id!r}: no such architecture; there are: {known}.")
