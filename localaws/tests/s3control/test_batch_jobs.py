"""Jobs of S3 Batch Operations: who may create one, its manifest, its tasks, its end and its report."""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Hold, eventually
from helpers.stacks import session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

PRINCIPAL = "batchoperations.s3.amazonaws.com"

# What a task gets is in its key: `code=TemporaryFailure`, `raise`, `answer=…`, or the event as result string.
HANDLER = """
import json, pathlib
def handler(event, context):
    task = event["tasks"][0]
    key = task["s3Key"]
    if key.startswith("raise"):
        raise ValueError("no")
    if key.startswith("hold"):
        hold()
    result = {"taskId": task["taskId"], "resultCode": "Succeeded", "resultString": json.dumps(event)}
    answer = {name: event[name] for name in ("invocationSchemaVersion", "invocationId")}
    if key.startswith("code="):
        result |= {"resultCode": key[5:].split("_")[0], "resultString": "because"}
    if key.startswith("missing"):
        result["taskId"] = "another"
        answer["treatMissingKeysAs"] = key[8:]
    if key == "no-results":
        return {**answer, "results": "none"}
    if key == "other-invocation":
        answer["invocationId"] = "other"
    if key == "text":
        return "Succeeded"
    return {**answer, "results": [result]}
"""


@dataclass
class Place:
    """A bucket for objects, manifests and reports, a function, and a role for jobs."""

    functions: Functions
    bucket: str
    function: str
    role: str
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.aws.client("s3control")

    @property
    def aws(self) -> LocalAws:
        return self.functions.aws

    @property
    def s3(self) -> Any:
        return self.aws.client("s3")

    def put(self, key: str, content: bytes) -> dict[str, Any]:
        """Store a manifest, and return its location."""
        etag = self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)["ETag"]
        return {"ObjectArn": f"arn:aws:s3:::{self.bucket}/{key}", "ETag": etag}

    def csv(self, *keys: str) -> dict[str, Any]:
        """Store a manifest in CSV."""
        content = "".join(f"{self.bucket},{key}\n" for key in keys).encode()
        location = self.put(f"manifests/{uuid.uuid4()}.csv", content)
        spec = {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]}
        return {"Manifest": {"Spec": spec, "Location": location}}

    def request(self, *keys: str, **more: Any) -> dict[str, Any]:
        """The parameters of a job for some keys."""
        report = {
            "Bucket": f"arn:aws:s3:::{self.bucket}",
            "Format": "Report_CSV_20180820",
            "Enabled": True,
            "Prefix": "reports",
            "ReportScope": "AllTasks",
        }
        settings = {
            "AccountId": self.aws.account,
            "ConfirmationRequired": False,
            "ClientRequestToken": str(uuid.uuid4()),
            "Priority": 1,
            "RoleArn": self.role,
            "Operation": {"LambdaInvoke": {"FunctionArn": self.function}},
            "Report": report,
        }
        manifest = {} if "Manifest" in more or "ManifestGenerator" in more else self.csv(*keys)
        return {**settings, **manifest, **more}

    def create(self, *keys: str, **more: Any) -> str:
        """Create a job, and return its id."""
        return str(self.client.create_job(**self.request(*keys, **more))["JobId"])

    def describe(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.describe_job(AccountId=self.aws.account, JobId=job)["Job"]
        return found

    def wait(self, job: str, *statuses: str) -> dict[str, Any]:
        """Wait until the job has a status, by default a last one."""
        wanted = statuses or ("Complete", "Failed", "Cancelled")
        eventually(lambda: self.describe(job)["Status"] in wanted)
        return self.describe(job)

    def update(self, job: str, status: str) -> Any:
        return self.client.update_job_status(
            AccountId=self.aws.account, JobId=job, RequestedJobStatus=status, StatusUpdateReason="by the test"
        )

    def read(self, key: str) -> bytes:
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def report(self, job: str) -> dict[str, list[str]]:
        """The lines of a job's report by key, each file compared with its MD5."""
        manifest = json.loads(self.read(f"reports/job-{job}/manifest.json"))
        lines = {}
        for file in manifest["Results"]:
            content = self.read(file["Key"])
            assert md5_of(content) == file["MD5Checksum"]
            for line in csv.reader(io.StringIO(content.decode())):
                assert line[3] == file["TaskExecutionStatus"]
                lines[line[1]] = line
        return lines

    def ran(self, *keys: str, **more: Any) -> dict[str, list[str]]:
        """Run a job to its end, and return its report."""
        job = self.create(*keys, **more)
        assert self.wait(job)["Status"] == "Complete"
        return self.report(job)


def make_place(functions: Functions, source: str) -> Place:
    bucket = f"batch-{uuid.uuid4().hex[:8]}"
    functions.aws.client("s3").create_bucket(Bucket=bucket)
    arn = functions.arn("lambda", f"function:{functions.make(source)}")
    objects = f"arn:aws:s3:::{bucket}/*"
    role = functions.role(
        ("s3:GetObject", objects),
        ("s3:PutObject", objects),
        ("s3:PutInventoryConfiguration", f"arn:aws:s3:::{bucket}"),
        ("lambda:InvokeFunction", arn),
        service=PRINCIPAL,
    )
    return Place(functions, bucket, arn, role)


@pytest.fixture(scope="module")
def place(local_aws: LocalAws) -> Place:
    return make_place(Functions(local_aws), HANDLER)


@pytest.fixture
def held(local_aws: LocalAws, hold: Hold) -> Iterator[Place]:
    """A place whose function waits for the test at keys that start with `hold`."""
    yield make_place(Functions(local_aws), hold.source + HANDLER)
    hold.release()


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def code_of(call: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


# --- Tasks


def test_a_task_gets_the_event_of_schema_1_with_the_key_as_it_is_in_the_manifest(place: Place) -> None:
    job = place.create("a%20b%2Bc.jpg")
    assert place.wait(job)["Status"] == "Complete"
    line = place.report(job)["a%20b%2Bc.jpg"]
    assert line[:6] == [place.bucket, "a%20b%2Bc.jpg", "", "succeeded", "200", ""]
    event = json.loads(line[6])
    assert event["invocationSchemaVersion"] == "1.0"
    assert event["job"] == {"id": job}
    (task,) = event["tasks"]
    assert {name: task[name] for name in task if name != "taskId"} == {
        "s3Key": "a%20b%2Bc.jpg",
        "s3VersionId": None,
        "s3BucketArn": f"arn:aws:s3:::{place.bucket}",
    }


def test_schema_2_has_the_name_of_the_bucket_and_the_arguments_of_the_job(place: Place) -> None:
    invoke = {
        "FunctionArn": place.function,
        "InvocationSchemaVersion": "2.0",
        "UserArguments": {"size": "64"},
    }
    event = json.loads(place.ran("a.jpg", Operation={"LambdaInvoke": invoke})["a.jpg"][6])
    assert event["job"]["userArguments"] == {"size": "64"}
    assert event["tasks"][0]["s3Bucket"] == place.bucket
    assert "s3BucketArn" not in event["tasks"][0]


FAILING = [
    ("code=PermanentFailure", "PermanentFailure", "The function answered PermanentFailure"),
    ("code=TemporaryFailure", "TemporaryFailure", "because"),
    ("missing=PermanentFailure", "PermanentFailure", "no result"),
    ("missing=TemporaryFailure", "TemporaryFailure", "no result"),
    ("raise", "PermanentFailure", "Lambda returned function error"),
    ("code=Failed", "PermanentFailure", "Invalid JSON"),
    ("no-results", "PermanentFailure", "Invalid JSON"),
    ("other-invocation", "PermanentFailure", "Invalid JSON"),
    ("text", "PermanentFailure", "Invalid JSON"),
]


@pytest.fixture(scope="module")
def one_job(place: Place) -> dict[str, list[str]]:
    """The report of one job for all keys that fail, and one that succeeds by being left out."""
    return place.ran(*(key for key, _code, _message in FAILING), "missing=Succeeded")


@pytest.mark.parametrize(("key", "code", "message"), FAILING)
def test_a_failed_task_is_reported_with_the_reason(
    one_job: dict[str, list[str]], key: str, code: str, message: str
) -> None:
    assert one_job[key][3:6] == ["failed", "200", code]
    assert message in one_job[key][6]


def test_a_task_without_a_result_may_count_as_succeeded(one_job: dict[str, list[str]]) -> None:
    assert one_job["missing=Succeeded"][3] == "succeeded"


ONCE = """
import pathlib
def handler(event, context, tried=pathlib.Path({tried!r})):
    with tried.open("a") as file:
        file.write(event["tasks"][0]["s3Key"] + "\\n")
    first = tried.read_text().count(event["tasks"][0]["s3Key"]) == 1
    code = "TemporaryFailure" if first else "Succeeded"
    result = {{"taskId": event["tasks"][0]["taskId"], "resultCode": code}}
    copied = {{name: event[name] for name in ("invocationSchemaVersion", "invocationId")}}
    return {{**copied, "results": [result]}}
"""


def test_temporary_failures_are_redriven_after_all_others(functions: Functions, shared_folder: Path) -> None:
    tried = shared_folder / "tried"
    place = make_place(functions, ONCE.format(tried=str(tried)))
    keys = [f"{number}.jpg" for number in range(5)]
    assert {line[3] for line in place.ran(*keys).values()} == {"succeeded"}
    order = tried.read_text().split()
    assert sorted(order[:5]) == sorted(order[5:]) == keys


def test_a_throttled_invocation_is_a_temporary_failure(functions: Functions, local_aws: LocalAws) -> None:
    place = make_place(functions, HANDLER)
    local_aws.client("lambda").put_function_concurrency(
        FunctionName=place.function.rpartition(":")[2], ReservedConcurrentExecutions=0
    )
    assert place.ran("x")["x"][3:6] == ["failed", "429", "TemporaryFailure"]


def test_a_job_fails_when_more_than_half_of_a_thousand_tasks_failed(place: Place) -> None:
    gone = place.function + "-gone"  # fails without the time of an invocation
    job = place.create(*map(str, range(1200)), Operation={"LambdaInvoke": {"FunctionArn": gone}})
    ended = place.wait(job)
    assert ended["Status"] == "Failed"
    assert ended["ProgressSummary"]["TotalNumberOfTasks"] == 1200
    assert 1000 <= ended["ProgressSummary"]["NumberOfTasksFailed"] < 1200
    assert "50%" in ended["FailureReasons"][0]["FailureReason"]
    assert len(place.report(job)) == ended["ProgressSummary"]["NumberOfTasksFailed"]


# --- Manifests


def test_a_csv_manifest_may_have_version_ids_and_other_columns(place: Place) -> None:
    location = place.put("versions.csv", f"x,{place.bucket},a.jpg,v1\ny,{place.bucket},b.jpg,v2\n".encode())
    fields = ["Ignore", "Bucket", "Key", "VersionId"]
    spec = {"Format": "S3BatchOperations_CSV_20180820", "Fields": fields}
    report = place.ran(Manifest={"Spec": spec, "Location": location})
    assert {key: line[2] for key, line in report.items()} == {"a.jpg": "v1", "b.jpg": "v2"}
    assert json.loads(report["a.jpg"][6])["tasks"][0]["s3VersionId"] == "v1"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xef\xbb\xbfbucket,a.jpg\n", "byte order mark"),
        (b"bucket,\xff.jpg\n", "UTF-8"),
        (b"bucket,a.jpg,more\n", "3 columns"),
        (b"bucket,a.jpg\n\nbucket,b.jpg\n", "0 columns"),
        (b"bucket,\n", "Required fields"),
        (b"bucket,%FF.jpg\n", "URL-encoded"),
        (b"bucket," + b"a" * 1025 + b"\n", "1,025 characters"),
    ],
)
def test_a_manifest_that_is_not_as_documented_fails_the_job(
    place: Place, content: bytes, reason: str
) -> None:
    spec = {"Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"]}
    job = place.create(Manifest={"Spec": spec, "Location": place.put("wrong.csv", content)})
    failed = place.wait(job)
    assert failed["Status"] == "Failed"
    assert failed["FailureReasons"][0]["FailureCode"] == "InvalidManifestContent"
    assert reason in failed["FailureReasons"][0]["FailureReason"]


