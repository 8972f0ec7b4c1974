"""What a picture shows: names for people, who starts what, and the ways of a network."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.errors import TaskError
from tasks.pictures import drawing
from tasks.pictures.graph import Edge, Graph, Node, graph_of
from tasks.pictures.kinds import KINDS, SENDERS, verbs
from tasks.template_facts import TemplateFacts


def resource(kind: str, path: str = "", **properties: object) -> dict[str, Any]:
    made: dict[str, Any] = {"Type": f"AWS::{kind}", "Properties": properties}
    return made | {"Metadata": {"aws:cdk:path": f"stack/{path}/Resource"}} if path else made


def graph(resources: dict[str, dict[str, Any]], **declared: object) -> Graph:
    return graph_of(TemplateFacts({"Resources": resources}), declared)


def mapping(source: str, function: str) -> dict[str, Any]:
    arn = {"Fn::GetAtt": [source, "Arn"]}
    return resource("Lambda::EventSourceMapping", EventSourceArn=arn, FunctionName={"Ref": function})


def role(name: str, target: str, *actions: str) -> dict[str, Any]:
    statement = {"Action": list(actions), "Resource": {"Fn::GetAtt": [target, "Arn"]}, "Effect": "Allow"}
    return resource("IAM::Policy", Roles=[{"Ref": name}], PolicyDocument={"Statement": [statement]})


FUNCTION = resource("Lambda::Function", "Orders/Function", Role={"Ref": "Role"})
ORDERS = {
    "Queue": resource("SQS::Queue", "Orders/Queue"),
    "Function": FUNCTION,
    "Mapping": mapping("Queue", "Function"),
}


def test_a_queue_that_nothing_in_the_stack_fills_has_a_sender() -> None:
    assert graph(ORDERS).edges == (
        Edge("Sender", "Orders/Queue", "sends messages", "event"),
        Edge("Orders/Queue", "Orders/Function", "messages", "event"),
    )


def test_a_party_takes_the_place_of_who_usually_starts_it() -> None:
    shop = graph(ORDERS, parties={"Shop": "Client"}, edges=[["Shop", "Orders/Queue", "orders"]])
    assert [node.id for node in shop.nodes] == ["Shop", "Orders/Queue", "Orders/Function"]


def test_a_declared_name_replaces_the_one_from_the_ids() -> None:
    names = {node.id: node.name for node in graph(ORDERS, names={"Orders/Queue": "Orders to book"}).nodes}
    assert names == {"Sender": "Sender", "Orders/Queue": "Orders to book", "Orders/Function": "Orders"}


@pytest.mark.parametrize("table", ["names", "groups", "hidden", "edges"])
def test_a_path_that_is_no_part_is_an_error(table: str) -> None:
    declared: dict[str, object] = {
        "names": {"Gone": "Orders"},
        "groups": {"Account": ["Gone"]},
        "hidden": ["Gone"],
        "edges": [["Gone", "Orders/Queue", "orders"]],
    }
    with pytest.raises(LookupError, match="'Gone' is no part of the picture; there are Orders/Queue"):
        graph(ORDERS, **{table: declared[table]})


def test_what_the_tables_do_not_have_is_an_error() -> None:
    with pytest.raises(LookupError, match="name: there is only edges, groups, hidden, names, parties"):
        graph(ORDERS, name={"Orders/Queue": "Orders"})
    with pytest.raises(
        LookupError, match="'dashed' is no kind of edge: there is event, use, failure, control"
    ):
        graph(ORDERS, edges=[["Orders/Queue", "Orders/Function", "orders", "dashed"]])


def test_a_name_is_as_long_as_it_must_be_to_be_the_only_one() -> None:
    paths = (
        "Standard/DeadLetterQueue",
        "Fifo/DeadLetterQueue",
        "Rows/Function/FailureQueue",
        "HTTPErrors404",
    )
    resources = {f"Q{number}": resource("SQS::Queue", path) for number, path in enumerate(paths)}
    assert [node.name for node in graph(resources).nodes] == [
        "Standard dead-letter queue",
        "FIFO dead-letter queue",
        "Failure queue",
        "HTTP errors404",
    ]


def test_a_function_that_reads_the_object_of_its_event_has_one_line_with_the_bucket() -> None:
    notify = {
        "Type": "Custom::S3BucketNotifications",
        "Properties": {
            "BucketName": {"Ref": "Bucket"},
            "NotificationConfiguration": {
                "LambdaFunctionConfigurations": [
                    {
                        "LambdaFunctionArn": {"Fn::GetAtt": ["Function", "Arn"]},
                        "Events": ["s3:ObjectCreated:*"],
                    }
                ]
            },
        },
    }
    resources = {
        "Bucket": resource("S3::Bucket", "Photographs"),
        "Function": FUNCTION,
        "Notify": notify,
        "Policy": role("Role", "Bucket", "s3:GetObject", "s3:ListBucket"),
    }
    assert graph(resources).edges == (
        Edge("Application", "Photographs", "uploads", "event"),
        Edge("Photographs", "Orders/Function", "object created", "event", back="reads"),
    )


def test_what_a_function_in_a_network_sends_goes_through_the_endpoint_of_the_service() -> None:
    def group(name: str) -> dict[str, Any]:
        return {"Fn::GetAtt": [name, "GroupId"]}

    resources = {
        "Network": resource("EC2::VPC", "Network"),
        "Mine": resource("EC2::SecurityGroup", VpcId={"Ref": "Network"}),
        "Theirs": resource("EC2::SecurityGroup", VpcId={"Ref": "Network"}),
        "Rule": resource(
            "EC2::SecurityGroupIngress",
            SourceSecurityGroupId=group("Mine"),
            GroupId=group("Theirs"),
            FromPort=443,
        ),
        "Function": resource(
            "Lambda::Function",
            "Orders",
            Role={"Ref": "Role"},
            VpcConfig={"SecurityGroupIds": [group("Mine")]},
        ),
        "Endpoint": resource(
            "EC2::VPCEndpoint",
            "Network/sqs",
            SecurityGroupIds=[group("Theirs")],
            VpcId={"Ref": "Network"},
            ServiceName="com.amazonaws.eu-central-1.sqs",
        ),
        "Queue": resource("SQS::Queue", "Parcels"),
        "Policy": role("Role", "Queue", "sqs:SendMessage"),
    }
    made = graph(resources)
    assert made.edges == (
        Edge("Caller", "Orders", "invokes", "event"),
        Edge("Orders", "Network/sqs", "TCP 443", "use"),
        Edge("Network/sqs", "Parcels", "sends messages", "use"),
    )
    inside = {node.id: node.group for node in made.nodes}
    network = "VPC, isolated subnets"
    assert inside == {"Caller": "", "Orders": network, "Network/sqs": network, "Parcels": ""}


def test_a_key_is_shown_only_where_it_is_used() -> None:
    encrypted = resource(
        "Lambda::Function", "Signs", Role={"Ref": "Role"}, KmsKeyArn={"Fn::GetAtt": ["Used", "Arn"]}
    )
    keys = {name: resource("KMS::Key", name) for name in ("Used", "Unused")}
    assert [node.id for node in graph({"Function": encrypted, **keys}).nodes] == ["Used", "Signs"]


def test_a_pool_whose_triggers_invoke_a_function_is_its_only_caller() -> None:
    resources = {
        "Users": resource(
            "Cognito::UserPool", "Users", LambdaConfig={"PostConfirmation": {"Ref": "Function"}}
        ),
        "Function": FUNCTION,
        "Table": resource("DynamoDB::Table", "Profiles"),
        "Policy": role("Role", "Table", "dynamodb:PutItem"),
    }
    assert graph(resources).edges == (
        Edge("User", "Users", "signs up, signs in", "event"),
        Edge("Users", "Orders/Function", "post confirmation", "event"),
        Edge("Orders/Function", "Profiles", "writes", "use"),
    )


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        (["GetItem", "PutItem"], "reads and writes"),
        (["PutItem", "GetItem", "Query"], "reads and writes"),
        (["ListBucket", "GetObject"], "reads"),
        (["ListBucket"], "lists"),
        (["InvokeFunction"], "invokes"),
        (["SendMessage"], "sends messages"),
        (["FlyToTheMoon"], "FlyToTheMoon"),
    ],
)
def test_actions_have_verbs_for_people(actions: list[str], words: str) -> None:
    assert verbs(actions) == words


def test_the_graph_of_a_picture_survives_what_xml_escapes() -> None:
    given = Graph((Node("A & B", "<Orders>", "SQS queue", ""),), ())
    laid = {"width": 90, "height": 90, "children": [{"id": "A & B", "x": 1, "y": 1}], "edges": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_symbol", lambda icon: "")
        patch.setattr(drawing, "_is_tile", lambda icon: True)
        svg = drawing._svg("Orders", given, laid)
    assert drawing.recorded(svg) == given.as_json()
    assert "<Orders>" not in svg


def test_every_icon_is_one_of_aws() -> None:
    if not drawing._ICONS.exists():
        pytest.skip("`python3 run.py docs` installs the icons")
    starters = [kind.starter.icon for kind in KINDS.values() if kind.starter]
    for icon in {*(kind.icon for kind in KINDS.values()), *starters, *(icon for _, icon in SENDERS.values())}:
        assert drawing._symbol(icon).startswith(f'<symbol id="{icon}"')
    with pytest.raises(TaskError, match="NoSuchThing: aws-icons has no such icon"):
        drawing._symbol("NoSuchThing")
