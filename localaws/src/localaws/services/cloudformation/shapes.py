"""Identifiers of resources in templates with the alphabet and length of AWS's.

The emulator's handlers make their own, not those of the API calls of the same services.

Faithful to: resource ids of RDS, ids of roles and APIs, the six characters at the end of a secret's
ARN.
Not to: how AWS makes them.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.IAMPolicy.html
"""

from __future__ import annotations

from ministack.services.cloudformation import provisioners

from localaws.identifiers import ALPHANUMERIC, BASE32, LOWER_CASE, cut_text
from localaws.patching import replaces


@replaces(provisioners, "new_uuid")
def _new_uuid() -> str:
    return cut_text(
        {
            6: (ALPHANUMERIC, 6),
            8: (LOWER_CASE, 10),
            17: (BASE32, 17),
            20: (BASE32, 26),
            26: (LOWER_CASE, 26),
        }
    )
