"""Functions from container images: which image a function gets, and whether Lambda may pull it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.images import Images
from helpers.lambda_functions import Functions
from localaws import LocalAws

pytestmark = pytest.mark.local
_OTHER = "222222222222"


class Made(Functions):
    """Functions from images of one repository."""

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        super().__init__(aws)
        self.images = Images(aws, folder)
        self.lambda_ = aws.client("lambda")
        self.uri = self.images.repository(folder.name.replace("_", "-").lower())
        self.name = self.uri.partition("/")[2]

    def from_image(self, uri: str, **settings: Any) -> str:
        """Create a function, and return its name."""
        name = f"image-{len(self.lambda_.list_functions()['Functions'])}"
        given = {"Role": self.role(), "PackageType": "Image", "Timeout": 10, **settings}
        self.lambda_.create_function(FunctionName=name, Code={"ImageUri": uri}, **given)
        return name

    def code(self, name: str) -> dict[str, Any]:
        """What GetFunction says of the code."""
        return dict(self.lambda_.get_function(FunctionName=name)["Code"])

    def policy(self, *statements: dict[str, Any]) -> None:
        """Set the policy of the repository."""
        text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.images.ecr.set_repository_policy(repositoryName=self.name, policyText=text)


@pytest.fixture
def made(local_aws: LocalAws, tmp_path: Path) -> Made:
    return Made(local_aws, tmp_path)


def _statement(principal: Any, effect: str = "Allow", condition: Any = None) -> dict[str, Any]:
    actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    found = {"Sid": "own", "Effect": effect, "Principal": principal, "Action": actions}
    return found | ({"Condition": condition} if condition else {})


def test_a_tag_becomes_a_digest(made: Made) -> None:
    one, two = made.images.build(), made.images.build({"app.py": "handler = lambda event, context: 2"})
    made.images.push(f"{made.uri}:live", one)
    name = made.from_image(f"{made.uri}:live")
    published = made.lambda_.publish_version(FunctionName=name)
    assert made.code(name) == {
        "RepositoryType": "ECR",
        "ImageUri": f"{made.uri}:live",
        "ResolvedImageUri": f"{made.uri}@{one}",
    }
    made.images.push(f"{made.uri}:live", two)
    made.lambda_.update_function_configuration(FunctionName=name, MemorySize=256)
    assert made.code(name)["ResolvedImageUri"] == f"{made.uri}@{one}"
    updated = made.lambda_.update_function_code(FunctionName=name, ImageUri=f"{made.uri}:live")
    assert updated["CodeSha256"] == two.removeprefix("sha256:")
    assert made.code(name)["ResolvedImageUri"] == f"{made.uri}@{two}"
    assert published["CodeSha256"] == one.removeprefix("sha256:")


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (":none", "Source image .* does not exist. Provide a valid source image."),
        ("@sha256:" + "0" * 64, "Source image .* does not exist. Provide a valid source image."),
        ("", "Source image .* is not valid. Provide a valid source image."),
        ("-other:1", "Source image .* does not exist."),
    ],
)
def test_images_that_are_not_there(made: Made, tail: str, said: str) -> None:
    made.images.push(f"{made.uri}:1", made.images.build())
    for deploy in (_create, _update):
        with pytest.raises(made.lambda_.exceptions.InvalidParameterValueException, match=said):
            deploy(made, f"{made.uri}{tail}")


def test_a_repository_in_another_region(made: Made) -> None:
    made.images.push(f"{made.uri}:1", made.images.build())
    with pytest.raises(ClientError, match="is not valid"):
        made.from_image(f"{made.uri.replace('us-east-1', 'eu-west-1')}:1")


def _create(made: Made, uri: str) -> None:
    made.from_image(uri)


def _update(made: Made, uri: str) -> None:
    made.lambda_.update_function_code(FunctionName=made.from_image(f"{made.uri}:1"), ImageUri=uri)


def test_images_of_other_kinds(made: Made) -> None:
    image = made.images.build()
    made.images.push(f"{made.uri}:1", image)
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    kinds = {"index": json.dumps(index)}
    for tag, manifest in kinds.items():
        made.images.ecr.put_image(repositoryName=made.name, imageManifest=manifest, imageTag=tag)
    made.images.push(f"{made.uri}:windows", made.images.changed(image, os="windows"))
    for tag in ("index", "windows"):
        with pytest.raises(
            ClientError, match="The image manifest, config or layer media type for the source"
        ):
            made.from_image(f"{made.uri}:{tag}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"Runtime": "python3.13"}, "Runtime and Handler parameters are not supported"),
        ({"Handler": "app.handler"}, "Runtime and Handler parameters are not supported"),
        ({"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:x:1"]}, "layers are not supported"),
    ],
)
def test_settings_for_zip_files(made: Made, settings: Any, said: str) -> None:
    made.images.push(f"{made.uri}:1", made.images.build())
    with pytest.raises(made.lambda_.exceptions.InvalidParameterValueException, match=said):
        made.from_image(f"{made.uri}:1", **settings)
    name = made.from_image(f"{made.uri}:1")
    with pytest.raises(made.lambda_.exceptions.InvalidParameterValueException, match=said):
        made.lambda_.update_function_configuration(FunctionName=name, **settings)


def test_a_function_stays_what_it_is(made: Made) -> None:
    uri = made.images.push(f"{made.uri}:1", made.images.build())
    with pytest.raises(
        ClientError, match="Please provide ImageUri when updating a function with packageType"
    ):
        made.lambda_.update_function_code(FunctionName=made.from_image(uri), ZipFile=b"")
    with pytest.raises(ClientError, match="Please don't provide ImageUri when updating a function with pack"):
        made.lambda_.update_function_code(FunctionName=made.make("x = 1"), ImageUri=uri)


def test_code_is_in_one_place(made: Made) -> None:
    uri = made.images.push(f"{made.uri}:1", made.images.build())
    said = "Please do not provide other FunctionCode parameters when providing a ZipFile."
    with pytest.raises(made.lambda_.exceptions.InvalidParameterValueException, match=said):
        made.lambda_.create_function(
            FunctionName="two",
            Role=made.role(),
            PackageType="Image",
            Code={"ImageUri": uri, "ZipFile": b"x"},
        )
    with pytest.raises(made.lambda_.exceptions.InvalidParameterValueException, match=said):
        made.lambda_.update_function_code(
            FunctionName=made.from_image(uri), ImageUri=uri, ZipFile=b"x", DryRun=True
        )


def test_lambda_adds_its_statement_to_the_policy(made: Made) -> None:
    made.from_image(made.images.push(f"{made.uri}:1", made.images.build()))
    text = made.images.ecr.get_repository_policy(repositoryName=made.name)["policyText"]
    (statement,) = json.loads(text)["Statement"]
    assert statement["Sid"] == "LambdaECRImageRetrievalPolicy"
    functions = f"arn:aws:lambda:us-east-1:{made.aws.account}:function:*"
    assert statement["Condition"] == {"StringLike": {"aws:sourceArn": functions}}


def test_a_denial_stays(made: Made) -> None:
    uri = made.images.push(f"{made.uri}:1", made.images.build())
    name = made.from_image(uri)
    made.policy(_statement({"Service": "lambda.amazonaws.com"}, "Deny"))
    update = partial(made.lambda_.update_function_code, FunctionName=name, ImageUri=uri)
    for deploy in (partial(made.from_image, uri), update):
        with pytest.raises(ClientError, match="Lambda does not have permission to access the ECR") as error:
            deploy()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert made.code(name)["ResolvedImageUri"] == uri


def test_a_caller_who_may_not_change_the_policy(made: Made) -> None:
    uri = made.images.push(f"{made.uri}:1", made.images.build())
    iam, role = made.aws.client("iam"), made.role()
    iam.create_user(UserName=made.name)
    allowed = {"Effect": "Allow", "Action": ["lambda:*", "iam:PassRole"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=made.name, PolicyName="own", PolicyDocument=document)
    key = iam.create_access_key(UserName=made.name)["AccessKey"]
    caller = made.aws.session.client(
        "lambda", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    given = {"FunctionName": "callers", "Role": role, "PackageType": "Image", "Code": {"ImageUri": uri}}
    with pytest.raises(ClientError, match="Lambda does not have permission to access the ECR image"):
        caller.create_function(**given)
    made.policy(_statement({"Service": "lambda.amazonaws.com"}))
    assert caller.create_function(**given)["FunctionName"] == "callers"


@pytest.mark.parametrize("missing", ["account", "service", "function", None])
def test_another_account_needs_two_statements(made: Made, missing: str | None) -> None:
    uri = made.images.push(f"{made.uri}:1", made.images.build())
    functions = f"arn:aws:lambda:us-east-1:{'3' * 12 if missing == 'function' else _OTHER}:function:*"
    like = {"StringLike": {"aws:sourceArn": functions}}
    statements = {
        "account": _statement({"AWS": f"arn:aws:iam::{_OTHER}:root"}),
        "service": _statement({"Service": "lambda.amazonaws.com"}, condition=like),
    }
    made.policy(*(one for name, one in statements.items() if name != missing))
    session = made.aws.session_of(_OTHER)
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    name = f"role-{missing}"
    role = session.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    given = {"FunctionName": name, "Role": role, "PackageType": "Image", "Code": {"ImageUri": uri}}
    if missing is None:
        assert session.client("lambda").create_function(**given)["FunctionName"] == name
        return
    with pytest.raises(ClientError, match="Lambda does not have permission to access the ECR image"):
        session.client("lambda").create_function(**given)


def test_still_needed_the_emulator_takes_any_image(stock_aws: LocalAws) -> None:
    made = Functions(stock_aws)
    uri = "123456789012.dkr.ecr.us-east-1.amazonaws.com/none:1"
    stock_aws.client("lambda").create_function(
        FunctionName="any", Role=made.role(), PackageType="Image", Code={"ImageUri": uri}
    )
    found = stock_aws.client("lambda").get_function(FunctionName="any")["Code"]
    assert found["ResolvedImageUri"] == uri
