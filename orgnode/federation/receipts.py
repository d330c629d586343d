"""Receipts of retractions: given to the issuer when its content is erased here, and asked for."""

from __future__ import annotations

from mesh.genesis import Mesh
from mesh.receipt import ForeignReceiptError, compose_receipt, open_receipt
from orgnode.federation.client import PeerClient
from orgnode.federation.ports import Today
from orgnode.store import Store
from proofs.note import Signer


class Receipts:
    """One organization's receipts, both ways. `identity` signs those that are given."""

    def __init__(
        self, *, mesh: Mesh, name: str, store: Store, identity: Signer, today: Today
    ) -> None:
        self._mesh = mesh
        self._name = name
        self._store = store
        self._identity = identity
        self._today = today

    async def give(self, peer: str, retraction: str) -> bytes | None:
        """The signed receipt for a retraction in the log of the peer that asks.

        None if that log holds no such retraction here, and while content that was erased may still
        be in a file: the peer asks again. It says that no copy of the content is held here, whether
        it was erased or never came; only what this version can't read is kept all the same.
        """
        done = self._store.retraction_done(peer, retraction)
        if done is None or self._store.scrub_due():  # in this order: see there
            return None
        target, erased = done
        return compose_receipt(
            self._mesh,
            self._identity,
            log=peer,
            retraction=retraction,
            target=target,
            erased=erased,
            day=self._today(),
        )

    async def collect(self, client: PeerClient) -> bool:
        """Ask a peer for receipts of own retractions that it has given none of.

        Returns whether it has given all that are due. Raises PeerError, MeshError or ProofsError
        when it does not answer as it should, StoreError.
        """
        peer, complete = client.card.name, True
        for retraction in self._store.unreceipted(peer):
            note = await client.receipt(retraction)
            if note is None:
                complete = False
                continue
            receipt = open_receipt(self._mesh, note)
            done = self._store.retraction_done(self._name, retraction)
            said = receipt.member, receipt.log, receipt.retraction, receipt.target
            if done is None or said != (peer, self._name, retraction, done[0]):
                raise ForeignReceiptError(f"{peer} gave a receipt for something else")
            await self._store.put_receipt(retraction, peer, note)
        return complete