def test_the_etag_of_the_manifest_must_be_that_of_the_object(place: Place) -> None:
    request = place.request("a.jpg")
    request["Manifest"]["Location"]["ETag"] = "0" * 32
    failed = place.wait(place.client.create_job(**request)["JobId"])
    assert (failed["Status"], failed["FailureReasons"][0]["FailureCode"]) == (
        "Failed",
        "ManifestETagMismatch",
    )


def test_an_inventory_report_is_a_manifest_and_empty_version_ids_fail(place: Place) -> None:
    rows = f'"{place.bucket}","a%20b.jpg","v1","true"\n"{place.bucket}","c.jpg","","true"\n'
    data = gzip.compress(rows.encode())
    place.put("inventory/data/1.csv.gz", data)
    md5 = md5_of(data)
    described = {
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, VersionId, IsLatest",
        "files": [{"key": "inventory/data/1.csv.gz", "size": len(data), "MD5checksum": md5}],
    }
    location = place.put("inventory/manifest.json", json.dumps(described).encode())
    spec = {"Format": "S3InventoryReport_CSV_20161130"}
    report = place.ran(Manifest={"Spec": spec, "Location": location})
    assert report["a%20b.jpg"][2:4] == ["v1", "succeeded"]
    assert report["c.jpg"][3] == "failed"


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"bucket,key", "no manifest.json"),
        (b"[]", "no manifest.json"),
        (json.dumps({"fileFormat": "ORC", "fileSchema": "Bucket, Key", "files": []}).encode(), "not CSV"),
        (b'{"fileFormat": "CSV", "fileSchema": "Bucket, Key", "files": [{"key": "a"}]}', "no manifest.json"),
        (
            b'{"fileFormat": "CSV", "fileSchema": "Bucket, Key",'
            b' "files": [{"key": "plain.csv", "MD5checksum": "2f67ddb8b9ee8b15ba7b36fb70c54a4f"}]}',
            "GZIP",
        ),
    ],
)
def test_an_inventory_report_that_is_none_fails_the_job(place: Place, manifest: bytes, reason: str) -> None:
    place.put("plain.csv", b"bucket,key\n")
    spec = {"Format": "S3InventoryReport_CSV_20161130"}
    failed = place.wait(place.create(Manifest={"Spec": spec, "Location": place.put("m.json", manifest)}))
    assert failed["FailureReasons"][0]["FailureCode"] == "InvalidManifestContent"
    assert reason in failed["FailureReasons"][0]["FailureReason"]


