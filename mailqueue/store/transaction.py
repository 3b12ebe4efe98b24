"""The one class that has all changes, each written in the file of its topic."""

from __future__ import annotations

from collections.abc import Sequence

from mailqueue.model.engine import Identity
from mailqueue.model.message import Claimed, NewSubmission, Submission
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import NewNotice, Settlement
from mailqueue.store import claim, engines, settle, submit
from mailqueue.store.base import ClaimRequest
from mailqueue.store.batch import Batch


class SqliteTransaction:
    """Changes inside one write transaction; `mailqueue.store.base.Transaction` says what each promises."""

    __slots__ = ("batch",)

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    # -- submit --------------------------------------------------------------------------------
    def settings(self) -> Settings:  # noqa: D102
        return self.batch.settings()

    def replay(self, account_id: int, key: str) -> tuple[bytes, Submission] | None:  # noqa: D102
        return submit.replay(self.batch, account_id, key)

    def submit(self, new: NewSubmission) -> Submission:  # noqa: D102
        return submit.submit(self.batch, new)

    def begin_content(self, size: int, now: int) -> int:  # noqa: D102
        return submit.begin_content(self.batch, size, now)

    def append_content(self, content_id: int, number: int, data: bytes) -> None:  # noqa: D102
        submit.append_content(self.batch, content_id, number, data)

    # -- deliver -------------------------------------------------------------------------------
    def claim(self, request: ClaimRequest) -> list[Claimed]:  # noqa: D102
        return claim.claim(self.batch, request)

    def settle(  # noqa: D102
        self, settlements: Sequence[Settlement], notices: Sequence[NewNotice]
    ) -> frozenset[int]:
        return settle.settle(self.batch, settlements, notices)

    def warned(self, notice: NewNotice, reason: str) -> bool:  # noqa: D102
        return settle.warned(self.batch, notice, reason)

    def unwarned(self, message_ids: Sequence[int]) -> None:  # noqa: D102
        settle.unwarned(self.batch, message_ids)

    def put_back(self, messages: Sequence[Claimed], now: int) -> None:  # noqa: D102
        claim.put_back(self.batch, messages, now)

    def register_engine(self, identity: Identity, now: int) -> int:  # noqa: D102
        return engines.register(self.batch, identity, now)

    def heartbeat(self, engine_id: int, now: int) -> bool:  # noqa: D102
        return engines.heartbeat(self.batch, engine_id, now)

    def bury_engine(self, engine_id: int, now: int) -> int:  # noqa: D102
        return engines.bury(self.batch, engine_id)
