"""All kernels of minigrad, and all modules that define some."""

import importlib
import pkgutil

import minigrad
from minigrad.arrays.kernel import KERNELS

for module in pkgutil.walk_packages(minigrad.__path__, "minigrad."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)

NAMES = sorted(KERNELS)
