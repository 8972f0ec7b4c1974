"""Tags of groups and sampling rules.

Faithful to: TagResource, UntagResource and ListTagsForResource; tags of a request that creates, and of a
template with those of its stack; a deleted resource loses its tags.
Not to: the limit of 50, and conditions of policies on tags.

https://docs.aws.amazon.com/xray/latest/devguide/xray-tagging.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ministack.core.responses import AccountRegionScopedDict

from localaws.patching import on_reset
from localaws.services.xray import groups, sampling
from localaws.services.xray.sampling import RefusedError

Values = dict[str, Any]

_tags: Any = AccountRegionScopedDict()  # by ARN, and key
on_reset(_tags.clear)


def replace(arn: str, tags: Iterable[Mapping[str, str]] | None) -> None:
    """Give a resource these tags, and no others."""
    _tags.pop(arn, None)
    if tags:
        _tags[arn] = {tag["Key"]: tag["Value"] for tag in tags}


def tag(request: Values) -> Values:
    """Add tags to a resource."""
    _tags.setdefault(_known(request), {}).update({one["Key"]: one["Value"] for one in request["Tags"]})
    return {}


def untag(request: Values) -> Values:
    """Remove tags of a resource."""
    found = _tags.get(_known(request)) or {}
    for key in request["TagKeys"]:
        found.pop(key, None)
    return {}


def listed(request: Values) -> Values:
    """The tags of a resource."""
    found = _tags.get(_known(request)) or {}
    return {"Tags": [{"Key": key, "Value": value} for key, value in found.items()]}


def _known(request: Values) -> str:
    arn: str = request["ResourceARN"]
    arns = [one["GroupARN"] for one in groups.groups()] + [one.values["RuleARN"] for one in sampling.rules()]
    if arn not in arns:
        raise RefusedError(f"There is no resource {arn}", "ResourceNotFoundException")
    return arn
