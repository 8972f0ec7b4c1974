"""The one list of the architectures that are here. Everything that goes over "all of them" reads it."""

from stacks.architecture import Architecture, Proof

__all__ = ["ARCHITECTURES", "Architecture", "Proof", "find"]

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
        id="batch-operation",
        family="storage",
        title="S3 Batch Operations → Lambda for each object of a manifest → rows in DynamoDB; report in S3",
        stack="BatchOperationStack",
        shows="objects that were there before get their rows; the report has a result for each of them",
    ),
    Architecture(
        id="alb-function",
        family="web",
        title="HTTP request → Application Load Balancer → Lambda → notes in DynamoDB",
        stack="AlbFunctionStack",
        shows="requests of every kind, 200 at a time, up to 1 MB; a broken function is a clean 502",
    ),
    Architecture(
        id="http-api",
        family="web",
        title="HTTP request → HTTP API or REST API → Lambda → notes in DynamoDB",
        stack="HttpApiStack",
        shows="only valid tokens get in; a cached response goes to its own caller; failures disclose nothing",
    ),
    Architecture(
        id="direct-invoke",
        family="web",
        title="Caller (SDK or CLI, this account or another) → alias of a Lambda → charges in DynamoDB",
        stack="DirectInvokeStack",
        shows="a charge is booked once despite throttles and lost answers; other accounts need both policies",
    ),
    Architecture(
        id="function-url",
        family="web",
        title="HTTPS request → function URL (NONE or AWS_IAM) → alias of a Lambda → notes in DynamoDB",
        stack="FunctionUrlStack",
        shows="everybody reads, signed callers write; without either of two permissions a caller gets 403",
    ),
    Architecture(
        id="sqs-consumer",
        family="messaging",
        title="SQS queue, standard and FIFO → Lambda → ledger in DynamoDB; failures → dead-letter queue",
        stack="SqsConsumerStack",
        shows="every entry is booked once; a poison message blocks only its group; a redrive books the rest",
    ),
    Architecture(
        id="async-function",
        family="messaging",
        title="Event queue → Lambda → parcels in DynamoDB; results → SQS, SNS, Lambda, EventBridge or S3",
        stack="AsyncFunctionStack",
        shows="an order has one parcel despite duplicates, crashes and throttles; every result is reported",
    ),
    Architecture(
        id="sns-consumer",
        family="messaging",
        title="SNS topic, published to by programs or S3 → filter → Lambda → notices in DynamoDB",
        stack="SnsConsumerStack",
        shows="each function gets what its filter lets pass; undelivered and failed messages are redriven",
    ),
    Architecture(
        id="mq-consumer",
        family="messaging",
        title="Amazon MQ (RabbitMQ, ActiveMQ) in a network → Lambda → ledger in DynamoDB; dead-letter queues",
        stack="MqConsumerStack",
        shows="a failed batch comes back whole, and each entry is booked once; poison leaves the queue",
        proof="sent",
    ),
    Architecture(
        id="kinesis-consumer",
        family="streams",
        title="Kinesis stream → Lambda, in order for each key → summaries in DynamoDB",
        stack="KinesisConsumerStack",
        shows="every reading counts once; bisecting isolates a poison record, and its shard goes on",
    ),
    Architecture(
        id="dynamodb-stream",
        family="streams",
        title="DynamoDB stream → Lambda, in order for each item → read model in DynamoDB, rebuilt on demand",
        stack="DynamoDbStreamStack",
        shows="every change takes effect once, also after a crash; a rebuild undoes no newer change",
    ),
    Architecture(
        id="log-processor",
        family="streams",
        title="CloudWatch Logs, several log groups → subscription filter → Lambda → DynamoDB, metric, SNS",
        stack="LogProcessorStack",
        shows="each error in thousands of lines counts once despite crashes and duplicates, with one alert",
    ),
    Architecture(
        id="firehose-transform",
        family="streams",
        title="Firehose → Lambda converts and partitions records → S3; what failed → error output in S3",
        stack="FirehoseTransformStack",
        shows="every line arrives, is dropped or is error output, also when answers outgrow 6 MB",
    ),
    Architecture(
        id="sns-fifo-fanout",
        family="messaging",
        title="Kinesis → Lambda → SNS FIFO → SQS FIFO queues → event store and read model in DynamoDB",
        stack="SnsFifoFanoutStack",
        shows="the read model matches the event store, also after duplicates, failures and redrives",
    ),
    Architecture(
        id="rds-proxy",
        family="data",
        title="Lambda in a VPC → RDS Proxy (IAM, TLS) → PostgreSQL or MySQL",
        stack="RdsProxyStack",
        shows="120 callers share 20 connections; a failover loses and duplicates no booking",
    ),
    Architecture(
        id="rds-invokes-lambda",
        family="data",
        title="INSERT in PostgreSQL → trigger (aws_lambda.invoke) or outbox → Lambda → rows in DynamoDB",
        stack="RdsInvokesLambdaStack",
        shows="a rollback undoes the order and not the invocation; an outbox holds only what was committed",
    ),
    Architecture(
        id="rds-events",
        family="data",
        title="RDS event → SNS topic (event subscription) and EventBridge rule → Lambda → alerts in SQS",
        stack="RdsEventsStack",
        shows="a failover is one alarm although RDS reports it twice; unknown events are recorded",
    ),
    Architecture(
        id="private-function",
        family="data",
        title="Lambda in isolated subnets → VPC endpoints → DynamoDB, SQS and another Lambda",
        stack="PrivateFunctionStack",
        shows="orders leave the network through the VPC endpoints of three services; there is no other route",
    ),
    Architecture(
        id="efs-function",
        family="data",
        title="Caller → Lambda in isolated subnets → EFS access point → shared journal and model",
        stack="EfsFunctionStack",
        shows="writers in many environments lose nothing of each other's, also when one is killed",
    ),
    Architecture(
        id="environments",
        family="delivery",
        title="Caller → alias dev, test or prod, with weights → numbered version of one Lambda",
        stack="EnvironmentsStack",
        shows="one value promotes a version, gives it a tenth of the calls, or reverts it; ARNs never change",
    ),
    Architecture(
        id="extension",
        family="delivery",
        title="Lambda → its log and telemetry, by an external extension in a layer → batches in S3",
        stack="ExtensionStack",
        shows="every line is shipped, also those of the last second; answers do not wait for a slow bucket",
    ),
    Architecture(
        id="canary-alias",
        family="delivery",
        title="Callers → alias → old and new version, shifted by CodeDeploy: smoke test, canary, rollback",
        stack="CanaryAliasStack",
        shows="a good release reaches all callers in steps; a bad one is rolled back",
    ),
    Architecture(
        id="provisioned-concurrency",
        family="delivery",
        title="Callers → alias → Lambda with provisioned concurrency, scaled by schedule and utilization",
        stack="ProvisionedConcurrencyStack",
        shows="code runs in advance; more calls spill over; reserved concurrency stops a noisy neighbour",
    ),
    Architecture(
        id="encrypted-environment",
        family="delivery",
        title="Customer managed key → environment variables of a Lambda; Secrets Manager → its secret",
        stack="EncryptedEnvironmentStack",
        shows="without the key no reader sees the variables and no function starts; a secret is no variable",
    ),
    Architecture(
        id="scratch-space",
        family="delivery",
        title="Job → Lambda with a large file from S3 in /tmp → checkpoints and a report in S3",
        stack="ScratchSpaceStack",
        shows="a file is downloaded once per environment; a killed job resumes and counts nothing twice",
    ),
    Architecture(
        id="layers",
        family="delivery",
        title="Packages and words in layers → Lambda in Python, and Lambda in C++ with its own runtime",
        stack="LayersStack",
        shows="both give the same answers; the later layer wins; errors, crashes and timeouts are reported",
    ),
    Architecture(
        id="container-image",
        family="delivery",
        title="Dockerfile → container image → ECR → Lambda functions, each by the digest of its image",
        stack="ContainerImageStack",
        shows="functions share an image; a tag pushed again changes none; bad images fail as on AWS",
    ),
    Architecture(
        id="cross-account-code",
        family="delivery",
        title="Build → versioned bucket → CloudFormation in another account → Lambda of one object version",
        stack="CrossAccountCodeStack",
        shows="new content under the same key changes nothing, a new object version does; no policy, no code",
    ),
    Architecture(
        id="code-signing",
        family="delivery",
        title="Asset → signed by AWS Signer during the deployment → Lambda, which accepts signed code only",
        stack="CodeSigningStack",
        shows="unsigned, changed, expired and revoked code is refused; a failed release is rolled back",
    ),
    Architecture(
        id="cognito-triggers",
        family="identity",
        title="Sign-up and sign-in → Cognito user pool → a Lambda per trigger → profiles in DynamoDB, claims",
        stack="CognitoTriggersStack",
        shows="other domains cannot sign up; each user has one profile; tokens carry the plan and the tenant",
    ),
    Architecture(
        id="sync-express",
        family="workflow",
        title="HTTP request → API Gateway → synchronous Express workflow → API, Lambda → stock in DynamoDB",
        stack="SyncExpressStack",
        shows="an order is priced and reserved within one request; errors of the workflow become statuses",
    ),
    Architecture(
        id="cloudfront-functions",
        family="edge",
        title="Viewer → CloudFront, with functions and a key value store → cache → S3 (OAC), Lambda (OAC)",
        stack="CloudFrontFunctionsStack",
        shows="normalised cache keys raise the hit rate; keys of signed tokens rotate without a deployment",
    ),
    Architecture(
        id="lambda-edge",
        family="edge",
        title="Viewer → CloudFront, with Lambda@Edge around its cache → S3 (OAC), Lambda (OAC)",
        stack="LambdaEdgeStack",
        shows="viewers stay in their A/B group; pages differ by country; image variants are made once",
        exemptions={
            "anywhere": "Functions of Lambda@Edge are in us-east-1: the Region must be known.",
            "china": "There is no Lambda@Edge in the China Regions.",
            "gov-cloud": "There is no CloudFront in AWS GovCloud (US).",
        },
    ),
    Architecture(
        id="scheduled-function",
        family="events",
        title="EventBridge Scheduler, in a time zone → Lambda → a report for each scheduled time in DynamoDB",
        stack="ScheduledFunctionStack",
        shows="each time has one report despite duplicates and crashes; no two runs overlap",
    ),
    Architecture(
        id="event-bus",
        family="events",
        title="Publisher → EventBridge bus, with an archive → rules → a Lambda each → effects in DynamoDB",
        stack="EventBusStack",
        shows="a replay to one rule makes up for a lost event; no duplicate or replay has a second effect",
    ),
    Architecture(
        id="pipeline-events",
        family="events",
        title="CodePipeline, CodeCommit → EventBridge → Lambda → SNS; CodePipeline → Lambda as an action",
        stack="PipelineEventsStack",
        shows="changes are reported once; each job has one answer, also after errors, timeouts and crashes",
        proof="sent",
    ),
    Architecture(
        id="monitoring",
        family="observability",
        title="Any construct → its metrics → alarms, one composite → SNS; a dashboard; saved queries",
        stack="MonitoringStack",
        shows="each alarm goes off with its fault, ends when it is mended, and is quiet under ordinary load",
    ),
    Architecture(
        id="service-hooks",
        family="observability",
        title="CloudFormation, AWS Config, IoT Core, SES, Lex, Alexa → Lambda → the answer of each",
        stack="ServiceHooksStack",
        shows="each service gets exactly one answer, and only what it may send is taken",
        proof="sent",
    ),
    Architecture(
        id="profiling",
        family="observability",
        title="Lambda with the agent of CodeGuru Profiler → profiling group",
        stack="ProfilingStack",
        shows="nothing runs: AWS names only Pythons for it that Lambda has deprecated",
        proof="synthesised",
    ),
    Architecture(
        id="tracing",
        family="observability",
        title="HTTP request → REST API → Lambda → SQS → Lambda → DynamoDB, in one X-Ray trace",
        stack="TracingStack",
        shows="an order is one trace, found by its number; health checks have none; retries are in it",
    ),
    Architecture(
        id="todo-api",
        family="solutions",
        title="To-do list: Cognito → REST API, cached → Lambda → DynamoDB; credentials → own prefix in S3",
        stack="TodoApiStack",
        shows="no user reads another one's notes or files, not from the cache either; stolen tokens expire",
    ),
    Architecture(
        id="blog-website",
        family="solutions",
        title="Blog: CloudFront → S3, API → Lambda → global tables → stream → SES; uploads → thumbnails",
        stack="BlogWebsiteStack",
        shows="a browser opens the site; each subscriber has one mail, also when the stream delivers twice",
        exemptions={
            "anywhere": "The CDK must know the Region of a table with replicas.",
            "china": "There is no Amazon SES in the China Regions.",
            "gov-cloud": "There is no CloudFront in AWS GovCloud (US).",
        },
    ),
    Architecture(
        id="order-services",
        family="solutions",
        title="Shop: REST API → orders → stream → workflow → catalogue, FIFO queue → shipping",
        stack="OrderServicesStack",
        shows="a service down for hours delays orders and loses none; what cannot be shipped is given back",
    ),
    Architecture(
        id="software-updates",
        family="solutions",
        title="Software updates: CloudFront, Origin Shield → internal load balancer → EC2 Auto Scaling group",
        stack="SoftwareUpdatesStack",
        shows="a release costs one request at the origin, for all viewers; the manifest rolls a bad one back",
        exemptions={
            "china": "There is no Origin Shield in the China Regions.",
            "gov-cloud": "There is no CloudFront in AWS GovCloud (US).",
        },
    ),
)


class UnknownArchitectureError(LookupError):
    """There is no architecture of that id."""


def find(id: str) -> Architecture:
    """Return an architecture by its id.

    Raises:
        UnknownArchitectureError: There is none; the message lists those that there are.
    """
    for architecture in ARCHITECTURES:
        if architecture.id == id:
            return architecture
    known = ", ".join(architecture.id for architecture in ARCHITECTURES)
    raise UnknownArchitectureError(f"{id!r}: no such architecture; there are: {known}.")
