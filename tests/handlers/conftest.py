"""Settings for the tests of handlers."""

from hypothesis import HealthCheck, settings

# No test of this project fails because a machine is slow.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
