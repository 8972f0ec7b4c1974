"""Rules of AWS Config in templates, and the results that their functions report."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, Resources, arn, deploy, function, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

PRINCIPAL = "config.amazonaws.com"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def rule(**source: Any) -> Resources:
    """A custom rule with its function."""
    details = [{"EventSource": "aws.config", "MessageType": "ScheduledNotification"}]
    return {
        "Role": role(),
        "Function": function("Role"),
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": ref("Function"),
                "Action": "lambda:InvokeFunction",
                "Principal": PRINCIPAL,
                "SourceAccount": ref("AWS::AccountId"),
            },
        },
        "Rule": {
            "Type": "AWS::Config::ConfigRule",
            "DependsOn": ["Permission"],
            "Properties": {
                "InputParameters": {"runtimes": "python3.14"},
                "Source": {
                    "Owner": "CUSTOM_LAMBDA",
                    "SourceIdentifier": arn("Function"),
                    "SourceDetails": details,
                    **source,
                },
            },
        },
    }


OUTPUTS = {
    "Name": ref("Rule"),
    "Arn": arn("Rule"),
    "Function": arn("Function"),
    "Type": {"Fn::GetAtt": ["Rule", "Compliance.Type"]},
}


class Rule:
    """A deployed rule.

    Args:
        aws: The embedded AWS.
    """

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.outputs = deploy(aws, rule(), OUTPUTS).outputs
        self.name = self.outputs["Name"]
        self.client = aws.client("config")

    def token(self, item: dict[str, Any] | None = None) -> str:
        """Deliver an event of the rule, and return its token."""
        event = {
            "invokingEvent": json.dumps({"messageType": "ScheduledNotification", "configurationItem": item}),
            "resultToken": str(uuid.uuid4()),
            "configRuleName": self.name,
        }
        self.aws.deliver_as(PRINCIPAL, self.outputs["Arn"], self.outputs["Function"], event)
        return str(event["resultToken"])

    def put(self, *evaluations: dict[str, Any], token: str | None = None, test: bool = False) -> None:
        """Report evaluations with a token, by default a new one."""
        token = token or self.token()
        self.client.put_evaluations(Evaluations=list(evaluations), ResultToken=token, TestMode=test)

    def results(self, *kinds: str) -> dict[str, str]:
        """The results, by the id of the resource."""
        chosen = {"ComplianceTypes": list(kinds)} if kinds else {}
        found = self.client.get_compliance_details_by_config_rule(ConfigRuleName=self.name, **chosen)
        return {
            one["EvaluationResultIdentifier"]["EvaluationResultQualifier"]["ResourceId"]: one[
                "ComplianceType"
            ]
            for one in found["EvaluationResults"]
        }

    def compliance(self) -> str:
        """Whether the rule as a whole is complied with."""
        (found,) = self.client.describe_compliance_by_config_rule(ConfigRuleNames=[self.name])[
            "ComplianceByConfigRules"
        ]
        return str(found["Compliance"]["ComplianceType"])


def evaluation(resource: str = "orders", kind: str = "COMPLIANT", at: datetime = NOON) -> dict[str, Any]:
    """An evaluation of a function."""
    return {
        "ComplianceResourceType": "AWS::Lambda::Function",
        "ComplianceResourceId": resource,
        "ComplianceType": kind,
        "OrderingTimestamp": at,
    }


@pytest.fixture(scope="module")
def deployed(local_aws: LocalAws) -> Rule:
    """A rule that the tests share."""
    return Rule(local_aws)


def refused(call: Callable[[], Any]) -> str:
    """The error code of a call."""
    with pytest.raises(ClientError) as refusal:
        call()
    return str(refusal.value.response["Error"]["Code"])


def test_a_rule_has_its_return_values_and_is_deleted_with_its_stack(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, rule(), OUTPUTS)
    client, name = local_aws.client("config"), stack.outputs["Name"]
    (found,) = client.describe_config_rules(ConfigRuleNames=[name])["ConfigRules"]
    assert (found["ConfigRuleArn"], stack.outputs["Type"]) == (stack.outputs["Arn"], "INSUFFICIENT_DATA")
    assert json.loads(found["InputParameters"]) == {"runtimes": "python3.14"}
    changed = rule()
    changed["Rule"]["Properties"]["Description"] = "Runtimes"
    stack.update(changed, OUTPUTS)
    assert client.describe_config_rules(ConfigRuleNames=[name])["ConfigRules"][0]["Description"] == "Runtimes"
    stack.delete()
    assert (
        refused(lambda: client.describe_config_rules(ConfigRuleNames=[name])) == "NoSuchConfigRuleException"
    )


def test_a_rule_whose_function_cannot_be_invoked_is_refused(local_aws: LocalAws) -> None:
    resources = rule()
    resources["Permission"]["Properties"]["SourceAccount"] = "999999999999"
    with pytest.raises(DeploymentFailedError, match="cannot be invoked"):
        deploy(local_aws, resources)


def test_a_rule_without_a_trigger_is_refused(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="SourceDetails"):
        deploy(local_aws, rule(SourceDetails=[]))


def test_a_rule_is_for_100_types_at_most(local_aws: LocalAws) -> None:
    resources = rule()
    types = [f"AWS::Lambda::Function{number}" for number in range(101)]
    resources["Rule"]["Properties"]["Scope"] = {"ComplianceResourceTypes": types}
    with pytest.raises(DeploymentFailedError, match="at most 100"):
        deploy(local_aws, resources)


def test_results_are_those_of_the_latest_events(local_aws: LocalAws) -> None:
    deployed = Rule(local_aws)
    assert deployed.compliance() == "INSUFFICIENT_DATA"
    deployed.put(evaluation("orders", "NON_COMPLIANT"), evaluation("stock"))
    assert deployed.results() == {"orders": "NON_COMPLIANT", "stock": "COMPLIANT"}
    assert deployed.compliance() == "NON_COMPLIANT"
    deployed.put(evaluation("orders", "COMPLIANT", NOON.replace(hour=11)))  # an event that came late
    assert deployed.results("NON_COMPLIANT") == {"orders": "NON_COMPLIANT"}
    deployed.put(evaluation("orders", "NOT_APPLICABLE", NOON.replace(hour=13)))
    assert deployed.compliance() == "COMPLIANT"


def test_test_mode_takes_any_token_and_records_nothing(deployed: Rule) -> None:
    deployed.put(evaluation("tried"), token="TESTMODE", test=True)
    assert "tried" not in deployed.results()
    assert refused(lambda: deployed.put(evaluation(), token="TESTMODE")) == "InvalidResultTokenException"


@pytest.mark.parametrize(
    ("evaluations", "code"),
    [
        ([evaluation(f"f{number}") for number in range(101)], "ValidationException"),
        ([{**evaluation(), "Annotation": "x" * 257}], "ValidationException"),
        ([evaluation(kind="INSUFFICIENT_DATA")], "InvalidParameterValueException"),
        ([evaluation(kind="FINE")], "ValidationException"),
    ],
)
def test_evaluations_have_the_limits_of_the_api(
    deployed: Rule, evaluations: list[dict[str, Any]], code: str
) -> None:
    assert refused(lambda: deployed.put(*evaluations)) == code


def test_the_history_has_delivered_items_and_functions_that_exist(deployed: Rule) -> None:
    item = {
        "resourceType": "AWS::S3::Bucket",
        "resourceId": "pictures",
        "ARN": "arn:aws:s3:::pictures",
        "configurationItemCaptureTime": "2026-11-27T12:00:00.000Z",
        "configuration": {"name": "pictures"},
    }
    deployed.token(item)
    history = deployed.client.get_resource_config_history
    (found,) = history(resourceType="AWS::S3::Bucket", resourceId="pictures")["configurationItems"]
    assert (found["arn"], json.loads(found["configuration"])) == (item["ARN"], item["configuration"])
    assert found["configurationItemCaptureTime"] == NOON
    name = deployed.outputs["Function"].rpartition(":")[2]
    (found,) = history(resourceType="AWS::Lambda::Function", resourceId=name)["configurationItems"]
    assert json.loads(found["configuration"])["runtime"] == "python3.13"
    code = refused(lambda: history(resourceType="AWS::Lambda::Function", resourceId="gone"))
    assert code == "ResourceNotDiscoveredException"


def test_still_needed_the_emulator_has_no_evaluations(stock_aws: LocalAws) -> None:
    client = stock_aws.client("config")
    code = refused(lambda: client.put_evaluations(Evaluations=[evaluation()], ResultToken="a"))
    assert code == "InvalidAction"
