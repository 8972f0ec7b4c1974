"""Post confirmation → profile in DynamoDB; post authentication → last login; pre token generation → claims.

Cognito waits five seconds for each, and an error denies the user what they asked for. So a handler raises an
error only where going on would be wrong, and with a message for the user.

https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-working-with-lambda-triggers.html
"""

import logging
import os
from datetime import UTC, datetime
from typing import Any

from shared.environment import name, read
from shared.startup import no_garbage_collection

with no_garbage_collection():
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    from .profiles import Profiles, User

    # Two attempts, and the pause of up to one second between them, end within Cognito's five seconds.
    _CONFIG = Config(
        connect_timeout=0.5, read_timeout=1.4, retries={"mode": "standard", "total_max_attempts": 2}
    )
    _profiles = Profiles(boto3.client("dynamodb", config=_CONFIG), read(os.environ, "TABLE_NAME", name))

logger = logging.getLogger()
logger.setLevel(logging.INFO)


class TryAgainLater(Exception):
    """A request failed for a reason that the log has; the message is for the user."""


def post_confirmation(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Create the user's profile, once: Cognito tries up to three times.

    Raises:
        TryAgainLater: It was not created. The user is confirmed all the same, and Cognito does not come back:
            the first login creates the profile.
    """
    if event["triggerSource"] == "PostConfirmation_ConfirmSignUp":  # and not a new password
        try:
            new = _profiles.create(User.of(event), _now())
        except (BotoCoreError, ClientError):
            logger.exception("no profile")
            raise TryAgainLater("You can sign in now, but your profile is not ready yet") from None
        logger.info("profile created" if new else "profile exists")
    return event


def post_authentication(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Record the login. That this fails is no reason to deny a login, so it is only logged."""
    try:
        _profiles.record_login(User.of(event), _now())
    except (BotoCoreError, ClientError):
        logger.exception("login not recorded")
    return event


def pre_token_generation(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Put the plan, and the domain of a verified address as tenant, into both tokens (V2_0).

    Raises:
        TryAgainLater: The plan is unknown. Services decide by it, so there are no tokens without it.
    """
    user = User.of(event)
    try:
        claims = {"plan": _profiles.plan_of(user)}
    except (BotoCoreError, ClientError):
        logger.exception("no plan")
        raise TryAgainLater("Signing in is not possible at the moment, try again later") from None
    if event["request"]["userAttributes"].get("email_verified") == "true":
        claims["tenant"] = user.email.rpartition("@")[2].lower()
    added = {"claimsToAddOrOverride": claims}
    event["response"] = {
        "claimsAndScopeOverrideDetails": {"idTokenGeneration": added, "accessTokenGeneration": added}
    }
    return event


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
