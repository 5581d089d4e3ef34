"""What plans cost on the target, from profiles of a few whole plans."""

from octavo.search.price.fit import fit
from octavo.search.price.prices import Cost, Prices
from octavo.search.price.profiles import PlanProfile, Profiler

__all__ = ["Cost", "PlanProfile", "Prices", "Profiler", "fit"]
