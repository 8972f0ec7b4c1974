"""A version of an object in S3 → a signing job → the key of the signed object.

https://docs.aws.amazon.com/signer/latest/api/API_StartSigningJob.html
"""

import re
from dataclasses import dataclass

from botocore.exceptions import ClientError, WaiterError

from shared.clients import Client

PREFIX = "signed/"
_KEY = re.compile(rf"{PREFIX}\w+/[\w.-]+")
# A job takes seconds; the function has five minutes.
_WAIT = {"Delay": 2, "MaxAttempts": 120}


class NotSignedError(Exception):
    """The code was not signed; the message says why, and what to do."""


@dataclass(frozen=True)
class Code:
    """The code to sign: an object, and its version if that is known."""

    bucket: str
    key: str
    version: str | None = None


@dataclass(frozen=True)
class Signer:
    """Signs code with a profile into a bucket.

    Args:
        s3: A client of S3.
        signer: A client of AWS Signer.
        profile: Name of the signing profile.
        bucket: The bucket for signed code.
    """

    s3: Client
    signer: Client
    profile: str
    bucket: str

    def sign(self, code: Code, name: str, *, token: str) -> str:
        """Sign code unless that was done before, and return the key of the signed object.

        Args:
            code: The code.
            name: Stands for what is signed, for whom and with which profile.
            token: The same for repetitions of the same request, which then have the same job.

        Raises:
            NotSignedError: The job failed or did not end, or the object has no version.
        """
        prefix = f"{PREFIX}{name}/"
        before = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents")
        if before:
            return str(before[0]["Key"])
        started = self.signer.start_signing_job(
            source={"s3": {"bucketName": code.bucket, "key": code.key, "version": self._version(code)}},
            destination={"s3": {"bucketName": self.bucket, "prefix": prefix}},
            profileName=self.profile,
            clientRequestToken=token,
        )
        job = started["jobId"]
        try:
            self.signer.get_waiter("successful_signing_job").wait(jobId=job, WaiterConfig=_WAIT)
        except WaiterError as error:
            found = self.signer.describe_signing_job(jobId=job)
            reason = found.get("statusReason", error)
            raise NotSignedError(f"signing job {job} of {code.key}: {found['status']}: {reason}") from error
        key: str = self.signer.describe_signing_job(jobId=job)["signedObject"]["s3"]["key"]
        return key

    def delete(self, key: str) -> None:
        """Delete signed code. There is none under the id of a request that failed, or without the bucket."""
        if not _KEY.fullmatch(key):
            return
        try:
            self.s3.delete_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise

    def _version(self, code: Code) -> str:
        found = code.version or self.s3.head_object(Bucket=code.bucket, Key=code.key).get("VersionId")
        if not found:
            raise NotSignedError(
                f"{code.key}: bucket {code.bucket} is not versioned, and AWS Signer signs versions of "
                "objects; turn versioning on and upload the code again."
            )
        return str(found)
