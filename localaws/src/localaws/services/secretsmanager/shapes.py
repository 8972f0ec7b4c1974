"""ARNs of secrets that end in six letters and digits, of both cases.

Faithful to: length and alphabet.
Not to: how AWS makes them.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html
"""

from __future__ import annotations

from ministack.services import secretsmanager

from localaws.identifiers import ALPHANUMERIC, cut_text
from localaws.patching import replaces


@replaces(secretsmanager, "new_uuid")
def _new_uuid() -> str:
    return cut_text({6: (ALPHANUMERIC, 6)})
