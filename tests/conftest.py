"""Hypothesis profiles: `dev` at the desk, `ci` where CI is set; HYPOTHESIS_PROFILE names another."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.cluster.plugin"]

# No deadlines: a slow machine is not a finding. Compilation of a large example is slow by design.
settings.register_profile("dev", max_examples=50, deadline=None)
# Derandomised, so that a red run stays red until somebody fixes it, and a green one means the same tomorrow.
settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
