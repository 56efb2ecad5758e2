"""Settings for every test."""

from hypothesis import HealthCheck, settings

# the machine is shared with the servers the other tests run: how long an example takes says nothing
settings.register_profile("nexus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nexus")
