"""What a construct exposes that has metrics: found by its public attributes, not by its class.

An attribute or property counts if it holds a resource, or a sequence or mapping of resources. A resource is
recognised by the attribute that identifies it, such as ``queue_arn``, so that imported ones are found too. A
construct that is not of the CDK is searched with all constructs under it that are not of the CDK either. What
the CDK makes itself, such as the functions behind custom resources, is in no public attribute.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aws_cdk import Stack, Stage
from aws_cdk import aws_lambda as lambda_
from constructs import Construct, IConstruct

from cdk_lambda_patterns.core.event_sources import unqualified
from cdk_lambda_patterns.core.regions import check_region

#: The member by which each kind of resource that has metrics here is recognised.
_IDENTITIES = {
    "function": "add_event_source_mapping",  # CloudFront Functions have a function_name, too
    "queue": "queue_arn",
    "table": "table_stream_arn",
    "stream": "stream_arn",
    "http_api": "add_vpc_link",  # WebSocket APIs have an api_id, too
    "rest_api": "rest_api_id",
    "load_balancer": "load_balancer_arn",
    "state_machine": "state_machine_arn",
}
# Constructs of the library, and users' own, name a queue for failures so; see `core.failure_queue`.
_FAILURES = re.compile(
    r"(^|_)(dlqs?|dead_?letters?|failures?|failed|errors?|undelivered)"
    r"(_(queues?|destinations?|events|letters|messages|records))*$"
)
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_OWN_METRICS = "Alarms, dashboards and saved queries here read those of their own account and Region"


@dataclass
class Exposed:
    """The resources by kind, each with its label: the path of the construct.

    Attributes:
        kinds: By kind, as in ``_IDENTITIES``; ``"failure_queue"`` for a queue of what failed permanently.
        stream_readers: The labels of the functions that read a stream.
    """

    kinds: dict[str, dict[str, Any]] = field(default_factory=dict)
    stream_readers: set[str] = field(default_factory=set)

    def of(self, kind: str) -> Mapping[str, Any]:
        """Return the resources of a kind by their labels."""
        return self.kinds.get(kind, {})


def exposed_by(scope: Construct, patterns: Sequence[Any]) -> Exposed:
    """Find what constructs expose.

    Args:
        scope: The construct that monitors; labels are relative to its stack.
        patterns: The constructs, or resources.

    Raises:
        ValueError: There is none, or one exposes nothing that has metrics here.
    """
    if not patterns:
        raise ValueError("patterns=(): there is nothing to monitor; give at least one construct.")
    exposed, stack = Exposed(), Stack.of(scope)
    for number, pattern in enumerate(patterns):
        found = list(_resources("", pattern))
        if not found:
            path = pattern.node.path if isinstance(pattern, Construct) else repr(pattern)
            raise ValueError(
                f"patterns[{number}]={path}: it exposes nothing that can be monitored. Give a construct "
                "whose public attributes hold functions, queues, tables, streams, APIs, load balancers or "
                "state machines, or give these themselves."
            )
        for name, one in found:
            check_region(scope, _OWN_METRICS, {f"patterns[{number}]": one}, in_account=True)
            _check_metrics(number, one)
            _add(exposed, _label(stack, one), name, one)
    functions = exposed.of("function")
    for one in {stack, *map(Stack.of, functions.values())}:
        exposed.stream_readers |= _stream_readers(one, functions)
    # A queue is one for failures if any construct exposes it so.
    for label in exposed.of("failure_queue"):
        exposed.kinds.get("queue", {}).pop(label, None)
    return exposed


def kind_of(value: Any) -> str | None:
    """Return the kind of a resource; ``None`` if it has no metrics here."""
    # Members are looked for in classes, because the value of one may not be known. jsii wraps an object of a
    # class that is not public in proxies of the interfaces that the object has.
    classes = [type(value), *map(type, getattr(value, "_delegates", ()))]
    if isinstance(value, type) or not any(hasattr(one, "node") for one in classes):
        return None
    for kind, identity in _IDENTITIES.items():
        if any(hasattr(one, identity) for one in classes):
            return kind
    return None


def _resources(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A resource itself, with its failure queues; or those that a construct and its children expose."""
    if kind_of(value) is not None:
        yield name, value
        if kind_of(value) in ("function", "queue"):
            for attribute in ("dead_letter_queue", "failure_queue"):
                queue = getattr(value, attribute, None)  # a queue of the CDK has it in a structure
                if kind_of(queue := getattr(queue, "queue", queue)) == "queue":
                    yield attribute, queue
    elif isinstance(value, Construct) and not _is_of_the_cdk(value):
        for attribute, held in _attributes(value):
            if not attribute.startswith("_"):
                for one in _each(held):
                    # A version has no traffic of its own: its callers use an alias.
                    if kind_of(one) is not None and not _is_version(one):
                        yield from _resources(attribute, one)
        for child in value.node.children:
            if not _is_of_the_cdk(child):
                yield from _resources("", child)


