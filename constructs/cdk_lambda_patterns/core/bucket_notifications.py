"""S3 event notification → function, for buckets that are owned, from another stack, or imported."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import quote

import jsii
from aws_cdk import CfnResource, Stack, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from constructs import Construct, IValidation

from cdk_lambda_patterns.core.limits import check_strings
from cdk_lambda_patterns.core.provider_roles import NOTIFICATIONS_HANDLER, write_out_provider_role
from cdk_lambda_patterns.core.regions import differ
from cdk_lambda_patterns.core.sharing import identity, record, recorded

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_FilterRule.html
_MAX_CHARACTERS = 1024
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
_MAX_NOTIFICATIONS = 100

_USE = "notifications"


def notify_function(
    scope: Construct,
    bucket: s3.IBucket,
    function: lambda_.IFunction,
    *events: s3.EventType,
    prefix: str = "",
    suffixes: Sequence[str] = (),
) -> None:
    """Let a bucket invoke a function asynchronously when its objects change.

    A bucket from another stack is referenced by its name: its own notifications would need the function's
    ARN while the function's role needs the bucket's, and two stacks cannot depend on each other.

    Args:
        scope: The construct that owns the function.
        bucket: Owned, from another stack, or imported.
        function: The function.
        *events: Which events.
        prefix: Only objects whose key starts with this, written as in the key; empty for all.
        suffixes: Only objects whose key ends with one of these; empty for all. S3 compares case.

    Raises:
        ValueError: S3 has no filter for the prefix or a suffix, or refuses these notifications together with
            those that the bucket has in this app; or the bucket is in another Region or account.
    """
    prefix = filter_value("prefix", prefix)
    suffixes = [filter_value("suffixes", suffix) for suffix in suffixes]
    _check_number(len(events) * len(suffixes), f"{len(suffixes)} suffixes with {len(events)} events each")
    check_place(scope, bucket)
    source = bucket
    if Stack.of(bucket) is not Stack.of(scope):
        source = s3.Bucket.from_bucket_name(scope, "SourceByName", bucket.bucket_name)
    destination = notifications.LambdaDestination(function)
    for event in events:
        for suffix in suffixes or (None,):
            if prefix or suffix:
                key_filter = s3.NotificationKeyFilter(prefix=prefix or None, suffix=suffix)
                source.add_event_notification(event, destination, key_filter)
            else:
                source.add_event_notification(event, destination)
    write_out_provider_role(Stack.of(scope), NOTIFICATIONS_HANDLER)

    notified = _Notified(scope, bucket, source)
    notified.check()
    scope.node.add_validation(notified)  # the app may add others later


def is_elsewhere(scope: Construct, bucket: s3.IBucket) -> str:
    """Return in which other Region or account a bucket is, as far as the app knows; empty if in none."""
    here, there = Stack.of(scope), bucket.env
    for what, theirs, ours in (
        ("Region", there.region, here.region),
        ("account", there.account, here.account),
    ):
        if differ(theirs, ours):
            return f"in {what} {theirs}, and the function in {ours}"
    return ""


def check_place(scope: Construct, bucket: s3.IBucket) -> None:
    """Check that a bucket may invoke a function of a stack by its own notifications.

    S3 refuses a function in another Region, and only the owner of a bucket may set its notifications.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html

    Raises:
        ValueError: The bucket is in another Region or account.
    """
    if where := is_elsewhere(scope, bucket):
        raise ValueError(
            f"the bucket {bucket.node.path} is {where}: its notifications cannot invoke this function. Put "
            "the function into a stack of the bucket's account and Region, or let a rule of Amazon "
            "EventBridge forward the bucket's events."
        )


def _check_number(needed: int, what: str) -> None:
    if needed > _MAX_NOTIFICATIONS:
        raise ValueError(
            f"{what}: {needed} notifications, and S3 allows {_MAX_NOTIFICATIONS} for a bucket; use fewer "
            "suffixes, or Amazon EventBridge, where one rule matches all of them."
        )


class _Filter(NamedTuple):
    event: str
    prefix: Any  # text, or what CloudFormation makes text of
    suffix: Any

    def __str__(self) -> str:
        return f"{self.event} with prefix={self.prefix!r} and suffix={self.suffix!r}"

    def overlaps(self, other: "_Filter") -> bool:
        """Whether S3 refuses both together: one object's event could match either.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
        """
        return (
            (fnmatchcase(self.event, other.event) or fnmatchcase(other.event, self.event))
            and _begins(self.prefix, other.prefix)
            and _begins(self.suffix, other.suffix, reverse=True)
        )


def _begins(one: Any, other: Any, *, reverse: bool = False) -> bool:
    """Whether one text begins with the other, or ends with it. Of unknown text only whether it is equal."""
    if isinstance(one, str) and isinstance(other, str):
        step = -1 if reverse else 1
        return one[::step].startswith(other[::step]) or other[::step].startswith(one[::step])
    return bool(one == other)


@jsii.implements(IValidation)
class _Notified:
    """The notifications that a bucket has in this app, whatever construct represents the bucket."""

    def __init__(self, scope: Construct, *buckets: s3.IBucket) -> None:
        self._scope = scope
        self._buckets = {bucket.node.path: bucket for bucket in buckets}
        self._name = identity(buckets[0], "bucket_name")
        for path, bucket in self._buckets.items():
            record(scope, _USE, [self._name, path, list(_filters(bucket))])

    def check(self) -> None:
        """Raise an error if S3 refuses them together."""
        for problem in self.validate():
            raise ValueError(problem)

    def validate(self) -> list[str]:
        """Return why S3 refuses them; the CDK calls this before it writes templates."""
        what = f"the bucket {next(iter(self._buckets))}"
        found = [one for bucket in self._buckets.values() for one in _filters(bucket)]
        latest = {path: them for name, path, them in recorded(self._scope, _USE) if name == self._name}
        for path in latest.keys() - self._buckets.keys():
            found += latest[path]
        for one, other in itertools.combinations(found, 2):
            if one.overlaps(other):
                return [
                    f"{what}: S3 refuses filters that overlap: {one}, and {other}; use "
                    "prefixes or suffixes of which no key matches both, or Amazon EventBridge."
                ]
        try:
            _check_number(len(found), what)
        except ValueError as error:
            return [str(error)]
        return []


def _filters(bucket: s3.IBucket) -> Iterator[_Filter]:
    """Return the filters of the notifications that were added to a bucket, also by other constructs."""
    notified = bucket.node.try_find_child("Notifications")
    resource = notified.node.try_find_child("Resource") if notified else None
    if not isinstance(resource, CfnResource):
        return
    configuration = Stack.of(resource).resolve(resource._cfn_properties)["NotificationConfiguration"]
    for kind in ("LambdaFunctionConfigurations", "QueueConfigurations", "TopicConfigurations"):
        for one in configuration.get(kind, ()):
            rules: Iterable[dict[str, Any]] = one.get("Filter", {}).get("Key", {}).get("FilterRules", ())
            values = {rule["Name"].lower(): rule["Value"] for rule in rules}
            for event in one["Events"]:
                yield _Filter(event, values.get("prefix", ""), values.get("suffix", ""))


def filter_value(name: str, text: str) -> str:
    """The start or end of a key as filters of S3 have it: encoded, unlike in patterns of EventBridge.

    A filter that is not encoded never matches: `my photos/` must be `my+photos/`, `dt=2026/` must be
    `dt%3D2026/`.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html#object-key-guidelines-safe-characters

    Args:
        name: The argument, for the message.
        text: The text, as in the key.

    Raises:
        ValueError: It contains `*`, which is no wildcard, or cannot be part of a key, or is too long.
    """
    if Token.is_unresolved(text):
        return text  # known only at the deployment
    if "*" in text:
        raise ValueError(
            f"{name}: {text!r} contains *, which is no wildcard in filters of S3; give the plain start or "
            "end of the keys."
        )
    try:
        encoded = quote(text, safe="/!-_.'() ").replace(" ", "+").replace("~", "%7E")
    except UnicodeEncodeError:
        raise ValueError(f"{name}: {text!r} is no text that a key can contain; use valid Unicode.") from None
    if len(encoded) > _MAX_CHARACTERS:
        raise ValueError(
            f"{name}: {text[:40]!r}… has {len(encoded)} characters in the form that S3 compares; "
            f"at most {_MAX_CHARACTERS} are allowed."
        )
    return encoded


def check_suffixes(suffixes: Sequence[str]) -> None:
    """Check that S3 accepts notifications with each of these suffixes.

    Raises:
        ValueError: It is a single string or a list token, a suffix is empty or has no filter, or one ends
            with another.
    """
    check_strings("suffixes", suffixes)
    if suffixes and Token.is_unresolved(list(suffixes)):
        raise ValueError(
            "suffixes is known only when the stack is deployed, and the template has notifications for each "
            "suffix; give a sequence of strings."
        )
    encoded = [filter_value("suffixes", suffix) for suffix in suffixes]
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    for number, suffix in enumerate(suffixes):
        others = [one for one in range(len(suffixes)) if one != number]
        ending = (suffixes[one] for one in others if encoded[number].endswith(encoded[one]))
        contained = next(ending, None) if suffix else ""
        if contained is not None:
            raise ValueError(
                f"suffixes={tuple(suffixes)!r}: S3 refuses filters that overlap, and {suffix!r} ends with "
                f"{contained!r}; leave one of them out."
            )
