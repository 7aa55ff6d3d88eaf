"""The decision: rows and their confirmation in; the winner, the runner-up and the reasons against the others out."""

from densebench.decision.answer import Choice, Decision, Outcome, Ratio, Reason
from densebench.decision.confirmation import Confirmation
from densebench.decision.decide import decide
from densebench.decision.objective import OBJECTIVES
from densebench.spec import Limits, Objective

__all__ = [
    "OBJECTIVES",
    "Choice",
    "Confirmation",
    "Decision",
    "Limits",
    "Objective",
    "Outcome",
    "Ratio",
    "Reason",
    "decide",
]
