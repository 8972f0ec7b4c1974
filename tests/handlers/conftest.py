"""Settings for the tests of handlers."""

import functools

import botocore.session
from hypothesis import HealthCheck, settings

# No test of this project fails because a machine is slow.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A handler makes its clients anew for each test, in a new session, which would read the model of each service
# anew, too: that is four fifths of the time to make a client.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
