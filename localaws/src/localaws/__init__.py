"""An AWS on this machine: starts in about a second, enforces IAM, always ends, leaves nothing behind.

`with LocalAws() as aws:` → a boto3 session, the environment for the CDK CLI and any other AWS client,
and the addresses of load balancers and APIs. The emulator is ministack, in its own process; `bridges`
adds what it lacks. `docs/embedded-aws.md` says what is emulated and what is not.
"""

from localaws.recording import Dropped
from localaws.server.addresses import Address
from localaws.server.aws import LocalAws
from localaws.server.bootstrap import BootstrapError
from localaws.server.child import LocalAwsError

__all__ = ["Address", "BootstrapError", "Dropped", "LocalAws", "LocalAwsError"]
