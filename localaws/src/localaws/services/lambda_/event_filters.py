"""Filters of event source mappings match as event patterns do.

The emulator's matcher for them finds no field under an absent one, so that `"exists": false` passes nothing
there, and ignores `$or`, `null`, `equals-ignore-case`, lists in the record and operators in `anything-but`.
Its matcher for rules of EventBridge knows them; Lambda's filters have the same syntax.

Faithful to: the operators, and which patterns are refused; an empty pattern passes every record.
Not to: operators of EventBridge that Lambda does not document: they work here.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge, lambda_svc

from localaws.patching import replaces


def is_pattern(text: object) -> bool:
    """Whether Lambda accepts a filter's pattern."""
    return str(text).strip() == "{}" or eventbridge._parse_pattern_text(str(text))[1] is None


@replaces(lambda_svc, "_match_esm_filter")
def _match_esm_filter(record: dict[str, Any], pattern: dict[str, Any]) -> bool:
    if not pattern:
        return True
    found = eventbridge._compiled_pattern(json.dumps(pattern)) or []
    return any(eventbridge._matches_detail(record, alternative) for alternative in found)