def generator(place: Place, *, output: bool = False, **limits: Any) -> dict[str, Any]:
    bucket = f"arn:aws:s3:::{place.bucket}"
    settings: dict[str, Any] = {"SourceBucket": bucket, "EnableManifestOutput": output, "Filter": limits}
    if output:
        place_of = {"Bucket": bucket, "ManifestPrefix": "generated"}
        settings["ManifestOutputLocation"] = {**place_of, "ManifestFormat": "S3InventoryReport_CSV_20211130"}
    return {"ManifestGenerator": {"S3JobManifestGenerator": settings}}


def test_a_generated_manifest_has_the_objects_that_pass_all_filters(place: Place) -> None:
    for key in ("in/a b+c.jpg", "in/d.png", "out/e.jpg"):
        place.put(key, b"content")
    now = datetime.now(UTC)
    names = {"MatchAnyPrefix": ["in/", "none/"], "MatchAnySuffix": [".jpg"]}
    limits = {"KeyNameConstraint": names, "CreatedAfter": now - timedelta(days=1)}
    job = place.create(**generator(place, output=True, ObjectSizeGreaterThanBytes=1, **limits))
    described = place.wait(job)
    assert set(place.report(job)) == {"in/a%20b%2Bc.jpg"}
    written = described["GeneratedManifestDescriptor"]
    key = written["Location"]["ObjectArn"].partition("/")[2]
    assert json.loads(place.read(key))["fileSchema"] == "Bucket, Key, VersionId"
    early = place.create(**generator(place, KeyNameConstraint=names, CreatedBefore=now - timedelta(days=1)))
    assert place.wait(early)["ProgressSummary"]["TotalNumberOfTasks"] == 0


