"""Filter patterns, by the examples of AWS's documentation."""

from __future__ import annotations

import pytest

from localaws.services.logs.patterns import PatternError, compiled

EVENT = (
    '{"eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "arrayKey": ["value", "another"], '
    '"objectList": [{"name": "a", "id": 1}], "SomeObject": null, "cluster.name": "c", "latency": 50, '
    '"ok": true}'
)


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("ERROR", "[error 400]", False),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST", False),
        ("?ERROR ?ARGUMENTS", "MISSING ARGUMENTS", True),
        ('?"ERROR" ?"CRITICAL"', "fine", False),
        ("?ERROR ?ARGUMENTS 400", "[ERROR 419]", False),
        ("?ERROR 400", "INFO 400", True),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ('"INTERNAL SERVER ERROR"', "SERVER ERROR INTERNAL", False),
        ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", False),
        ("ERROR -ARGUMENTS", "[ERROR 400]", True),
        ("%AUTHORIZED%", "UNAUTHORIZED", True),
        ('{ $.eventType = "UpdateTrail" }', EVENT, True),
        ("{ $.eventType = UpdateTrail }", EVENT, True),
        ('{ $.eventType = "Update*" }', EVENT, True),
        ('{ $.eventType != "UpdateTrail" }', EVENT, False),
        ('{ $.sourceIPAddress != "123.123.*" }', EVENT, True),
        ('{ $.missing != "x" }', EVENT, False),
        ('{ $.arrayKey[0] = "value" }', EVENT, True),
        ("{ $.objectList[0].id = 1 }", EVENT, True),
        ("{ $.SomeObject IS NULL }", EVENT, True),
        ("{ $.ok IS TRUE }", EVENT, True),
        ("{ $.SomeOtherObject NOT EXISTS }", EVENT, True),
        ("{ $.latency >= 50 }", EVENT, True),
        ("{ $.latency < 50 }", EVENT, False),
        ("{ $.['cluster.name'] = \"c\" }", EVENT, True),
        ('{ ($.latency = 50) && ($.eventType = "x" || $.ok IS TRUE) }', EVENT, True),
        ('{ $.latency = 50 && $.eventType = "x" }', EVENT, False),
        ("{ $.eventType = %Trail% }", EVENT, True),
        ("{ $.latency = 50 }", "no JSON", False),
    ],
)
def test_an_event_matches(pattern: str, message: str, matches: bool) -> None:
    assert compiled(pattern)(message) is matches


@pytest.mark.parametrize(
    "pattern", ["{ level = 1 }", "{ $.a ~ 1 }", "{ ($.a = 1 }", "{ $.a = }", "{ $.a > x }", "{}"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="Invalid filter pattern"):
        compiled(pattern)
