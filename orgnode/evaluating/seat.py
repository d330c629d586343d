"""This node's seat on the committee: evaluates members' blinded windows with its share, metered.

In this order: the request is verified, its signer must be whoever holds the connection, the asker
is charged, durably, and only then its elements meet the share.

A request that was seen before is answered again and charged again. Only its own signer can send it,
so a repetition gains nothing that the first answer did not give; remembering all requests to refuse
it would cost memory, and would fail an asker whose connection broke before the answer was there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import structlog

from mesh.committee import Seat
from mesh.days import Day
from mesh.errors import MeshError
from mesh.evaluation import compose_answer, open_request
from mesh.genesis import Mesh
from mesh.metering import compose_counts
from orgnode.errors import OrgnodeError
from orgnode.evaluating.errors import NoSeatError
from orgnode.evaluating.ledger import Ledger
from orgnode.evaluating.meters import SeatMetrics
from orgnode.federation.errors import NotYourRequestError
from orgnode.federation.ports import QuickWorkers
from orgnode.metrics import Metrics
from orgnode.store import Store
from proofs.errors import ProofsError
from proofs.note import Signer
from proofs.oprf import evaluate
from proofs.ristretto import Element, Scalar, random_scalars

log = structlog.get_logger(__name__)

_NONCE_LABEL = b"signal-mesh/v1/seat nonce"


class SeatService:
    """Answers requests for evaluation with one seat's share. For one event loop.

    `signer` is the member's identity key, `share` the secret share of its seat, `today` the
    current day.

    :raises NoSeatError: the member has no seat.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        signer: Signer,
        share: Scalar,
        store: Store,
        workers: QuickWorkers,
        today: Callable[[], Day],
        metrics: Metrics,
    ) -> None:
        seat = mesh.constraints.committee.seat_of(name)
        if seat is None:
            raise NoSeatError(
                f"{name} has no seat on the committee", hint="remove the share from its keys"
            )
        self.seat: Seat = seat
        self._mesh = mesh
        self._name = name
        self._signer = signer
        self._share = share
        self._workers = workers
        self._today = today
        self._ledger = Ledger(mesh.constraints.evaluation_budget, store)
        self._metrics = SeatMetrics(metrics)

    async def answer(self, peer: str, note: bytes) -> bytes:
        """Answer the signed request of a member with a signed evaluation.

        :param peer: the member whose key the connection's other end has proven.
        :raises NotYourRequestError: another member signed it.
        :raises BudgetExceededError: the asker's day is used up; nothing was evaluated.
        :raises EvaluationRequestError, NoteError, MeshError: the request does not hold.
        :raises StoreError: the charge can't be made durable.
        """
        try:
            return await self._answer(peer, note)
        except (OrgnodeError, MeshError, ProofsError) as error:
            self._metrics.refused.labels(peer, type(error).__name__).inc()
            raise

    async def _answer(self, peer: str, note: bytes) -> bytes:
        mesh, today = self._mesh, self._today()
        skew = mesh.constraints.clock_skew_days
        request = await self._workers.quick(open_request, mesh, note, today, skew)
        if request.asker != peer:
            raise NotYourRequestError(
                f"the request is signed by {request.asker}, not by {peer}, which sent it"
            )
        await self._ledger.charge(peer, today)
        nonce = random_scalars(os.urandom(64), _NONCE_LABEL, 1)[0]
        answer = await self._workers.quick(
            compose_answer, mesh, self._signer, self._share, request, nonce
        )
        self._metrics.answered.labels(peer).inc()
        return answer

    async def evaluate(self, elements: tuple[Element, ...]) -> tuple[Element, ...]:
        """Evaluate for this node itself: charged like anybody's, but there is nobody to convince.

        :raises BudgetExceededError, StoreError: see `answer`.
        """
        await self._ledger.charge(self._name, self._today())
        return await self._workers.quick(evaluate, self._share, elements)

    def counts(self) -> dict[str, int]:
        """Elements evaluated today, by asker; too high by up to a block for each restart."""
        return self._ledger.counts(self._today())

    def counts_note(self) -> bytes:
        """The signed note of `counts`, which any member may have."""
        return compose_counts(self._mesh, self._signer, self._today(), self.counts())
