"""Filter patterns, by the examples of AWS's documentation."""

from __future__ import annotations

import pytest

from localaws.services.logs.patterns import PatternError, compiled

EVENT = (
    '{"eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111", "arrayKey": ["value", "another"], '
    '"objectList": [{"name": "a", "id": 1}], "SomeObject": null, "cluster.name": "c", "latency": 50, '
    '"ok": true}'
)

LINE = '127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


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
        ("{ $.latency = * }", EVENT, True),
        ('{ $.latency = "*" }', EVENT, True),
        ("{ $.latency = 5.0e+1 && $.latency != 1e-3 }", EVENT, True),
        ("{ $.sourceIPAddress != 123.123.* }", EVENT, True),
        ("{ $.sourceIPAddress = %111\\.111\\.111\\.1[0-9]{1,2}% }", EVENT, True),
        ("{ $.* = %111\\.111\\.111\\.1[0-9]{1,2}% }", EVENT, True),
        ("{ $.arrayKey[*] = %val.{2}% }", EVENT, True),
        ("{ $.objectList[*].id = 2 }", EVENT, False),
        ("{ $.arrayKey = 1 }", EVENT, False),
        ("{ $.arrayKey != 1 }", EVENT, False),
        ("{ $.eventType IS TRUE }", EVENT, False),
        ('" "', "anything", True),
        ("?ERROR -ERROR", "INFO", True),
        ("%^starting|^shutting down%", "shutting down", True),
        ("%^starting|^shutting down%", "not shutting down", False),
        ("%\\x28[a-c]+%", "f(abc)", True),
        ('-"is well" all', "all is well", False),
        ("[ip, user, username, timestamp, request =*.html*, status_code = 4*, bytes]", LINE, True),
        ("[ip=%127\\.0\\.0\\.[1-9]%, ..., bytes > 1000]", LINE, True),
        ("[..., request=*.html*, status_code=4*,]", LINE, True),
        ("[..., status_code = 410 || status_code = 404, bytes]", LINE, True),
        ("[..., status_code != 404, bytes]", LINE, False),
        ("[ip, ..., bytes < 1000]", LINE, False),
        ("[a, b, c, d, e, f, g, h]", LINE, False),
        ("[w1=ERROR, w2]", "ERROR 12:00:02 Failed to process request", True),
        ("[w1=ERROR || w1=WARNING, w2]", "WARNING Invalid user request", True),
        ("[w1!=ERROR && w1!=WARNING, w2]", "WARNING Invalid user request", False),
        ('[timestamp=*Z, request_id="*-*", event]', "2026-01-01T00:00:00Z\ta-b\tsome words", True),
    ],
)
def test_an_event_matches(pattern: str, message: str, matches: bool) -> None:
    assert compiled(pattern).matches(message) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "{ level = 1 }",
        "{ ($.a = 1 }",
        "{ $.a = }",
        "{ $.a > x }",
        "{}",
        "{ $.a EXISTS }",
        "{ $.a IS NOT NULL }",
        "{ $.a[*].b[*] = 1 }",
        "{ $.a[*] = 1 && $.b[*] = 1 && $.c[*] = 1 && $.d[*] = 1 }",
        "{ $.a = %a% && $.b = %b% && $.c = %c% }",
        "[..., a, ...]",
        "[a = 1 && b = 2]",
        "[1a]",
        '"unclosed',
        "%[a%",
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"^$"):
        compiled(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("Status: timeout", "Invalid character(s) in term ':'"),
        ("?a,b", "Invalid character(s) in term ','"),
        ("{ $.a ~ 1 }", "Invalid character(s) in term '~'"),
        ("{ $.a = foo-bar }", "Invalid character(s) in term '-'"),
        ("%some(thing)%", "Invalid character(s) in term '('"),
        ("%something!%", "Invalid character(s) in term '!'"),
        ("naïve", "Invalid character(s) in term 'ï'"),
        ("{ $.a = 1", "If a filter pattern starts with '{' it must end with '}'"),
        ("[a", "If a filter pattern starts with '[' it must end with ']'"),
    ],
)
def test_aws_says_what_a_pattern_lacks(pattern: str, text: str) -> None:
    with pytest.raises(PatternError) as raised:
        compiled(pattern)
    assert str(raised.value) == text


def test_fields_are_extracted_by_name_and_number() -> None:
    assert compiled("[..., request=*.html*, status_code=4*,]").fields(LINE) == {
        "1": "127.0.0.1",
        "2": "Prod",
        "3": "frank",
        "4": "10/Oct/2000:13:25:15 -0700",
        "request": "GET /index.html HTTP/1.0",
        "status_code": "404",
        "7": "1534",
    }
    assert compiled("[word, rest]").fields("ERROR at [once] \n") == {"word": "ERROR", "rest": "at [once]"}
    assert not compiled("ERROR").fields(LINE)
