"""An AWS account on this machine, for tests: with IAM enforced, and without account, Docker or network.

`with LocalAws() as aws:` provides a boto3 session, the environment for the CDK CLI and any other AWS client,
and the addresses of load balancers and APIs. The emulator is ministack, in a process of its own; `services`
adds what it lacks.
"""

from localaws.cdk.cli import CdkError
from localaws.cdk.deployment import Deployment, FunctionFailed, wait_until
from localaws.explanations import Explanation
from localaws.journal import Call, Denied, Used
from localaws.recorder import Dropped
from localaws.server.addresses import Address
from localaws.server.aws import LocalAws
from localaws.server.bootstrap import BootstrapError
from localaws.server.child import LocalAwsError
from localaws.server.delivery import Delivered
from localaws.usage import Usage

__all__ = [
    "Address",
    "BootstrapError",
    "Call",
    "CdkError",
    "Delivered",
    "Denied",
    "Deployment",
    "Dropped",
    "Explanation",
    "FunctionFailed",
    "LocalAws",
    "LocalAwsError",
    "Usage",
    "Used",
    "wait_until",
]
