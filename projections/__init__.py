"""The questions headquarters asks: one file each. Importing this package declares every projection and report that lies in it."""

from importlib import import_module
from pkgutil import iter_modules

from projections.base import PROJECTIONS, Projection
from projections.report import REPORTS, Report

for found in iter_modules(__path__):
    import_module(f"{__name__}.{found.name}")

__all__ = ["PROJECTIONS", "REPORTS", "Projection", "Report"]
