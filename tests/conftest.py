"""What the project's own tests share: a small cluster, and how they use hypothesis: the same examples in every run, and
no time to keep.

``HYPOTHESIS_PROFILE=explore`` draws others each time: a search, where plain tox is a gate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("gate", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.fixture(scope="session")
def cluster_address() -> Iterator[str]:
    """A Dask scheduler with two workers, all in this process."""
    import distributed

    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "resources": {"machine": 1}}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **options) as workers:
        yield workers.scheduler_address
