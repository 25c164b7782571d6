"""How the project's own tests use hypothesis: the same examples in every run, and no time to keep.

``HYPOTHESIS_PROFILE=explore`` draws others each time: a search, where plain tox is a gate.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("gate", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))