# --- Statuses


def test_a_job_waits_for_confirmation_unless_it_needs_none(place: Place) -> None:
    request = place.request("a.jpg")
    del request["ConfirmationRequired"]
    job = place.client.create_job(**request)["JobId"]
    assert place.wait(job, "Suspended")["ProgressSummary"]["TotalNumberOfTasks"] == 1
    assert place.update(job, "Ready")["Status"] == "Ready"
    ended = place.wait(job)
    assert (ended["Status"], ended["ProgressSummary"]["NumberOfTasksSucceeded"]) == ("Complete", 1)
    assert code_of(lambda: place.update(job, "Ready")) == "JobStatusException"
    assert code_of(lambda: place.update(job, "Cancelled")) == "JobStatusException"


def test_a_cancelled_job_ends_its_running_tasks_and_reports_them(held: Place, hold: Hold) -> None:
    job = held.create(*(f"hold{number}" for number in range(20)))
    hold.wait()
    assert held.update(job, "Cancelled")["Status"] == "Cancelling"
    hold.release()
    ended = held.wait(job)
    assert (ended["Status"], ended["StatusUpdateReason"]) == ("Cancelled", "by the test")
    assert 1 <= len(held.report(job)) < 20


def test_the_same_token_is_the_same_job_and_other_parameters_are_refused(place: Place) -> None:
    request = place.request("a.jpg")
    first = place.client.create_job(**request)["JobId"]
    assert place.client.create_job(**request)["JobId"] == first
    other = {**request, "Priority": 2}
    assert code_of(lambda: place.client.create_job(**other)) == "IdempotencyException"


