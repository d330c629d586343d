"""What judging blocked checks takes and gives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mesh.breaker import Judge, Opinion
from orgnode.api.models import Answer, Hash, Request
from orgnode.checking import BreakerStatus, JudgedCheck

OpinionName = Literal["benign", "malicious"]
JudgeName = Literal["person", "evaluator"]
CheckId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

MAX_WAITING = 100
"""Most blocked checks that are listed."""


class JudgementRequest(Request):
    """What a blocked text turned out to be."""

    verdict: OpinionName = Field(description="`benign`: it should not have been blocked")
    by: JudgeName = Field(
        default="person",
        description="Who says so; an evaluator of this organization never overrules a person",
    )

    @property
    def opinion(self) -> Opinion:
        """The verdict."""
        return Opinion(self.verdict)

    @property
    def judge(self) -> Judge:
        """Who judged."""
        return Judge(self.by)


class JudgementAnswer(Answer):
    """What became of a judgement; durable."""

    check: CheckId
    verdict: OpinionName
    by: JudgeName
    shadowed: list[Hash] = Field(
        description="Names of tokens that can't block here any more because of it; see `token`"
    )
    in_shadow: list[Hash] = Field(
        description="Names of all tokens of the text that can't block here now"
    )
    upheld: list[Hash] = Field(
        default=[],
        description="Names of tokens of the text that block because a person stood by them (judged "
        "a text with them malicious, or had them block again): what was judged benign before that "
        "does not count for them",
    )
    malicious: list[CheckId] = Field(
        default=[],
        description="Texts with any of `upheld` that a person judged malicious, oldest first",
    )

    @classmethod
    def of(cls, judged: JudgedCheck) -> JudgementAnswer:
        """Show a judgement."""
        return cls(
            check=judged.check,
            verdict=judged.opinion.value,
            by=judged.by.value,
            shadowed=list(judged.shadowed),
            in_shadow=list(judged.in_shadow),
            upheld=list(judged.upheld),
            malicious=list(judged.malicious),
        )


class ShadowAnswer(Answer):
    """A token that escalates here and never blocks, until a person lifts that."""

    token: Hash = Field(
        description="Its name here: a digest of the token under a key of this node, which keeps no "
        "tokens of what may be retracted"
    )
    since: int = Field(description="Unix seconds")
    checks: list[CheckId] = Field(description="Blocked texts, judged benign, that put it there")


class BlockedCheckAnswer(Answer):
    """A blocked text that can be judged."""

    check: CheckId
    at: int = Field(description="When it was blocked first, Unix seconds")
    tokens: int = Field(description="How many of its tokens counted for the block")
    verdict: OpinionName | None = Field(default=None, description="null while nobody judged it")
    by: JudgeName | None = None


class BreakerAnswer(Answer):
    """What the mesh makes this node block, and what of it turned out to be benign."""

    shadow: list[ShadowAnswer] = Field(description="In the order in which they came")
    blocked: int = Field(description="Checks that found a block within the last `seconds`")
    seconds: int
    alarm: bool = Field(description="Whether that is so many that a person should look")
    waiting: list[BlockedCheckAnswer] = Field(
        description=f"The newest {MAX_WAITING} blocked texts that nobody has judged, newest first"
    )
    judged: list[BlockedCheckAnswer] = Field(description="What was judged, newest first")

    @classmethod
    def of(cls, status: BreakerStatus) -> BreakerAnswer:
        """Show the breaker."""
        return cls(
            shadow=[
                ShadowAnswer(token=one.token, since=one.since, checks=list(one.checks))
                for one in status.shadow
            ],
            blocked=status.blocked,
            seconds=status.seconds,
            alarm=status.alarm,
            waiting=[
                BlockedCheckAnswer(check=one.check, at=one.at, tokens=len(one.tokens))
                for one in status.waiting[:MAX_WAITING]
            ],
            judged=[
                BlockedCheckAnswer(
                    check=one.text.check,
                    at=one.text.at,
                    tokens=len(one.text.tokens),
                    verdict=one.opinion.value,
                    by=one.by.value,
                )
                for one in reversed(status.judged)
            ],
        )


class LiftAnswer(Answer):
    """A token that blocks again; durable."""

    token: Hash