def _attributes(value: Construct) -> Iterator[tuple[str, Any]]:
    """The attributes of a construct, and the properties that its own classes add to those of the CDK."""
    yield from vars(value).items()
    for one in type(value).__mro__:
        if one.__module__.partition(".")[0] not in ("aws_cdk", "constructs", "jsii"):
            for name, member in vars(one).items():
                if isinstance(member, property) and not name.startswith("_"):
                    yield name, getattr(value, name)


def _check_metrics(number: int, resource: Any) -> None:
    """Refuse what is recognised, but has other metrics, or none that are known here."""
    kind, path = kind_of(resource), resource.node.path
    if kind == "load_balancer" and not hasattr(resource.metrics, "http_code_elb"):
        raise ValueError(
            f"patterns[{number}]={path}: it is not an Application Load Balancer, so it has no metrics of "
            "requests; give the functions and queues behind it."
        )
    imported = kind == "rest_api" and resource.node.default_child is None
    if imported and resource.rest_api_name == resource.node.id:  # the CDK's stand-in for the name
        raise ValueError(
            f"patterns[{number}]={path}: the metrics of a REST API have its name, which is not known here; "
            "import it with RestApi.from_rest_api_attributes(rest_api_name=...), under an id that differs."
        )


def _each(held: Any) -> Iterable[Any]:
    if isinstance(held, Mapping):
        return list(held.values())
    return held if isinstance(held, list | tuple) else [held]


def _is_of_the_cdk(value: Any) -> bool:
    if isinstance(value, Stack | Stage):
        return False
    return type(value).__module__.partition(".")[0] in ("aws_cdk", "jsii")


def _is_version(value: Any) -> bool:
    return hasattr(value, "version") and not hasattr(value, "alias_name")


def _label(stack: Stack, resource: IConstruct) -> str:
    path: str = resource.node.path
    return path.removeprefix(f"{stack.node.path}/")


def _add(exposed: Exposed, label: str, name: str, resource: Any) -> None:
    kind = kind_of(resource)
    assert kind is not None
    if kind == "queue" and _FAILURES.search(name):
        kind = "failure_queue"
    exposed.kinds.setdefault(kind, {})[label] = resource


def _stream_readers(stack: Stack, functions: Mapping[str, Any]) -> set[str]:
    """Return the labels of the functions that a mapping invokes with records of a stream."""
    readers = [
        stack.resolve(resource.function_name)
        for resource in stack.node.find_all()
        if isinstance(resource, lambda_.CfnEventSourceMapping)
        and resource.starting_position
        and not resource.topics  # Kafka has another metric
    ]
    return {
        label
        for label, function in functions.items()
        if stack.resolve(function.function_name) in readers or stack.resolve(function.function_arn) in readers
    }


def is_asynchronous(function: lambda_.IFunction) -> bool:
    """Whether the function is configured for asynchronous invocations."""
    configured = function.node.try_find_child("EventInvokeConfig")
    return configured is not None or getattr(function, "dead_letter_queue", None) is not None


def log_group_name(function: lambda_.IFunction) -> str:
    """Return the name of the log group of a function; of an imported one, the default.

    Not ``function.log_group``: for a function without one of its own, the CDK would make a custom resource.
    """
    function = unqualified(function)
    resource = function.node.default_child
    config = resource.logging_config if isinstance(resource, lambda_.CfnFunction) else None
    group = getattr(config, "log_group", None)
    return group or f"/aws/lambda/{function.function_name}"