def test_jobs_are_listed_by_status_in_pages_newest_first(place: Place) -> None:
    account = place.aws.account
    created = [place.create("a.jpg", Description=f"job {number}") for number in range(3)]
    for job in created:
        place.wait(job)
    pages: list[Any] = []
    token: dict[str, str] = {}
    while not pages or token:
        pages.append(
            place.client.list_jobs(AccountId=account, JobStatuses=["Complete"], MaxResults=2, **token)
        )
        token = {"NextToken": pages[-1]["NextToken"]} if "NextToken" in pages[-1] else {}
    found = [job for page in pages for job in page["Jobs"]]
    assert [job["JobId"] for job in found[:3]] == created[::-1]
    assert found[0]["Description"] == "job 2"
    assert found[0]["Operation"] == "LambdaInvoke"
    assert len(pages) > 1


def test_tags_and_priority_of_a_job_can_be_changed(place: Place) -> None:
    account, client = place.aws.account, place.client
    job = place.create("a.jpg", ConfirmationRequired=True, Tags=[{"Key": "team", "Value": "a"}])
    assert client.get_job_tagging(AccountId=account, JobId=job)["Tags"] == [{"Key": "team", "Value": "a"}]
    client.put_job_tagging(AccountId=account, JobId=job, Tags=[{"Key": "team", "Value": "b"}])
    assert client.get_job_tagging(AccountId=account, JobId=job)["Tags"] == [{"Key": "team", "Value": "b"}]
    client.delete_job_tagging(AccountId=account, JobId=job)
    assert client.get_job_tagging(AccountId=account, JobId=job)["Tags"] == []
    client.update_job_priority(AccountId=account, JobId=job, Priority=7)
    assert place.describe(job)["Priority"] == 7
    place.wait(job, "Suspended")
    place.update(job, "Cancelled")
    assert place.wait(job)["Status"] == "Cancelled"


