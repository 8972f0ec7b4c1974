"""What an architecture costs: the measured usage of one event, and what it has by the hour, times prices.

`docs/usage.json` has the usage (`run.py usage`), `docs/prices.toml` the prices. `docs/costs.md` says how.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from stacks.catalogue import ARCHITECTURES, Architecture
from tasks.cdk import ROOT
from tasks.template_facts import TemplateFacts
from tasks.usage import event_of, recorded
from tasks.verify import scenario_of

#: Seconds that a handler runs: the wall time of the embedded AWS is not AWS's.
ASSUMED_SECONDS = 0.1
_HOURS = 730
_MILLION = 1_000_000
_GB = 2**30
_EXPRESS_GB = 64 / 1024  # the least that Step Functions bills of an Express workflow
# Lambda's pollers of an idle queue: five at the same time, each of which waits for 20 seconds.
_EMPTY_RECEIVES = 5 * 3 * 60 * _HOURS
_FUNCTION = re.compile(r"(Lambda(?:@Edge)?) requests of (\d+) MB \((\w+)\)")
_RETRIED_BY_DEFAULT = 2  # an asynchronous invocation
_RETRIED_BY_FIREHOSE = 3  # by default
# https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html
_ATTEMPTS_OF_COGNITO = 3
_MAX_ATTEMPTS = re.compile(r'"MaxAttempts\\*": ?(\d+)')
_MOST_RETRIES = 10_000  # of a stream
_ASYNCHRONOUS = ("s3", "sns", "events", "iot", "ses", "logs")
_TRACKING = "TargetTrackingScaling"

Resource = Mapping[str, Any]
Template = Mapping[str, Any]

# What is billed by the hour or month, unless it is by what is in it: prices by type.
_BILLED: Mapping[str, Mapping[str, float]] = {
    "AWS::CloudWatch::CompositeAlarm": {"CloudWatch composite alarms": 1},
    "AWS::CloudWatch::Dashboard": {"CloudWatch dashboards": 1},
    "AWS::EC2::EIP": {"Public IPv4 address hours": _HOURS},
    "AWS::EC2::NatGateway": {"NAT gateway hours": _HOURS},
    "AWS::KMS::Key": {"KMS keys": 1},
    "AWS::RDS::DBProxy": {"RDS Proxy vCPU-hours": 2 * _HOURS},  # of the smallest instance
    "AWS::SecretsManager::Secret": {"Secrets Manager secrets": 1},
}
# What is billed by `_of_resource`.
_BY_PROPERTIES = frozenset(
    {"AWS::AmazonMQ::Broker", "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::CloudWatch::Alarm"}
    | {"AWS::AutoScaling::AutoScalingGroup"}
    | {"AWS::EC2::VPCEndpoint", "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::Kinesis::Stream"}
    | {"AWS::ElasticLoadBalancingV2::TargetGroup", "AWS::RDS::DBInstance"}
)
# What costs nothing while nothing happens, but storage: whole services, and single types of others.
_FREE = (
    *("AWS::ApiGateway::", "AWS::ApiGatewayV2::", "AWS::CDK::", "AWS::CloudFront::", "AWS::CodeDeploy::"),
    *("AWS::CodeGuruProfiler::", "AWS::Cognito::", "AWS::Config::", "AWS::DynamoDB::", "AWS::ECR::"),
    *("AWS::EFS::", "AWS::Events::", "AWS::IAM::", "AWS::IoT::", "AWS::KinesisFirehose::", "AWS::Lambda::"),
    *("AWS::Logs::", "AWS::S3::", "AWS::SES::", "AWS::SNS::", "AWS::SQS::", "AWS::Scheduler::"),
    *("AWS::Signer::", "AWS::SSM::", "AWS::StepFunctions::", "AWS::XRay::", "Custom::"),
    *("AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::CloudFormation::", "AWS::KMS::Alias"),
    *(
        "AWS::EC2::InternetGateway",
        "AWS::EC2::LaunchTemplate",
        "AWS::EC2::Route",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::Subnet",
    ),
    *("AWS::EC2::VPC", "AWS::ElasticLoadBalancingV2::Listener", "AWS::RDS::DBParameterGroup"),
    *("AWS::RDS::DBProxyTargetGroup", "AWS::RDS::DBSubnetGroup", "AWS::RDS::EventSubscription"),
    "AWS::SecretsManager::ResourcePolicy",
)


@cache
def prices() -> dict[str, Any]:
    """The price list."""
    return tomllib.loads((ROOT / "docs" / "prices.toml").read_text())


def section(row: Architecture, template: Template) -> str:
    """The table of a page.

    Args:
        row: The architecture.
        template: Its template.

    Raises:
        LookupError: Something is not in the price list.
    """
    of_event, of_month = per_event(recorded().get(row.id, {})), Counter(idle(template))
    lines = []
    if of_event:
        what = event_of(scenario_of(row.id)).what
        lines += [f"One event: {what}. A million of them: **{_sum(of_event, _MILLION)}**.", ""]
    lines += [f"Idle, a month: **{_sum(of_month)}**."]
    if of_event:
        lines[-1] += f" {_poison(template)}"
    table = ["| for | what | amount | cost |", "|---|---|---|---|"]
    table += _lines("a million events", of_event, _MILLION)
    table += _lines("idle, a month", of_month)
    if count := len(table) - 2:
        lines += ["", f"<details><summary>{count} prices</summary>", "", *table, "", "</details>"]
    lines += ["", _METHOD.format(date=prices()["date"], milliseconds=f"{ASSUMED_SECONDS * 1000:g}")]
    return "\n".join(lines)


_METHOD = (
    "Measured on the embedded AWS, times the list prices of us-east-1 on {date}, without free tiers,\n"
    "traffic and most storage; a handler is assumed to run for {milliseconds} ms.\n"
    "[How costs are counted](../costs.md)."
)


def _lines(period: str, amounts: Mapping[str, float], times: float = 1) -> list[str]:
    return [
        f"| {period} | {_linked(name)} | {_amount(amount * times)} | {_dollars(name, amount * times)} |"
        for name, amount in amounts.items()
    ]


def comparison(templates: Mapping[str, Template]) -> str:
    """All rows in a table."""
    table = [
        "| architecture | a million events | idle, a month | attempts for poison, at most |",
        "|---|---|---|---|",
    ]
    for row in ARCHITECTURES:
        of_event = per_event(recorded().get(row.id, {}))
        times, why, _ = attempts(templates[row.id])
        cells = [
            f"[`{row.id}`]({row.family}/{row.id}.md#what-it-costs)",
            _sum(of_event, _MILLION) if of_event else "",
            _sum(idle(templates[row.id])),
            "" if not why or not of_event else f"{times:g}" if times < math.inf else why,
        ]
        table.append(f"| {' | '.join(cells)} |")
    return "\n".join(table)


def price_table() -> str:
    """The price list."""
    table = ["| what | price | for | seen in |", "|---|---|---|---|"]
    for name, price in prices()["prices"].items():
        found = f"${price['usd']:.10f}".rstrip("0").rstrip(".") if "usd" in price else "not found"
        table.append(f"| {_linked(name)} | {found} | {price.get('per', 1):,} | {price.get('seen', '')} |")
    return "\n".join(table)


def per_event(measured: Mapping[str, float]) -> dict[str, float]:
    """What is priced of one event: the names of prices with their amounts."""
    priced: Counter[str] = Counter()
    for unit, amount in measured.items():
        for name, each in _priced(unit):
            priced[name] += amount * each  # type: ignore[assignment]  # some are fractions
    return dict(priced)


def _priced(unit: str) -> Iterator[tuple[str, float]]:
    """The names of the prices of a unit, each with the amount for one."""
    if function := _FUNCTION.fullmatch(unit):
        service, memory, architecture = function.groups()
        yield f"{service} requests", 1
        of = "" if service == "Lambda@Edge" else f" ({architecture})"
        yield f"{service} GB-seconds{of}", int(memory) / 1024 * ASSUMED_SECONDS
    elif unit == "CloudWatch Logs bytes":
        yield "CloudWatch Logs GB", 1 / _GB
    elif unit == "Kinesis KB":  # the reader gets what was written
        yield "Kinesis GB in", 1024 / _GB
        yield "Kinesis GB out", 1024 / _GB
    elif unit == "Firehose units of 5 KB":
        yield "Firehose GB", 5 * 1024 / _GB
    elif unit == "Step Functions Express requests":
        yield unit, 1
        yield "Step Functions Express GB-seconds", _EXPRESS_GB * ASSUMED_SECONDS
    else:
        yield unit, 1


def idle(template: Template) -> dict[str, float]:
    """What a template costs in a month without an event: the names of prices with their amounts.

    Raises:
        LookupError: Nothing says what a type of resource costs.
    """
    priced: Counter[str] = Counter()
    for resource in template["Resources"].values():
        for name, amount in _of_resource(template, resource):
            priced[name] += amount  # type: ignore[assignment]  # some are fractions
    return dict(priced)


def _of_resource(template: Template, resource: Resource) -> Iterator[tuple[str, float]]:
    kind, properties = resource["Type"], resource.get("Properties", {})
    if kind not in _BILLED and kind not in _BY_PROPERTIES and not kind.startswith(_FREE):
        raise LookupError(f"{kind}: say in tasks/costs.py what it costs by the hour, or that it is free.")
    yield from _BILLED.get(kind, {}).items()
    match kind:
        case "AWS::AmazonMQ::Broker":
            yield f"Amazon MQ {properties['HostInstanceType']}, hours", _HOURS
        case "AWS::ApiGateway::Stage" if properties.get("CacheClusterEnabled"):
            yield f"API Gateway cache of {properties['CacheClusterSize']} GB, hours", _HOURS
        case "AWS::ApplicationAutoScaling::ScalableTarget":
            # Its function is the one with the alias; all of a template's have one size there.
            yield "Lambda provisioned GB-seconds (arm64)", _provisioned(template, properties["MinCapacity"])
        case "AWS::ApplicationAutoScaling::ScalingPolicy" if properties["PolicyType"] == _TRACKING:
            yield "CloudWatch alarm metrics", 2  # it makes one for scaling out and one for scaling in
        case "AWS::AutoScaling::AutoScalingGroup":
            machine = _machine(template, properties)
            machines = int(properties["MinSize"])
            yield f"EC2 {machine['InstanceType']}, hours", _HOURS * machines
            volumes = [one["Ebs"]["VolumeSize"] for one in machine.get("BlockDeviceMappings", [])]
            yield "EBS gp3 GB", sum(volumes) * machines
            if machine.get("Monitoring", {}).get("Enabled"):
                yield "CloudWatch metrics", 7 * machines
        case "AWS::CloudWatch::Alarm":
            metrics = [one for one in properties.get("Metrics", [{"MetricStat": 1}]) if "MetricStat" in one]
            yield "CloudWatch alarm metrics", len(metrics)
        case "AWS::EC2::VPCEndpoint" if properties.get("VpcEndpointType") == "Interface":
            yield "Interface endpoint hours", _HOURS * len(properties["SubnetIds"])
        case "AWS::ElasticLoadBalancingV2::LoadBalancer":
            yield "Application Load Balancer hours", _HOURS
            if properties["Scheme"] == "internet-facing":
                yield "Public IPv4 address hours", _HOURS * len(properties["Subnets"])
        case "AWS::ElasticLoadBalancingV2::TargetGroup" if (
            properties.get("HealthCheckEnabled") and properties.get("TargetType") == "lambda"
        ):
            # In each of two Availability Zones.
            checks = 2 * 3600 * _HOURS / properties["HealthCheckIntervalSeconds"]
            for name, each in _invocation(template, _named(properties["Targets"][0]["Id"])):
                yield name, checks * each
        case "AWS::Kinesis::Stream":
            yield "Kinesis on-demand stream hours", _HOURS
        case "AWS::Lambda::EventSourceMapping" if (
            queue := _queue(template, properties["EventSourceArn"])
        ) is not None:
            fifo = "FIFO " if queue.get("FifoQueue") else ""
            yield f"SQS {fifo}requests", _EMPTY_RECEIVES
        case "AWS::RDS::DBInstance":
            copies = 2 if properties.get("MultiAZ") else 1
            yield f"RDS {properties['Engine']} {properties['DBInstanceClass']}, hours", _HOURS * copies
            yield "RDS storage GB", int(properties["AllocatedStorage"]) * copies
            if properties.get("ManageMasterUserPassword"):
                yield "Secrets Manager secrets", 1


def _machine(template: Template, group: Resource) -> Resource:
    """The launch template of the machines in a group."""
    resource = template["Resources"][_named(group["LaunchTemplate"]["LaunchTemplateId"])]
    found: Resource = resource["Properties"]["LaunchTemplateData"]
    return found


def _provisioned(template: Template, environments: int) -> float:
    """The GB-seconds of provisioned environments in a month."""
    versions = [one for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::Version"]
    function = template["Resources"][versions[0]["Properties"]["FunctionName"]["Ref"]]
    return float(environments * function["Properties"]["MemorySize"] / 1024 * 3600 * _HOURS)


class Attempts(NamedTuple):
    """How often AWS tries an event that always fails.

    Args:
        times: How often at most.
        why: What says so; empty if nothing tries it again.
        function: The logical id of the function that fails; empty if it is not a function that fails.
    """

    times: float
    why: str
    function: str


def attempts(template: Template) -> Attempts:
    """The most attempts that a template allows at an event that always fails."""
    found = [one for resource in template["Resources"].values() for one in _attempts(template, resource)]
    configured = _invoked(template, "AWS::Lambda::EventInvokeConfig", "FunctionName")
    for function in sorted(_permitted(template, *_ASYNCHRONOUS) - configured):
        why = "the two retries of an asynchronous invocation"
        found.append(Attempts(1 + _RETRIED_BY_DEFAULT, why, function))
    for function in sorted(_permitted(template, "cognito-idp")):
        why = "Cognito's, if no answer comes within five seconds"
        found.append(Attempts(_ATTEMPTS_OF_COGNITO, why, function))
    again = [one for one in found if one.times > 1]
    return max(again, key=lambda one: one.times, default=Attempts(1, "", ""))


def _attempts(template: Template, resource: Resource) -> Iterator[Attempts]:
    kind, properties = resource["Type"], resource.get("Properties", {})
    match kind:
        case "AWS::Lambda::EventInvokeConfig":
            retries = properties.get("MaximumRetryAttempts", _RETRIED_BY_DEFAULT)
            why = f"`MaximumRetryAttempts` {retries} of an asynchronous invocation"
            yield Attempts(1 + retries, why, _named(properties["FunctionName"]))
        case "AWS::Lambda::EventSourceMapping":
            yield from _of_mapping(template, properties)
        case "AWS::KinesisFirehose::DeliveryStream":
            given = properties.get("ExtendedS3DestinationConfiguration", {})
            for processor in given.get("ProcessingConfiguration", {}).get("Processors", []):
                set_to = {one["ParameterName"]: one["ParameterValue"] for one in processor["Parameters"]}
                if "LambdaArn" in set_to:
                    retries = int(set_to.get("NumberOfRetries", _RETRIED_BY_FIREHOSE))
                    why = f"`NumberOfRetries` {retries} of Firehose"
                    yield Attempts(1 + retries, why, _named_in_arn(set_to["LambdaArn"]))
        case "AWS::StepFunctions::StateMachine":
            most = max(map(int, _MAX_ATTEMPTS.findall(json.dumps(properties))), default=0)
            yield Attempts(1 + most, f"`MaxAttempts` {most} of a state", "")


def _of_mapping(template: Template, mapping: Resource) -> Iterator[Attempts]:
    source, function = mapping["EventSourceArn"], _named(mapping.get("FunctionName"))
    if (queue := _queue(template, source)) is not None:
        most = queue.get("RedrivePolicy", {}).get("maxReceiveCount")
        if most:
            yield Attempts(most, f"`maxReceiveCount` {most} of a queue", function)
        else:
            yield Attempts(math.inf, "until it expires", function)
    elif template["Resources"].get(_named(source), {}).get("Type") == "AWS::AmazonMQ::Broker":
        yield Attempts(math.inf, "until the broker drops it", function)
    elif "StartingPosition" in mapping:
        # Nothing is left to bisect in a batch of one event.
        retries = mapping.get("MaximumRetryAttempts", -1)
        if retries < 0 or retries >= _MOST_RETRIES:
            yield Attempts(math.inf, "until it expires", function)
        else:
            yield Attempts(1 + retries, f"`MaximumRetryAttempts` {retries} of a stream", function)


def _queue(template: Template, arn: Any) -> Resource | None:
    """The properties of the queue that an expression names; None if it names something else."""
    resource = template["Resources"].get(_named(arn), {})
    return resource.get("Properties", {}) if resource.get("Type") == "AWS::SQS::Queue" else None


def _named(value: Any) -> str:
    match value:
        case {"Fn::GetAtt": [str(name), _]} | {"Ref": str(name)}:
            return name
    return ""


def _named_in_arn(value: Any) -> str:
    """The logical id of the function in a joined ARN, which may have a version behind it."""
    parts = value["Fn::Join"][1] if isinstance(value, Mapping) and "Fn::Join" in value else [value]
    return next(filter(None, map(_named, parts)), "")


def _invoked(template: Template, kind: str, name: str) -> set[str]:
    """The functions that the resources of a type name."""
    resources = template["Resources"].values()
    return {_named(one["Properties"][name]) for one in resources if one["Type"] == kind}


def _permitted(template: Template, *services: str) -> set[str]:
    """The functions that services may invoke."""
    return {
        _named(one["Properties"]["FunctionName"])
        for one in template["Resources"].values()
        if one["Type"] == "AWS::Lambda::Permission"
        and str(one["Properties"]["Principal"]).partition(".")[0] in services
    }


def _invocation(template: Template, function: str) -> Iterator[tuple[str, float]]:
    """What one invocation of a function costs: its request and its duration, without what it calls."""
    properties = template["Resources"][function]["Properties"]
    while "FunctionName" in properties and "Code" not in properties:  # an alias
        properties = template["Resources"][_named(properties["FunctionName"])]["Properties"]
    architecture = properties.get("Architectures", ["x86_64"])[0]
    return _priced(f"Lambda requests of {properties.get('MemorySize', 128)} MB ({architecture})")


def _poison(template: Template) -> str:
    times, why, function = attempts(template)
    if not why:
        return "AWS does not try a failed one again: who sent it gets the error."
    where = f"at `{TemplateFacts(dict(template)).path(function)}`" if function else "in a workflow"
    if times == math.inf:
        return f"An event that always fails {where} is tried {why}."
    if not function:
        return f"An event that always fails {where} is tried up to {times:g} times ({why})."
    each = dict(_invocation(template, function))
    return (
        f"A million that always fail {where}: about {_sum(each, _MILLION * times)} for the requests and the "
        f"duration of {times:g} attempts ({why})."
    )


def _price(name: str) -> float | None:
    """The price of one; None if it was not found.

    Raises:
        LookupError: It is not in the price list.
    """
    if name not in prices()["prices"]:
        raise LookupError(
            f"{name}: it is not in docs/prices.toml; add it, without `usd` if it was not found."
        )
    price = prices()["prices"][name]
    return price["usd"] / price["per"] if "usd" in price else None


def _dollars(name: str, amount: float) -> str:
    price = _price(name)
    return "not priced" if price is None else _rounded(price * amount)


def _sum(amounts: Mapping[str, float], times: float = 1) -> str:
    known = [price * amount for name, amount in amounts.items() if (price := _price(name)) is not None]
    missing = len(amounts) - len(known)
    shown = _rounded(sum(known) * times)
    return f"{shown} and what is not priced" if missing else shown


def _amount(amount: float) -> str:
    return f"{amount:,.2f}".rstrip("0").rstrip(".")


def _rounded(dollars: float) -> str:
    # Half a cent is a cent more: its binary fraction may be a little less.
    return "less than $0.01" if 0 < dollars < 0.01 else f"${dollars + 1e-9:,.2f}"


def _linked(name: str) -> str:
    _price(name)
    return f"[{name}]({prices()['prices'][name]['page']})"
