"""Signing jobs, and what Lambda does with what they signed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually, zipped
from helpers.stacks import DeploymentFailedError, arn, deploy, role, session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

PLATFORM = "AWSLambda-SHA384-ECDSA"
FILE = "META_INF/aws_signer_signature_v1.0.SF"
MISMATCH = (
    "Lambda cannot deploy the function. The function or layer might be signed using a signature that the "
)
NOW = datetime.now(UTC)


class Signing:
    """A versioned bucket, a signing profile and what they sign.

    Args:
        aws: A running embedded AWS.
    """

    def __init__(self, aws: LocalAws) -> None:
        self.aws, self.functions = aws, Functions(aws)
        self.s3, self.signer, self.lambda_ = (aws.client(name) for name in ("s3", "signer", "lambda"))
        self.bucket = f"code-{uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.profile, self.version = self.profile_for(days=1)

    def profile_for(self, days: int) -> tuple[str, str]:
        """Name and version ARN of a new profile."""
        name = f"profile_{uuid4().hex[:8]}"
        period = {"type": "DAYS", "value": days}
        made = self.signer.put_signing_profile(
            profileName=name, platformId=PLATFORM, signatureValidityPeriod=period
        )
        return name, made["profileVersionArn"]

    def unsigned(self, answer: str = "ran") -> bytes:
        return zipped({"index.py": f"def handler(event, context): return {answer!r}"})

    def job(self, archive: bytes, profile: str = "", client: Any = None) -> dict[str, Any]:
        """Sign an archive; returns the job."""
        key = f"{uuid4().hex}.zip"
        version = self.s3.put_object(Bucket=self.bucket, Key=key, Body=archive)["VersionId"]
        job = (client or self.signer).start_signing_job(
            source={"s3": {"bucketName": self.bucket, "key": key, "version": version}},
            destination={"s3": {"bucketName": self.bucket, "prefix": "signed/"}},
            profileName=profile or self.profile,
        )
        described: dict[str, Any] = self.signer.describe_signing_job(jobId=job["jobId"])
        return described

    def signed(self, archive: bytes, profile: str = "") -> bytes:
        job = self.job(archive, profile)
        body: bytes = self.s3.get_object(Bucket=self.bucket, Key=job["signedObject"]["s3"]["key"])[
            "Body"
        ].read()
        return body

    def config(self, *versions: str, policy: str = "Enforce") -> str:
        made = self.lambda_.create_code_signing_config(
            AllowedPublishers={"SigningProfileVersionArns": list(versions) or [self.version]},
            CodeSigningPolicies={"UntrustedArtifactOnDeployment": policy},
        )
        config: str = made["CodeSigningConfig"]["CodeSigningConfigArn"]
        return config

    def make(self, archive: bytes, config: str, **settings: Any) -> str:
        name = f"function-{uuid4().hex[:8]}"
        self.lambda_.create_function(
            FunctionName=name,
            Role=self.functions.role(),
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": archive},
            CodeSigningConfigArn=config,
            **settings,
        )
        return name


@pytest.fixture(scope="module")
def signing(local_aws: LocalAws) -> Signing:
    return Signing(local_aws)


def code(call: Callable[[], object]) -> str:
    """The error of a call."""
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    ("platform", "days"), [("nope", 1), (PLATFORM, 0), (PLATFORM, 4_200), ("Notation-OCI-SHA384-ECDSA", 0)]
)
def test_a_profile_that_signer_has_no_platform_or_validity_for_is_refused(
    signing: Signing, platform: str, days: int
) -> None:
    with pytest.raises(ClientError, match=r"does not exist|1 day to 135 months"):
        signing.signer.put_signing_profile(
            profileName=f"profile_{uuid4().hex[:8]}",
            platformId=platform,
            signatureValidityPeriod={"type": "DAYS", "value": days},
        )


def test_only_signed_code_is_deployed_and_the_function_shows_who_signed_it(signing: Signing) -> None:
    config = signing.config()
    with pytest.raises(ClientError, match="configured to accept") as refused:
        signing.make(signing.unsigned(), config)
    assert refused.value.response["Error"]["Code"] == "CodeVerificationFailedException"
    assert refused.value.response["Error"]["Message"].startswith(MISMATCH)
    name = signing.make(signing.signed(signing.unsigned("first")), config)
    shown = signing.lambda_.get_function_configuration(FunctionName=name)
    assert shown["SigningProfileVersionArn"] == signing.version
    assert ":/signing-jobs/" in shown["SigningJobArn"]
    assert signing.functions.invoke(name).payload == "first"

    def update(archive: bytes) -> Any:
        return signing.lambda_.update_function_code(FunctionName=name, ZipFile=archive)

    assert code(lambda: update(signing.unsigned())) == "CodeVerificationFailedException"
    other, _ = signing.profile_for(days=1)
    by_another = signing.signed(signing.unsigned(), other)
    assert code(lambda: update(by_another)) == "CodeVerificationFailedException"
    assert signing.functions.invoke(name).payload == "first"
    answered = update(signing.signed(signing.unsigned("second")))
    assert answered["SigningProfileVersionArn"] == signing.version
    assert signing.functions.invoke(name).payload == "second"


@pytest.mark.parametrize("policy", ["Enforce", "Warn"])
def test_changed_code_is_never_deployed(signing: Signing, policy: str) -> None:
    changed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(signing.signed(signing.unsigned()))) as old,
        zipfile.ZipFile(changed, "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"ran", b"bad"))
    config = signing.config(policy=policy)
    assert code(lambda: signing.make(changed.getvalue(), config)) == "InvalidCodeSignatureException"
    damaged = zipped({"index.py": "handler = None", FILE: json.dumps({"statement": "{}"})})
    assert code(lambda: signing.make(damaged, config)) == "InvalidCodeSignatureException"


def test_warn_deploys_unsigned_code_and_counts_it(signing: Signing) -> None:
    name = signing.make(signing.unsigned(), signing.config(policy="Warn"))
    assert signing.functions.invoke(name).payload == "ran"
    assert "SigningJobArn" not in signing.lambda_.get_function_configuration(FunctionName=name)
    found = signing.aws.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="SignatureValidationErrors",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=NOW - timedelta(hours=1),
        EndTime=NOW + timedelta(days=1),
        Period=3600,
        Statistics=["Sum"],
    )
    assert sum(point["Sum"] for point in found["Datapoints"]) == 1


def test_a_layer_that_is_added_needs_a_signature_too(signing: Signing) -> None:
    def publish(archive: bytes) -> str:
        made = signing.lambda_.publish_layer_version(
            LayerName=f"layer-{uuid4().hex[:8]}", Content={"ZipFile": archive}
        )
        version: str = made["LayerVersionArn"]
        return version

    module = zipped({"python/extra.py": "X = 1"})
    plain, trusted = publish(module), publish(signing.signed(module))
    config, archive = signing.config(), signing.signed(signing.unsigned())
    assert code(lambda: signing.make(archive, config, Layers=[plain])) == "CodeVerificationFailedException"
    name = signing.make(archive, config, Layers=[trusted])

    def configure(*layers: str) -> Any:
        return signing.lambda_.update_function_configuration(FunctionName=name, Layers=list(layers))

    assert code(lambda: configure(trusted, plain)) == "CodeVerificationFailedException"
    configure(trusted)


def test_a_revoked_signature_is_not_deployed_again(signing: Signing) -> None:
    config = signing.config()
    job = signing.job(signing.unsigned())
    archive = signing.s3.get_object(Bucket=signing.bucket, Key=job["signedObject"]["s3"]["key"])[
        "Body"
    ].read()
    name = signing.make(archive, config)
    signing.signer.revoke_signature(jobId=job["jobId"], reason="a leaked key")
    assert code(lambda: signing.make(archive, config)) == "CodeVerificationFailedException"
    assert signing.functions.invoke(name).payload == "ran"
    described = signing.signer.describe_signing_job(jobId=job["jobId"])
    assert described["revocationRecord"]["reason"] == "a leaked key"
    listed = signing.signer.list_signing_jobs(isRevoked=True)["jobs"]
    assert [one["jobId"] for one in listed] == [job["jobId"]]
    again = {"jobId": job["jobId"], "reason": "again"}
    assert code(lambda: signing.signer.revoke_signature(**again)) == "ValidationException"


def test_a_profile_is_revoked_since_a_time(signing: Signing) -> None:
    profile, version = signing.profile_for(days=2)
    config, archive = signing.config(version), signing.signed(signing.unsigned(), profile)

    def revoke(since: datetime) -> Any:
        return signing.signer.revoke_signing_profile(
            profileName=profile, profileVersion=version[-10:], reason="left", effectiveTime=since
        )

    assert code(lambda: revoke(datetime.now(UTC) + timedelta(hours=1))) == "ValidationException"
    # The job's time is a whole second, which this one is after.
    later = signing.signer.list_signing_jobs()["jobs"][-1]["createdAt"] + timedelta(seconds=1)
    eventually(lambda: datetime.now(UTC) > later)
    revoke(later)
    assert signing.signer.get_signing_profile(profileName=profile)["status"] == "Revoked"
    assert code(lambda: signing.job(signing.unsigned(), profile)) == "ValidationException"
    signing.make(archive, config)
    assert code(lambda: revoke(later + timedelta(milliseconds=1))) == "ValidationException"
    revoke(NOW - timedelta(days=1))
    assert code(lambda: signing.make(archive, config)) == "CodeVerificationFailedException"


def test_an_expired_signature_is_not_deployed(signing: Signing) -> None:
    config, archive = signing.config(), signing.signed(signing.unsigned())
    name = signing.make(archive, config)

    def expired() -> bool:
        try:
            signing.make(archive, config)
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "CodeVerificationFailedException")
        return False

    with signing.aws.paced(0.001):  # a day takes a second and a half
        eventually(expired)
    assert signing.functions.invoke(name).payload == "ran"


@pytest.mark.parametrize("archive", [b"no zip file", zipped({}), zipped({FILE: "signed"})])
def test_a_job_fails_for_what_cannot_be_signed(signing: Signing, archive: bytes) -> None:
    job = signing.job(archive)
    assert job["status"] == "Failed"
    assert "signedObject" not in job


@pytest.mark.parametrize("missing", ["s3:GetObjectVersion", "s3:ListBucket", "s3:PutObject"])
def test_a_job_needs_permissions_of_its_caller_in_s3(signing: Signing, missing: str) -> None:
    bucket = f"arn:aws:s3:::{signing.bucket}"
    needed = {
        "signer:StartSigningJob": "*",
        "s3:GetObjectVersion": f"{bucket}/*",
        "s3:ListBucket": bucket,
        "s3:PutObject": f"{bucket}/signed/*",
    }
    signing.job(signing.unsigned(), client=session_of(signing.aws, *needed.items()).client("signer"))
    del needed[missing]
    client = session_of(signing.aws, *needed.items()).client("signer")
    assert code(lambda: signing.job(signing.unsigned(), client=client)) == "AccessDeniedException"


def test_the_source_is_a_version_in_a_versioned_bucket(signing: Signing) -> None:
    signing.s3.create_bucket(Bucket=(plain := f"plain-{uuid4().hex[:8]}"))
    signing.s3.put_object(Bucket=plain, Key="a.zip", Body=signing.unsigned())
    source = {"s3": {"bucketName": plain, "key": "a.zip", "version": "null"}}
    arguments = {"destination": {"s3": {"bucketName": plain}}, "profileName": signing.profile}
    assert code(lambda: signing.signer.start_signing_job(source=source, **arguments)) == "ValidationException"


def test_configurations_are_listed_changed_tagged_and_deleted_when_no_function_uses_them(
    signing: Signing,
) -> None:
    made, lambda_ = signing.config(), signing.lambda_
    function = signing.make(signing.signed(signing.unsigned()), made)
    functions = lambda_.list_functions_by_code_signing_config(CodeSigningConfigArn=made)["FunctionArns"]
    assert [one.rpartition(":")[2] for one in functions] == [function]
    assert (
        code(lambda: lambda_.delete_code_signing_config(CodeSigningConfigArn=made))
        == "ResourceConflictException"
    )
    lambda_.update_code_signing_config(CodeSigningConfigArn=made, Description="ours")
    lambda_.tag_resource(Resource=made, Tags={"team": "a", "stage": "b"})
    lambda_.untag_resource(Resource=made, TagKeys=["stage"])
    assert lambda_.list_tags(Resource=made)["Tags"] == {"team": "a"}
    listed = lambda_.list_code_signing_configs()["CodeSigningConfigs"]
    assert {one["CodeSigningConfigArn"]: one["Description"] for one in listed}[made] == "ours"
    lambda_.delete_function_code_signing_config(FunctionName=function)
    lambda_.update_function_code(FunctionName=function, ZipFile=signing.unsigned())
    assert "SigningJobArn" not in lambda_.get_function_configuration(FunctionName=function)
    lambda_.delete_code_signing_config(CodeSigningConfigArn=made)
    named = {"CodeSigningConfigArn": made}
    assert code(lambda: lambda_.get_code_signing_config(**named)) == "ResourceNotFoundException"
    assert (
        code(lambda: lambda_.put_function_code_signing_config(FunctionName=function, **named))
        == "CodeSigningConfigNotFoundException"
    )
    assert code(lambda: signing.make(signing.unsigned(), made)) == "CodeSigningConfigNotFoundException"


def test_templates_are_checked_as_requests_are(signing: Signing) -> None:
    archive = signing.job(signing.unsigned())["signedObject"]["s3"]
    code_in_s3 = {"S3Bucket": archive["bucketName"], "S3Key": archive["key"]}

    def resources(code: dict[str, str]) -> dict[str, Any]:
        properties = {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": arn("Role"),
            "Code": code,
            "CodeSigningConfigArn": {"Ref": "Config"},
        }
        config = {
            "AllowedPublishers": {"SigningProfileVersionArns": [signing.version]},
            "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
        }
        return {
            "Role": role(),
            "Config": {"Type": "AWS::Lambda::CodeSigningConfig", "Properties": config},
            "Function": {"Type": "AWS::Lambda::Function", "Properties": properties},
        }

    stack = deploy(signing.aws, resources(code_in_s3), {"Name": {"Ref": "Function"}})
    assert signing.functions.invoke(stack.outputs["Name"]).payload == "ran"
    inline = {"ZipFile": "def handler(event, context): return 'inline'"}
    with pytest.raises(DeploymentFailedError, match="Check the provided signature for stack-"):
        stack.update(resources(inline))
    assert signing.functions.invoke(stack.outputs["Name"]).payload == "ran"
    with pytest.raises(DeploymentFailedError, match="Check the provided signature for stack-"):
        deploy(signing.aws, resources(inline))
    assert not [one for one in signing.aws.dropped_properties() if "Lambda" in one.type]
    stack.delete()


def test_still_needed_the_emulator_deploys_unsigned_code(stock_aws: LocalAws) -> None:
    made = Functions(stock_aws)
    config = made.arn("lambda", f"code-signing-config:csc-{'0' * 17}")
    made.make("handler = None", CodeSigningConfigArn=config)
    assert "CodeSigningConfig" not in stock_aws.client("lambda").get_code_signing_config(
        CodeSigningConfigArn=config
    )