def test_only_failed_tasks_are_reported_if_that_is_asked_for(place: Place) -> None:
    report = {**place.request("x")["Report"], "ReportScope": "FailedTasksOnly"}
    assert set(place.ran("a.jpg", "raise", Report=report)) == {"raise"}
    job = place.create("a.jpg", Report={"Enabled": False})
    place.wait(job)
    assert "Contents" not in place.s3.list_objects_v2(Bucket=place.bucket, Prefix=f"reports/job-{job}")


# --- Refusals


@pytest.mark.parametrize(
    "change",
    [
        {"Operation": {"S3DeleteObjectTagging": {}}},
        {"Operation": {"LambdaInvoke": {"FunctionArn": "f", "InvocationSchemaVersion": "3.0"}}},
        {"Operation": {"LambdaInvoke": {"FunctionArn": "f", "UserArguments": {"a": "b"}}}},
        {"Report": {"Enabled": True}},
        {"RoleArn": "role"},
    ],
)
def test_what_s3_refuses_or_is_not_emulated_is_refused(place: Place, change: dict[str, Any]) -> None:
    request = {**place.request("a.jpg"), **change}
    assert code_of(lambda: place.client.create_job(**request)) == "BadRequestException"


def test_filters_and_fields_that_do_not_fit_are_refused(place: Place) -> None:
    filtered = place.request(**generator(place, EligibleForReplication=True))
    assert code_of(lambda: place.client.create_job(**filtered)) == "BadRequestException"
    request = place.request("a.jpg")
    request["Manifest"]["Spec"]["Fields"] = ["Bucket"]
    assert code_of(lambda: place.client.create_job(**request)) == "BadRequestException"


def test_a_job_that_does_not_exist_is_not_found(place: Place) -> None:
    assert code_of(lambda: place.describe(str(uuid.uuid4()))) == "NotFoundException"


# --- Permissions


def test_creating_a_job_needs_its_own_permission_and_that_to_pass_the_role(place: Place) -> None:
    create, passing = ("s3:CreateJob", "*"), ("iam:PassRole", place.role)
    for allowed in ([], [create], [passing]):
        client = session_of(place.aws, *allowed).client("s3control")
        request = place.request("a.jpg")
        assert code_of(lambda c=client, r=request: c.create_job(**r)) == "AccessDenied"
    client = session_of(place.aws, create, passing).client("s3control")
    job = client.create_job(**place.request("a.jpg"))["JobId"]
    assert code_of(lambda: client.describe_job(AccountId=place.aws.account, JobId=job)) == "AccessDenied"
    reader = session_of(place.aws, ("s3:DescribeJob", f"arn:aws:s3:*:*:job/{job}")).client("s3control")
    assert reader.describe_job(AccountId=place.aws.account, JobId=job)["Job"]["JobId"] == job


