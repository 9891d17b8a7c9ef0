"""All kernels of minigrad, and all modules that define some."""

import importlib
import pkgutil

import minigrad
from minigrad.arrays.kernel import KERNELS

for module in pkgutil.walk_packages(minigrad.__path__, "minigrad."):
    if module.name.endswith(("__main__", ".mpi_communicator")):  # the second needs mpi4py
        continue
    importlib.import_module(module.name)

NAMES = sorted(KERNELS)
