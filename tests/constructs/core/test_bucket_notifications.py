"""Filters of S3 notifications have encoded values."""

from __future__ import annotations

import pytest
from aws_cdk import CfnParameter, Stack

from cdk_lambda_patterns.core.bucket_notifications import check_suffixes, filter_value


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("photos/", "photos/"),
        ("my photos/", "my+photos/"),
        ("dt=2026/", "dt%3D2026/"),
        ("ü", "%C3%BC"),
        ("a+b", "a%2Bb"),
        ("100%", "100%25"),
        ("a&b@c:d,e?f;g$h", "a%26b%40c%3Ad%2Ce%3Ff%3Bg%24h"),
        ("~", "%7E"),
        ("Safe-1_2.3!4'5(6)/", "Safe-1_2.3!4'5(6)/"),
        ("two\nlines", "two%0Alines"),
        ("😀", "%F0%9F%98%80"),
        ("", ""),
    ],
)
def test_a_filter_is_encoded_as_s3_compares_it(text: str, encoded: str) -> None:
    assert filter_value("prefix", text) == encoded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("*.jpg", r"no wildcard"),
        ("a*", r"no wildcard"),
        ("\ud800", "valid Unicode"),
        ("=" * 342, "at most 1024"),
    ],
)
def test_a_filter_that_s3_does_not_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"prefix: .*{message}"):
        filter_value("prefix", text)


def test_a_value_of_the_deployment_is_unchanged() -> None:
    token = CfnParameter(Stack(), "Prefix").value_as_string
    assert filter_value("prefix", token) == token


@pytest.mark.parametrize("suffixes", [("=", "3D"), (".jpg", "jpg"), (".a", ".a")])
def test_suffixes_that_overlap_in_the_form_that_s3_compares_are_refused(suffixes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="overlap"):
        check_suffixes(suffixes)


def test_suffixes_may_have_spaces_and_no_wildcards() -> None:
    check_suffixes((" copy.jpg", "=.jpg"))
    with pytest.raises(ValueError, match="no wildcard"):
        check_suffixes(("*.jpg",))
