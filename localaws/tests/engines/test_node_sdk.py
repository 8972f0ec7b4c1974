"""Node.js functions have the AWS SDK for JavaScript, and use it with their own role."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions, zipped
from helpers.stacks import arn, deploy, role
from localaws import LocalAws

pytestmark = pytest.mark.local

# Runs what the test sends; an error comes back as what a handler would look at.
HANDLER = """
const AsyncFunction = (async () => {}).constructor;
exports.handler = async (event) => {
  try {
    return await new AsyncFunction("require", "event", event.code)(require, event);
  } catch (error) {
    return { name: error.name, message: error.message, code: error.code, ...error };
  }
};
"""


class Script:
    """A Node.js function that runs scripts.

    Args:
        functions: Creates the function.
        allowed: The actions of its role, each with its resource.
        files: More files of its package.
    """

    def __init__(
        self, functions: Functions, *allowed: tuple[str, str], files: dict[str, str] | None = None
    ) -> None:
        self.functions = functions
        self.name = f"function-{uuid.uuid4().hex[:8]}"
        functions.aws.client("lambda").create_function(
            FunctionName=self.name,
            Role=functions.role(*allowed),
            Runtime="nodejs24.x",
            Handler="index.handler",
            Timeout=20,
            Code={"ZipFile": zipped({"index.js": HANDLER, **(files or {})})},
        )

    def run(self, code: str, **event: Any) -> Any:
        """The result of a script."""
        return self.functions.invoke(self.name, {"code": code, **event}).payload


@pytest.fixture
def anything(functions: Functions) -> Script:
    return Script(functions, ("*", "*"))


def test_commands_and_methods_reach_the_emulator(anything: Script, local_aws: LocalAws) -> None:
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    found = anything.run(
        """
        const { S3, S3Client, ListBucketsCommand } = require("@aws-sdk/client-s3");
        const created = await new S3({}).createBucket({ Bucket: event.bucket });
        const listed = await new S3Client().send(new ListBucketsCommand({}));
        return { status: created.$metadata.httpStatusCode, names: listed.Buckets.map((b) => b.Name) };
        """,
        bucket=bucket,
    )
    assert found["status"] == 200
    assert bucket in found["names"]
    local_aws.client("s3").head_bucket(Bucket=bucket)


def test_packages_are_found_by_the_names_of_the_javascript_sdk(anything: Script) -> None:
    # Services whose package is called differently from botocore's folder, and some that are not.
    found = anything.run(
        """
        const { CloudWatchLogs } = require("@aws-sdk/client-cloudwatch-logs");
        const { SecretsManager } = require("@aws-sdk/client-secrets-manager");
        const { SFN } = require("@aws-sdk/client-sfn");
        const { DynamoDB } = require("@aws-sdk/client-dynamodb");
        return [
          (await new CloudWatchLogs({}).describeLogGroups({})).logGroups.length >= 0,
          (await new SecretsManager({}).listSecrets({})).SecretList,
          (await new SFN({}).listStateMachines({})).stateMachines,
          (await new DynamoDB({}).listTables({})).TableNames,
          require("@aws-sdk/client-s3-control").S3ControlClient.name,
          require("@aws-sdk/client-global-accelerator").GlobalAccelerator.name,
          require("@aws-sdk/client-lex-models-v2").CreateBotCommand.name,
          require("@aws-sdk/client-cloudfront-keyvaluestore").GetKeyCommand.name,
        ];
        """
    )
    assert found[:4] == [True, [], [], []]
    assert len(found) == 8  # the other packages were found


def test_bytes_dates_and_streams_are_javascripts(anything: Script) -> None:
    found = anything.run(
        """
        const { S3 } = require("@aws-sdk/client-s3");
        const { KMS } = require("@aws-sdk/client-kms");
        const s3 = new S3({}), kms = new KMS({}), Bucket = event.bucket;
        await s3.createBucket({ Bucket });
        await s3.putObject({ Bucket, Key: "k", Body: new Uint8Array([104, 105]) });
        const read = await s3.getObject({ Bucket, Key: "k" });
        const { KeyMetadata: key } = await kms.createKey({});
        const sealed = await kms.encrypt({ KeyId: key.KeyId, Plaintext: Buffer.from("hi") });
        const opened = await kms.decrypt({ CiphertextBlob: sealed.CiphertextBlob });
        return {
          text: await read.Body.transformToString(),
          date: read.LastModified instanceof Date && Math.abs(Date.now() - read.LastModified) < 60000,
          bytes: sealed.CiphertextBlob instanceof Uint8Array,
          opened: Buffer.from(opened.Plaintext).toString(),
        };
        """,
        bucket=f"bucket-{uuid.uuid4().hex[:8]}",
    )
    assert found == {"text": "hi", "date": True, "bytes": True, "opened": "hi"}


def test_a_body_is_a_stream_of_node(anything: Script) -> None:
    found = anything.run(
        """
        const { S3 } = require("@aws-sdk/client-s3");
        const { pipeline } = require("node:stream/promises");
        const s3 = new S3({}), Bucket = event.bucket, chunks = [];
        await s3.createBucket({ Bucket });
        await s3.putObject({ Bucket, Key: "k", Body: "hello" });
        const read = async () => (await s3.getObject({ Bucket, Key: "k" })).Body;
        for await (const chunk of await read()) chunks.push(chunk);
        const file = `${process.env.TMPDIR ?? "/tmp"}/${event.bucket}`, fs = require("node:fs");
        await pipeline(await read(), fs.createWriteStream(file));
        return {
          iterated: Buffer.concat(chunks).toString(),
          piped: fs.readFileSync(file, "utf8"),
          web: await new Response((await read()).transformToWebStream()).text(),
        };
        """,
        bucket=f"bucket-{uuid.uuid4().hex[:8]}",
    )
    assert found == {"iterated": "hello", "piped": "hello", "web": "hello"}


def test_every_blob_can_be_made_text(anything: Script) -> None:
    found = anything.run(
        """
        const { Lambda } = require("@aws-sdk/client-lambda");
        const { KMS } = require("@aws-sdk/client-kms");
        const Payload = JSON.stringify({ code: "return 'hi'" });
        const answer = await new Lambda({}).invoke({ FunctionName: event.name, Payload });
        const { Plaintext } = await new KMS({}).generateRandom({ NumberOfBytes: 3 });
        return {
          utf8: answer.Payload.transformToString(),
          base64: answer.Payload.transformToString("base64"),
          bytes: Plaintext.transformToString("hex").length,
        };
        """,
        name=anything.name,
    )
    assert found == {"utf8": '"hi"', "base64": "ImhpIg==", "bytes": 6}


def test_the_payload_of_an_invocation_is_bytes_and_no_stream(anything: Script) -> None:
    found = anything.run(
        """
        const { Lambda } = require("@aws-sdk/client-lambda");
        const Payload = JSON.stringify({ code: "return 'hi'" });
        const answer = await new Lambda({}).invoke({ FunctionName: event.name, Payload });
        return new TextDecoder().decode(Buffer.from(answer.Payload));
        """,
        name=anything.name,
    )
    assert found == '"hi"'


@pytest.mark.parametrize(
    ("package", "client", "call", "name", "status"),
    [
        ("s3", "S3", "getObject({ Bucket: event.bucket, Key: 'none' })", "NoSuchBucket", 404),
        ("iam", "IAM", "getRole({ RoleName: 'none' })", "NoSuchEntityException", 404),
        ("ec2", "EC2", "describeSecurityGroups({ GroupIds: ['sg-0'] })", "InvalidGroupId.Malformed", 400),
        ("ssm", "SSM", "getParameter({ Name: 'none' })", "ParameterNotFound", 400),
    ],
)
def test_errors_have_the_names_of_the_javascript_sdk(
    anything: Script, package: str, client: str, call: str, name: str, status: int
) -> None:
    code = f"const sdk = require('@aws-sdk/client-{package}'); await new sdk.{client}({{}}).{call};"
    found = anything.run(code, bucket=f"bucket-{uuid.uuid4().hex[:8]}")
    assert (found["name"], found["$metadata"]["httpStatusCode"], found["$fault"]) == (name, status, "client")


def test_a_function_calls_with_its_own_role(functions: Functions) -> None:
    found = Script(functions).run("await new (require('@aws-sdk/client-sqs').SQS)({}).listQueues({});")
    assert "AccessDenied" in found["name"]
    assert "sqs:ListQueues" in found["message"]


def test_a_client_may_name_a_region(anything: Script, local_aws: LocalAws) -> None:
    name = f"/{uuid.uuid4().hex[:8]}"
    code = """
        const { SSM } = require("@aws-sdk/client-ssm");
        const there = new SSM({ region: "eu-west-1" });
        await there.putParameter({ Name: event.name, Value: "v", Type: "String" });
        return await there.config.region();
    """
    assert anything.run(code, name=name) == "eu-west-1"
    there = local_aws.session.client("ssm", region_name="eu-west-1")
    assert there.get_parameter(Name=name)["Parameter"]["Value"] == "v"


def test_a_client_may_assume_a_role(functions: Functions) -> None:
    aws = functions.aws
    trusted = role(("sqs:ListQueues", "*"))
    principal = {"AWS": f"arn:aws:iam::{aws.account}:root"}
    trusted["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] = principal
    other = deploy(aws, {"Role": trusted}, {"Arn": arn("Role")}).outputs["Arn"]
    code = """
        const { SQS } = require("@aws-sdk/client-sqs");
        const { STS } = require("@aws-sdk/client-sts");
        const { fromTemporaryCredentials } = require("@aws-sdk/credential-providers");
        const params = { RoleArn: event.role, RoleSessionName: "visit", ExternalId: undefined };
        const credentials = fromTemporaryCredentials({ params });
        await new SQS({ credentials }).listQueues({});
        return (await new STS({ credentials }).getCallerIdentity({})).Arn;
    """
    found = Script(functions, ("sts:AssumeRole", other)).run(code, role=other)
    assert found.endswith(f"assumed-role/{other.rsplit('/', 1)[-1]}/visit")


def test_clients_that_put_the_account_before_the_host_reach_the_emulator(anything: Script) -> None:
    code = """
        const { S3Control } = require("@aws-sdk/client-s3-control");
        await new S3Control({}).getPublicAccessBlock({ AccountId: "123456789012" });
    """
    found = anything.run(code)
    assert found["$metadata"]["httpStatusCode"] >= 400  # an answer: the emulator has no such call


def test_a_package_in_the_functions_code_takes_precedence(functions: Functions) -> None:
    own = {"node_modules/@aws-sdk/client-s3/index.js": "exports.mine = true;"}
    assert Script(functions, files=own).run("return require('@aws-sdk/client-s3').mine") is True


def test_a_service_that_does_not_exist_has_no_package(anything: Script) -> None:
    found = anything.run("require('@aws-sdk/client-teleport')")
    assert "@aws-sdk/client-teleport" in found["message"]


def test_the_emulator_still_lacks_most_of_the_sdk(stock_functions: Functions) -> None:
    script = Script(stock_functions, ("*", "*"))
    for package in ("client-s3", "client-ec2", "client-iam", "credential-providers"):
        assert package in script.run(f"require('@aws-sdk/{package}')")["message"]
