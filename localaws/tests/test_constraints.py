"""Parameters that do not fit the models of AWS's services, in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from localaws import constraints

MUST = "failed to satisfy constraint: Member must"


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "problems"),
    [
        (
            "sts",
            "AssumeRole",
            {"RoleArn": "x" * 20, "RoleSessionName": "a", "DurationSeconds": "60"},
            [
                f"Value 'a' at 'roleSessionName' {MUST} have length greater than or equal to 2",
                f"Value '60' at 'durationSeconds' {MUST} have value greater than or equal to 900",
            ],
        ),
        (
            "lambda",
            "CreateFunction",
            {"Architectures": ["arm"]},
            [
                f"Value '[arm]' at 'architectures' {MUST} satisfy constraint: [Member must satisfy enum "
                "value set: [x86_64, arm64]]"
            ],
        ),
        (
            "events",
            "PutTargets",
            {"Rule": "a", "Targets": [{"Id": "a", "Arn": "a"}, {"Id": "x" * 65, "Arn": "a"}]},
            [f"Value '{'x' * 65}' at 'targets.2.member.id' {MUST} have length less than or equal to 64"],
        ),
        # What is secret is not repeated, and the length is that of the bytes.
        (
            "kms",
            "Encrypt",
            {"KeyId": "a", "Plaintext": "AAAA" * 1366},
            [f"Value at 'plaintext' {MUST} have length less than or equal to 4096"],
        ),
        # As in a template: other letters, a document, tags in a list.
        ("lambda", "CreateFunction", {"KmsKeyArn": "", "Tags": [{"Key": "a", "Value": "b"}]}, []),
        ("iam", "CreateRole", {"AssumeRolePolicyDocument": {"Version": "2012-10-17"}}, []),
        ("kms", "TagResource", {"Tags": [{"Key": "a", "Value": "b"}]}, []),
        # Letters of Unicode, where a pattern has a category.
        ("iam", "TagRole", {"Tags": [{"Key": "größe Σ 5", "Value": ""}]}, []),
        ("cognito-idp", "SignUp", {"ClientId": "a", "Username": "zoë@a.de", "Password": "a"}, []),
    ],
)
def test_a_parameter_is_compared_with_the_model(
    service: str, operation: str, parameters: dict[str, Any], problems: list[str]
) -> None:
    assert constraints.violations(service, operation, parameters) == problems


def test_one_text_has_all_problems() -> None:
    assert constraints.described(["a"]) == "1 validation error detected: a"
    assert constraints.described(["a", "b"]) == "2 validation errors detected: a; b"
