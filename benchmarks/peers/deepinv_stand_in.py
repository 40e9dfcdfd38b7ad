"""Lets mri-nufft 1.5.1 differentiate without deepinv.

Its module of derivatives imports deepinv, and with it torchvision, for one wrapper class that no benchmark uses. There
is no torchvision for every build of torch; the derivatives themselves need neither.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def provide() -> None:
    """Put an empty base class where `mrinufft` looks for deepinv's; call before `mrinufft` is imported."""
    if importlib.util.find_spec("deepinv") is not None:
        return
    names = ("deepinv", "deepinv.physics", "deepinv.physics.forward")
    sys.modules.update({name: ModuleType(name) for name in names})
    sys.modules[names[-1]].LinearPhysics = object  # type: ignore[attr-defined]
