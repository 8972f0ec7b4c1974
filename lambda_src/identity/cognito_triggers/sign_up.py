"""Pre sign-up → only email addresses of some domains may sign up; it calls no AWS service.

The message of the error is what the user sees: "PreSignUp failed with error …".

https://docs.aws.amazon.com/cognito/latest/developerguide/user-pool-lambda-pre-sign-up.html
"""

import os
from typing import Any

from shared.environment import read


class SignUpRefused(Exception):
    """The user may not sign up; the message is for the user. Cognito adds the full stop."""


def domains(text: str) -> frozenset[str]:
    """Read domains that are separated by commas.

    Raises:
        ValueError: There is none, or one is no domain.
    """
    found = frozenset(part.strip().lower() for part in text.split(","))
    if not all("." in one and "@" not in one for one in found):
        raise ValueError("give domains separated by commas, such as 'example.com,example.org'")
    return found


def domain_of(email: object) -> str | None:
    """Return the domain of an email address; ``None`` if it is no address."""
    name, at, domain = email.rpartition("@") if isinstance(email, str) else ("", "", "")
    return domain.lower() if name and at and domain else None


_ALLOWED = read(os.environ, "ALLOWED_DOMAINS", domains)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Let a user sign up whose address is of an allowed domain, and whom an administrator creates.

    Raises:
        SignUpRefused: The address is missing, or of another domain.
    """
    if event["triggerSource"] != "PreSignUp_AdminCreateUser":
        domain = domain_of(event["request"]["userAttributes"].get("email"))
        if domain is None:
            raise SignUpRefused("Sign up with an email address")
        if domain not in _ALLOWED:
            raise SignUpRefused(f"Addresses of {domain} cannot sign up here")
    return event
