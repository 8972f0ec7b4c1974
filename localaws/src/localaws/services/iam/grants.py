"""The statement that a policy lacks, in Python for the CDK.

It allows one action on one resource. A method of the CDK is used where it allows no more than that; one that
allows more is named besides, as the usual way. `tests/iam/test_grants.py` runs the code, and compares the
methods with what they allow.

https://docs.aws.amazon.com/cdk/v2/guide/define-iam-l2.html
https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_iam/PolicyStatement.html
https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Sequence

from ministack.core import iam_evaluator

from localaws.explanations import Grant, Layer, pattern
from localaws.services.cloudformation.constructs import Construct, construct_of, functions_of
from localaws.services.iam.statements import role_of

_WIDTH = 100

# What a construct calls its ARN, by the type of its resource and the attribute in the template.
_ARNS = {
    ("AWS::S3::Bucket", "Arn"): "bucket_arn",
    ("AWS::DynamoDB::Table", "Arn"): "table_arn",
    ("AWS::DynamoDB::Table", "StreamArn"): "table_stream_arn",
    ("AWS::DynamoDB::GlobalTable", "Arn"): "table_arn",
    ("AWS::DynamoDB::GlobalTable", "StreamArn"): "table_stream_arn",
    ("AWS::SQS::Queue", "Arn"): "queue_arn",
    ("AWS::SNS::Topic", "Ref"): "topic_arn",
    ("AWS::KMS::Key", "Arn"): "key_arn",
    ("AWS::Lambda::Function", "Arn"): "function_arn",
    ("AWS::Lambda::Alias", "Ref"): "function_arn",
    ("AWS::Kinesis::Stream", "Arn"): "stream_arn",
    ("AWS::KinesisFirehose::DeliveryStream", "Arn"): "delivery_stream_arn",
    ("AWS::StepFunctions::StateMachine", "Ref"): "state_machine_arn",
    ("AWS::Events::EventBus", "Arn"): "event_bus_arn",
    ("AWS::Events::Rule", "Arn"): "rule_arn",
    ("AWS::SecretsManager::Secret", "Arn"): "secret_arn",
    ("AWS::SecretsManager::Secret", "Ref"): "secret_arn",
    ("AWS::SSM::Parameter", ""): "parameter_arn",
    ("AWS::Logs::LogGroup", "Arn"): "log_group_arn",
    ("AWS::EFS::FileSystem", "Arn"): "file_system_arn",
    ("AWS::ECR::Repository", "Arn"): "repository_arn",
    ("AWS::IAM::Role", "Arn"): "role_arn",
    ("AWS::IAM::User", "Arn"): "user_arn",
}

#: The methods that allow this action on the resource, and nothing else.
EXACT = {
    "sns:Publish": "grant_publish",
    "kms:Decrypt": "grant_decrypt",
    "kms:Sign": "grant_sign",
    "states:StartExecution": "grant_start_execution",
    "states:StartSyncExecution": "grant_start_sync_execution",
    "events:PutEvents": "grant_put_events_to",
}

#: The methods that are used for an action, and allow others as well.
USUAL = {
    action: method
    for method, actions in {
        "grant_read": (
            *("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:ListBucket"),
            *("kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStream"),
            *("kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:SubscribeToShard"),
            *("logs:FilterLogEvents", "logs:GetLogEvents", "secretsmanager:GetSecretValue"),
            *("secretsmanager:DescribeSecret",),
        ),
        "grant_put": ("s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"),
        "grant_delete": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
        "grant_read_data": (
            *("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query", "dynamodb:Scan"),
            *("dynamodb:ConditionCheckItem",),
        ),
        "grant_write_data": (
            *("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"),
        ),
        "grant_stream_read": (
            *("dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream"),
            *("dynamodb:ListStreams",),
        ),
        "grant_send_messages": ("sqs:SendMessage", "sqs:GetQueueUrl"),
        "grant_consume_messages": (
            *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"),
            *("sqs:GetQueueAttributes",),
        ),
        "grant_encrypt": ("kms:Encrypt", "kms:GenerateDataKey"),
        "grant_invoke": ("lambda:InvokeFunction",),
        "grant_invoke_url": ("lambda:InvokeFunctionUrl",),
        "grant_write": (
            *("kinesis:PutRecord", "kinesis:PutRecords", "logs:CreateLogStream", "logs:PutLogEvents"),
            *("secretsmanager:PutSecretValue",),
        ),
        "grant_put_records": ("firehose:PutRecord", "firehose:PutRecordBatch"),
        "grant_pull": ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"),
        "grant_push": ("ecr:PutImage", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart"),
    }.items()
    for action in actions
}


def grant(request: iam_evaluator.EvalContext, layer: Layer, policy: str, service: str = "") -> Grant:
    """The statement that would let a policy allow a request.

    Args:
        request: What was denied.
        layer: The kind of policy that has no statement for it.
        policy: The ARN of that policy, if it has one.
        service: The principal of the service that asks, if one does.
    """
    usual, resource = "", request.resource_arn
    own = layer in ("identity policy", "permissions boundary", "session policy")
    code = _Code(_place(request, own=own))
    if own:
        resource = pattern(resource)
        statement = code.statement(request.action, resource)
        if layer == "session policy":
            text = f"{statement}  # in the policies that the session is made with"
        elif layer == "permissions boundary" and ":iam::aws:" in policy:
            text = f"{statement}  # in a boundary of your own, as AWS's {policy} cannot be changed"
        elif layer == "permissions boundary":
            text = f"{code.named(policy, 'boundary')}.add_statements({statement})"
        else:
            grantee, method = code.grantee(request.principal_arn)
            owner = construct_of(resource)
            if owner is not None and (owner.level == "L1" or code.is_elsewhere(owner)):
                owner = None  # it has no such methods, or they cannot refer to it
            if request.action in EXACT and owner is not None and owner.arn == resource:
                text = f"{code.named(resource)}.{EXACT[request.action]}({grantee})"
            elif request.action == "rds-db:connect" and owner is not None:
                user = resource.rpartition("/")[2]
                text = f"{code.named(resource)}.grant_connect({grantee}, {_text(user)})"
            else:
                text = f"{grantee}.{method}({statement})" if method else f"{statement}  # for {grantee}"
                if request.action in USUAL and owner is not None:
                    usual = f"{code.named(resource)}.{USUAL[request.action]}({grantee})"
    elif service and request.action == "lambda:InvokeFunction":
        text = code.permission(request, service)
    else:
        text = code.in_resource(request, layer, service)
    return Grant(layer, (request.action,), (resource,), code.lines(text), usual)


class _Code:
    """Lines of Python, and the constructs that they name."""

    def __init__(self, place: tuple[str, str]) -> None:
        self._place = place  # the Region and account of the stack that the code is for
        self._names: dict[str, str] = {}  # of variables, by what they stand for
        self._comments: list[str] = []

    def is_elsewhere(self, construct: Construct) -> bool:
        """Whether it is of another account or Region, so that the CDK cannot refer to a name it generates.

        https://docs.aws.amazon.com/cdk/v2/guide/resources.html#resource-physical-names
        """
        return all(construct.place) and all(self._place) and construct.place != self._place

    def lines(self, text: str) -> str:
        """The code, after a line for each variable."""
        if len(text) > _WIDTH and text.endswith(")"):
            start = text.index("(") + 1
            text = f"{text[:start]}\n    {text[start:-1]}\n)"
        return "\n".join([*self._comments, text])

    def named(self, arn: str, otherwise: str = "") -> str:
        """The variable for what has an ARN."""
        found = construct_of(arn)
        if found is not None:
            what = {"L1": "L1 construct", "": "the resource STACK/LOGICAL_ID"}.get(found.level, "construct")
            return self._variable(found.path, found.path.rpartition("/")[2], found.type, what)
        return self._variable(arn, otherwise or _kind(arn), "", "in no deployed stack:")

    def _variable(self, means: str, id: str, type: str, what: str) -> str:
        if means not in self._names:
            stem = re.sub(r"(?<=.)[0-9A-F]{8}$", "", id)  # which the CDK adds to the id of a construct
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|\W+", "_", stem).lower().strip("_")
            if not name.isidentifier() or keyword.iskeyword(name) or name in ("default", "iam"):
                name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type.rpartition("::")[2]).lower() or "it"
            while name in self._names.values():
                name += "_2"
            self._names[means] = name
            self._comments.append(f"# {name}: {what} {means}")
        return self._names[means]

    def grantee(self, principal: str) -> tuple[str, str]:
        """The variable for a principal, and its method that adds a statement; an L1 construct has none."""
        arn = _entity(principal)
        functions = functions_of(arn)
        if len(functions) == 1 and functions[0].level != "L1":
            return self.named(functions[0].arn), "add_to_role_policy"
        role = construct_of(arn)
        return self.named(arn), "" if role and role.level == "L1" else "add_to_policy"

    def arn(self, arn: str) -> str:
        """The expression for an ARN."""
        found = construct_of(arn)
        attribute = _ARNS.get((found.type, found.attribute)) if found else None
        if found and found.level != "L1" and found.arn.split(":")[2] == "execute-api" and arn.count("/") >= 3:
            stage, method, path = arn[len(found.arn) + 1 :].split("/", 2)
            words = ", ".join(map(_text, (method, f"/{path}", stage)))
            return f"{self.named(arn)}.arn_for_execute_api({words})"
        if found is None or attribute is None or self.is_elsewhere(found):
            return _text(arn)
        if found.level == "L1":
            attribute = "ref" if found.attribute == "Ref" else f"attr_{_snake(found.attribute)}"
        variable, rest = self.named(arn), arn[len(found.arn) :]
        if found.type == "AWS::S3::Bucket" and rest and found.level != "L1":
            return f"{variable}.arn_for_objects({_text(rest[1:])})"
        if not rest or (found.type == "AWS::Logs::LogGroup" and rest == ":*"):  # which its ARN ends with
            return f"{variable}.{attribute}"
        return f'f"{{{variable}.{attribute}}}{_text(rest.replace("{", "{{").replace("}", "}}"))[1:]}'

    def statement(self, action: str, *resources: str, more: Sequence[str] = ()) -> str:
        """A statement that allows an action."""
        arns = ", ".join(map(self.arn, resources))
        parts = [f"actions=[{_text(action)}]", *more, *([f"resources=[{arns}]"] if resources else [])]
        return f"iam.PolicyStatement({', '.join(parts)})"

    def permission(self, request: iam_evaluator.EvalContext, service: str) -> str:
        """What allows a service to invoke a function."""
        source, account = _source(request)
        found = construct_of(request.resource_arn)
        function, name = self.named(request.resource_arn), _text(f"Allow{_short(service)}{_from(source)}")
        parts = [name, f'principal=iam.ServicePrincipal("{service}")']
        if found and found.level == "L1":
            parts = [function, name, f"function_name={function}.ref", f"principal={_text(service)}"]
            parts += ['action="lambda:InvokeFunction"']
        parts += [f"source_arn={self.arn(source)}"] if source else []
        parts += [f"source_account={_text(account)}"] if account else []
        method = "lambda_.CfnPermission" if found and found.level == "L1" else f"{function}.add_permission"
        return f"{method}({', '.join(parts)})"

    def in_resource(self, request: iam_evaluator.EvalContext, layer: Layer, service: str) -> str:
        """A statement in the policy of a resource."""
        if service:
            principal, (source, account) = f'iam.ServicePrincipal("{service}")', _source(request)
        else:
            arn, source, account = _entity(request.principal_arn), "", ""
            found = construct_of(arn)
            usable = found is not None and found.level != "L1" and not self.is_elsewhere(found)
            variable = self.named(arn) if usable else ""
            principal = variable or f"iam.ArnPrincipal({_text(arn)})"
        more = [f"principals=[{principal}]"]
        conditions = [f'"ArnEquals": {{"aws:SourceArn": {self.arn(source)}}}'] if source else []
        conditions += [f'"StringEquals": {{"aws:SourceAccount": "{account}"}}'] if account else []
        more += [f"conditions={{{', '.join(conditions)}}}"] if conditions else []
        owner, of = self.named(request.resource_arn), construct_of(request.resource_arn)
        if request.action == "lambda:InvokeFunction":  # whose policy has a method of its own
            caller = _text(f"AllowInvoke{_from(_entity(request.principal_arn))}")
            return f"{owner}.add_permission({caller}, principal={principal})"
        l1 = of is not None and of.level == "L1"
        if layer == "trust policy":
            statement = self.statement(request.action, more=more)
            if l1:
                return f"{statement}  # for the AssumeRolePolicyDocument of {owner}"
            return f"{owner}.assume_role_policy.add_statements({statement})"
        if request.action.startswith("events:"):  # which asks for an id
            more.insert(
                0, f'sid="Allow{_short(service) or "Caller"}{_from(source or request.principal_arn)}"'
            )
        resources = () if request.action.startswith("ecr:") else (request.resource_arn,)
        if layer == "key policy":  # a key is "*" in its own policy
            more, resources = [*more, 'resources=["*"]'], ()
        statement = self.statement(request.action, *resources, more=more)
        if l1:
            return f"{statement}  # for the policy of {owner}"
        return f"{owner}.add_to_resource_policy({statement})"


def _place(request: iam_evaluator.EvalContext, *, own: bool) -> tuple[str, str]:
    """The Region and account of the stack that a grant is for: of the principal, or of the resource."""
    arn = _entity(request.principal_arn) if own else request.resource_arn
    found = next(iter(functions_of(arn)), None) or construct_of(arn)
    if found is not None:
        return found.place
    region, account = [*arn.split(":"), "", "", "", "", ""][3:5]
    return region or request.region, account or request.principal_account


def _from(arn: str) -> str:
    """What makes an id of a permission unique: the construct or resource that it is for."""
    found = construct_of(_entity(arn)) if arn else None
    name = (found.path.partition("/")[2] or found.path) if found else arn.split(":", 5)[-1]
    return "From" + re.sub(r"\W", "", name) if name and name != "*" else ""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _entity(principal: str) -> str:
    """The ARN of the role of a session, and of any other principal its own."""
    return role_of(principal) or principal


def _source(request: iam_evaluator.EvalContext) -> tuple[str, str]:
    context = request.service_context
    return str(context.get("aws:sourcearn") or ""), str(context.get("aws:sourceaccount") or "")


def _short(service: str) -> str:
    """A name for a service in an id: `S3` for `s3.amazonaws.com`."""
    return service.partition(".")[0].title().replace("-", "")


def _kind(arn: str) -> str:
    """What to call a resource of which only the ARN is known."""
    parts = [*arn.split(":", 5), "", "", "", "", ""]
    kinds = {"s3": "bucket", "sqs": "queue", "sns": "topic", "kms": "key", "ecr": "repository"}
    return kinds.get(parts[2]) or re.split("[:/]", parts[5])[0] or parts[2]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
