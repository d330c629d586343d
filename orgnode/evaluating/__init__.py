"""Evaluating windows with the committee that shares the mesh's key.

SeatService   this node's seat: evaluates for members, metered
Evaluator     asks enough seats and puts their answers together

committee_status   how the committee looks from here
"""

from orgnode.evaluating.asker import Evaluator
from orgnode.evaluating.errors import (
    CommitteeUnreachableError,
    EvaluatingError,
    EvaluationBudgetError,
    NoSeatError,
)
from orgnode.evaluating.seat import SeatService
from orgnode.evaluating.status import SeatStatus, committee_status

__all__ = [
    "CommitteeUnreachableError",
    "EvaluatingError",
    "EvaluationBudgetError",
    "Evaluator",
    "NoSeatError",
    "SeatService",
    "SeatStatus",
    "committee_status",
]