@pytest.mark.parametrize(
    ("operation", "service", "code"),
    [
        ("LambdaInvoke", PRINCIPAL, None),
        ("S3PutObjectCopy", PRINCIPAL, "AccessDenied"),
        ("LambdaInvoke", "lambda.amazonaws.com", "AccessDenied"),
    ],
)
def test_permissions_may_depend_on_the_operation_and_on_the_service_that_gets_the_role(
    place: Place, operation: str, service: str, code: str | None
) -> None:
    keys = {"s3:RequestJobOperation": operation, "iam:PassedToService": service}
    allowed = [("s3:CreateJob", "*"), ("iam:PassRole", place.role)]
    session = session_of(place.aws, *allowed, condition={"StringEqualsIfExists": keys})
    request = place.request("a.jpg")
    if code:
        assert code_of(lambda: session.client("s3control").create_job(**request)) == code
    else:
        assert session.client("s3control").create_job(**request)["JobId"]


def test_changing_a_priority_may_depend_on_both_priorities(place: Place) -> None:
    job = place.create("a.jpg", ConfirmationRequired=True, Priority=5)
    keys = {"s3:ExistingJobPriority": "5", "s3:RequestJobPriority": "9"}
    session = session_of(
        place.aws, ("s3:UpdateJobPriority", "*"), condition={"NumericLessThanEquals": keys}
    ).client("s3control")
    update = functools.partial(session.update_job_priority, AccountId=place.aws.account, JobId=job)
    assert code_of(lambda: update(Priority=10)) == "AccessDenied"
    assert update(Priority=9)["Priority"] == 9
    assert code_of(lambda: update(Priority=1)) == "AccessDenied"  # it is more than 5 now


@pytest.mark.parametrize("without", ["s3:GetObject", "s3:PutObject", "s3:PutInventoryConfiguration"])
def test_a_job_fails_without_a_permission_of_its_role(place: Place, without: str) -> None:
    objects, bucket = f"arn:aws:s3:::{place.bucket}/*", f"arn:aws:s3:::{place.bucket}"
    actions = {
        "s3:GetObject": objects,
        "s3:PutObject": objects,
        "s3:PutInventoryConfiguration": bucket,
        "lambda:InvokeFunction": place.function,
    }
    allowed = [(action, resource) for action, resource in actions.items() if action != without]
    role = place.functions.role(*allowed, service=PRINCIPAL)
    manifest = generator(place) if without == "s3:PutInventoryConfiguration" else place.csv("a.jpg")
    failed = place.wait(place.create(RoleArn=role, **manifest))
    assert failed["Status"] == "Failed"
    assert without in failed["FailureReasons"][0]["FailureReason"]


def test_a_task_fails_without_the_permission_to_invoke(place: Place) -> None:
    objects = f"arn:aws:s3:::{place.bucket}/*"
    role = place.functions.role(("s3:GetObject", objects), ("s3:PutObject", objects), service=PRINCIPAL)
    assert place.ran("a.jpg", RoleArn=role)["a.jpg"][3:6] == ["failed", "403", "PermanentFailure"]


def test_a_role_of_another_account_cannot_be_passed(place: Place) -> None:
    other = place.role.replace(place.role.split(":")[4], "222222222222")
    assert code_of(lambda: place.create("a.jpg", RoleArn=other)) == "AccessDenied"


def test_a_role_that_does_not_trust_batch_operations_fails_the_job(place: Place) -> None:
    failed = place.wait(place.create("a.jpg", RoleArn=place.functions.role()))
    assert failed["Status"] == "Failed"
    assert PRINCIPAL in failed["FailureReasons"][0]["FailureReason"]


def test_calls_about_jobs_fail_and_are_recorded_as_those_of_other_services(place: Place) -> None:
    account = place.aws.account
    with place.aws.faults.api("s3control", "ListJobs", error="InternalServiceException", times=9) as fault:
        assert code_of(lambda: place.client.list_jobs(AccountId=account)) == "InternalServiceException"
    assert fault.applied
    place.client.list_jobs(AccountId=account)
    assert place.aws.calls()[-1].action == "s3:ListJobs"


def test_still_needed_the_emulator_has_no_jobs(stock_aws: LocalAws) -> None:
    client = stock_aws.client("s3control")
    assert code_of(lambda: client.list_jobs(AccountId=stock_aws.account)) == "InvalidURI"
