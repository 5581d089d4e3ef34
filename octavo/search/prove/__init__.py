"""Proving that a plan keeps the accuracy of FP32, by as few samples as the claim allows."""

from octavo.search.prove.corpus import Estimate, Values, bootstrap
from octavo.search.prove.margin import Margin
from octavo.search.prove.sequence import Levels, Sequence, Wealth, lower_bound
from octavo.search.prove.trial import CorpusTrial, Trial
from octavo.search.prove.verdict import Basis, Conclusion, Decision, Verdict
from octavo.search.prove.walk import Walk, split

__all__ = [
    "Basis",
    "Conclusion",
    "CorpusTrial",
    "Decision",
    "Estimate",
    "Levels",
    "Margin",
    "Sequence",
    "Trial",
    "Values",
    "Verdict",
    "Walk",
    "Wealth",
    "bootstrap",
    "lower_bound",
    "split",
]
