"""How the resources of a template are connected, by their types."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.template_facts import TemplateFacts

ELB = "AWS::ElasticLoadBalancingV2"


def attribute(logical_id: str, name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [logical_id, name]}


def resource(kind: str, **properties: object) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def function(**properties: object) -> dict[str, Any]:
    return resource("Lambda::Function", Role=attribute("Role", "Arn"), **properties)


def edges(resources: dict[str, dict[str, Any]]) -> list[str]:
    """How resources are connected, a line for each two."""
    return [
        f"{edge.source} {edge.arrow}" + (f'|"{edge.words}"|' if edge.words else "") + f" {edge.target}"
        for edge in TemplateFacts({"Resources": resources}).edges()
    ]


def alias(version: object, **properties: object) -> dict[str, Any]:
    return resource(
        "Lambda::Alias", FunctionVersion=version, **{"FunctionName": {"Ref": "Function"}, **properties}
    )


def test_an_alias_points_to_its_function_with_its_versions() -> None:
    weights = {"AdditionalVersionWeights": [{"FunctionVersion": "7", "FunctionWeight": 0.1}]}
    resources = {
        "Function": function(),
        "Dev": alias(attribute("Version", "Version")),
        "Prod": alias("6", RoutingConfig=weights),
        "Imported": alias("1", FunctionName="orders"),
    }
    assert edges(resources) == [
        'Dev ==>|"newest version"| Function',
        'Prod ==>|"version 6, version 7: 0.1"| Function',
    ]


def test_a_deployment_group_shifts_an_alias_calls_hooks_and_is_stopped_by_alarms() -> None:
    update = {
        "DeploymentGroupName": {"Ref": "Group"},
        "BeforeAllowTrafficHook": {"Ref": "Smoke"},
        "AfterAllowTrafficHook": {"Ref": "Look"},
    }
    resources = {
        "Function": function(),
        "Smoke": function(),
        "Look": function(),
        "Errors": resource("CloudWatch::Alarm"),
        "Group": resource(
            "CodeDeploy::DeploymentGroup", AlarmConfiguration={"Alarms": [{"Name": {"Ref": "Errors"}}]}
        ),
        "Live": {**alias("1"), "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": update}},
    }
    assert edges(resources) == [
        'Live ==>|"version 1"| Function',
        'Group -.->|"shifts"| Live',
        'Group -.->|"before traffic"| Smoke',
        'Group -.->|"after traffic"| Look',
        'Errors -.->|"stops"| Group',
    ]


def test_a_listener_forwards_to_the_function_of_its_target_group() -> None:
    forward = {"Type": "forward", "TargetGroupArn": {"Ref": "Group"}}
    resources = {
        "Front": resource("ElasticLoadBalancingV2::LoadBalancer"),
        "Function": function(),
        "Group": resource(
            "ElasticLoadBalancingV2::TargetGroup", Targets=[{"Id": attribute("Function", "Arn")}]
        ),
        **{
            name: resource(
                "ElasticLoadBalancingV2::Listener",
                LoadBalancerArn={"Ref": "Front"},
                Port=port,
                Protocol=name.upper(),
                DefaultActions=[action],
            )
            for name, port, action in (("Https", 443, forward), ("Http", 80, {"Type": "redirect"}))
        },
    }
    assert edges(resources) == ['Front ==>|"HTTPS 443"| Function']


def test_a_rule_of_a_security_group_connects_the_members_of_two_groups() -> None:
    def group(name: str) -> dict[str, Any]:
        return attribute(name, "GroupId")

    def rule(source: str, target: str, port: object) -> dict[str, Any]:
        ends = {"SourceSecurityGroupId": group(source), "GroupId": group(target)}
        return resource("EC2::SecurityGroupIngress", **ends, FromPort=port)

    resources = {
        "Worker": function(VpcConfig={"SecurityGroupIds": [group("WorkerGroup")]}),
        "Plain": function(),
        "Proxy": resource("RDS::DBProxy", VpcSecurityGroupIds=[group("ProxyGroup")]),
        "Database": resource("RDS::DBInstance", VPCSecurityGroups=[group("DataGroup")]),
        "First": rule("WorkerGroup", "ProxyGroup", 5432),
        "Second": rule("ProxyGroup", "DataGroup", attribute("Database", "Endpoint.Port")),
        "Elsewhere": rule("WorkerGroup", "AnotherGroup", 443),
        "FromAddresses": resource(
            "EC2::SecurityGroupIngress", CidrIp="10.0.0.0/8", GroupId=group("DataGroup"), FromPort=22
        ),
    }
    assert edges(resources) == ['Worker -->|"SQL"| Proxy', 'Proxy -->|"SQL"| Database']


QUEUE, TOPIC, BUCKET = resource("SQS::Queue"), resource("SNS::Topic"), resource("S3::Bucket")
NOTIFICATIONS = [
    {
        "LambdaFunctionArn": attribute("Function", "Arn"),
        "Events": [f"s3:{event}:*"],
        "Filter": {"Key": suffix},
    }
    for suffix in (".png", ".jpg")
    for event in ("ObjectCreated", "ObjectRemoved")
]
STATEMENT = {
    "Action": ["sqs:SendMessage", "sqs:Purge"],
    "Resource": attribute("Queue", "Arn"),
    "Effect": "Allow",
}
CONNECTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "notifications": (
        {
            "Type": "Custom::S3BucketNotifications",
            "Properties": {
                "BucketName": {"Ref": "Bucket"},
                "NotificationConfiguration": {"LambdaFunctionConfigurations": NOTIFICATIONS},
            },
        },
        'Bucket ==>|"object created, removed"| Function',
    ),
    "role": (
        resource(
            "IAM::Policy",
            Roles=[{"Ref": "Role"}],
            PolicyDocument={"Statement": [{**STATEMENT, "Effect": "Allow"}]},
        ),
        'Function -->|"sends messages and Purge"| Queue',
    ),
    "event source": (
        resource(
            "Lambda::EventSourceMapping",
            EventSourceArn=attribute("Queue", "Arn"),
            FunctionName={"Ref": "Function"},
        ),
        "Queue ==> Function",
    ),
    "rule": (
        resource(
            "Events::Rule",
            EventPattern={"detail": {"bucket": {"name": [{"Ref": "Bucket"}]}}},
            Targets=[{"Arn": attribute("Function", "Arn")}],
        ),
        'Bucket ==>|"object events, by EventBridge"| Function',
    ),
    "rule of the default bus": (
        resource(
            "Events::Rule",
            EventPattern={"detail-type": ["A Change"]},
            Targets=[{"Arn": attribute("Function", "Arn")}],
        ),
        "Added ==> Function",
    ),
    "schedule": (
        resource(
            "Scheduler::Schedule",
            ScheduleExpression="rate(1 day)",
            Target={"Arn": attribute("Function", "Arn")},
        ),
        'Added ==>|"rate(1 day)"| Function',
    ),
    "subscription": (
        resource("SNS::Subscription", TopicArn={"Ref": "Topic"}, Endpoint=attribute("Queue", "Arn")),
        "Topic ==> Queue",
    ),
    "dead letters": (
        resource("SQS::Queue", RedrivePolicy={"deadLetterTargetArn": attribute("Queue", "Arn")}),
        'Added -.->|"dead letters"| Queue',
    ),
    "destination": (
        resource(
            "Lambda::EventInvokeConfig",
            FunctionName={"Ref": "Function"},
            DestinationConfig={"OnFailure": {"Destination": attribute("Queue", "Arn")}},
        ),
        'Function -.->|"on failure"| Queue',
    ),
    "rule of AWS Config": (
        resource("Config::ConfigRule", Source={"SourceIdentifier": attribute("Function", "Arn")}),
        'Added ==>|"evaluate"| Function',
    ),
    "rule of AWS IoT": (
        resource(
            "IoT::TopicRule",
            TopicRulePayload={"Actions": [{"Lambda": {"FunctionArn": attribute("Function", "Arn")}}]},
        ),
        'Added ==>|"messages"| Function',
    ),
    "receipt rule of SES": (
        resource("SES::ReceiptRule", Rule={"Actions": [{"S3Action": {"BucketName": {"Ref": "Bucket"}}}]}),
        'Added ==>|"action 1"| Bucket',
    ),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_a_resource_that_connects_others_is_an_arrow(name: str) -> None:
    added, line = CONNECTIONS[name]
    parts = {"Bucket": BUCKET, "Function": function(), "Queue": QUEUE, "Topic": TOPIC}
    assert edges(parts) == []
    assert edges({**parts, "Added": added}) == [line]


def test_what_is_not_drawn_has_no_arrow() -> None:
    """A role for a job, which no picture has, and a notification to a function in another stack."""
    job = {**STATEMENT, "Resource": attribute("Job", "Arn")}
    elsewhere = [{"LambdaFunctionArn": {"Fn::ImportValue": "other"}, "Events": ["s3:ObjectCreated:*"]}]
    resources = {
        "Function": function(),
        "Job": resource("Glue::Job"),
        "Bucket": BUCKET,
        "Policy": resource("IAM::Policy", Roles=[{"Ref": "Role"}], PolicyDocument={"Statement": [job]}),
        "Notify": {
            "Type": "Custom::S3BucketNotifications",
            "Properties": {
                "BucketName": {"Ref": "Bucket"},
                "NotificationConfiguration": {"LambdaFunctionConfigurations": elsewhere},
            },
        },
    }
    assert edges(resources) == []


def test_what_lambda_reads_and_sends_for_a_function_is_one_arrow_each() -> None:
    """Its role needs the permissions, but it is Lambda that uses them."""
    statements = [{**STATEMENT, "Resource": attribute(name, "Arn")} for name in ("Source", "Failed", "Other")]
    resources = {
        "Function": function(),
        **{name: resource("SQS::Queue") for name in ("Source", "Failed", "Other")},
        "Policy": resource("IAM::Policy", Roles=[{"Ref": "Role"}], PolicyDocument={"Statement": statements}),
        "Mapping": resource(
            "Lambda::EventSourceMapping",
            EventSourceArn=attribute("Source", "Arn"),
            FunctionName={"Ref": "Function"},
            DestinationConfig={"OnFailure": {"Destination": attribute("Failed", "Arn")}},
        ),
    }
    assert edges(resources) == [
        'Function -->|"sends messages and Purge"| Other',
        "Source ==> Function",
        'Function -.->|"on failure"| Failed',
    ]


def test_a_topic_is_connected_to_the_queue_of_what_it_cannot_deliver() -> None:
    subscription = resource(
        "SNS::Subscription",
        TopicArn={"Ref": "Topic"},
        Endpoint=attribute("Queue", "Arn"),
        RedrivePolicy={"deadLetterTargetArn": attribute("Undelivered", "Arn")},
    )
    parts = {"Topic": TOPIC, "Queue": QUEUE, "Undelivered": QUEUE, "Subscription": subscription}
    assert edges(parts) == ["Topic ==> Queue", 'Topic -.->|"undelivered"| Undelivered']


def test_a_rule_is_connected_to_the_queue_of_what_it_cannot_deliver() -> None:
    undelivered = {"DeadLetterConfig": {"Arn": attribute("Queue", "Arn")}}
    rule = resource("Events::Rule", Targets=[{"Arn": attribute("Topic", "Arn")} | undelivered])
    parts = {"Topic": TOPIC, "Queue": QUEUE, "Rule": rule}
    assert edges(parts) == ["Rule ==> Topic", 'Rule -.->|"undelivered"| Queue']


def test_a_function_is_connected_to_the_gateway_endpoints_of_its_subnets() -> None:
    def association(subnet: str, table: str) -> dict[str, Any]:
        return resource(
            "EC2::SubnetRouteTableAssociation", SubnetId={"Ref": subnet}, RouteTableId={"Ref": table}
        )

    resources = {
        "Function": function(VpcConfig={"SubnetIds": [{"Ref": "Private"}]}),
        "First": association("Private", "PrivateTable"),
        "Second": association("Public", "PublicTable"),
        "Near": resource("EC2::VPCEndpoint", RouteTableIds=[{"Ref": "PrivateTable"}]),
        "Far": resource("EC2::VPCEndpoint", RouteTableIds=[{"Ref": "PublicTable"}]),
    }
    assert edges(resources) == ['Function ==>|"route"| Near']


def versions(function: str) -> dict[str, Any]:
    return {"Fn::Join": ["", [attribute(function, "Arn"), ":*"]]}


def test_a_state_machine_is_started_by_apis_and_uses_what_its_role_lets_it() -> None:
    machine, route = {"Ref": "Machine"}, ["arn:", {"Ref": "AWS::Partition"}, ":execute-api:"]
    statements = [
        {"Action": "lambda:InvokeFunction", "Resource": [attribute("Reserve", "Arn"), versions("Reserve")]},
        {
            "Action": "execute-api:Invoke",
            "Resource": {"Fn::Join": ["", [*route, {"Ref": "Http"}, "/prod/GET/prices"]]},
        },
    ]
    template = {"Fn::Join": ["", ['"stateMachineArn":"', machine, '"']]}
    resources = {
        "Rest": resource("ApiGateway::RestApi"),
        "Http": resource("ApiGatewayV2::Api"),
        "Reserve": function(),
        "Machine": resource("StepFunctions::StateMachine", RoleArn=attribute("Steps", "Arn")),
        "Method": resource(
            "ApiGateway::Method",
            RestApiId={"Ref": "Rest"},
            Integration={"RequestTemplates": {"application/json": template}},
        ),
        "Integration": resource(
            "ApiGatewayV2::Integration",
            ApiId={"Ref": "Http"},
            RequestParameters={"StateMachineArn": machine},
        ),
        "Policy": resource("IAM::Policy", Roles=[{"Ref": "Steps"}], PolicyDocument={"Statement": statements}),
    }
    assert edges(resources) == [
        "Rest ==> Machine",
        "Http ==> Machine",
        'Machine -->|"invokes"| Reserve',
        'Machine -->|"invokes"| Http',
    ]
