"""The check: is this text known to the mesh, and what does the operator's policy make of it.

    text → windows → without everyday text, own templates, allowed texts
         → promotions in the own database                         (local)
         → tokens from the committee → signals in the own database (regional, global)
         → the mesh's rules → the operator's rules → an answer

The kill switch comes before everything. In monitor mode nothing that is found changes the answer.
When the mesh can't verify, the route's fail mode decides, and the reason says why. What was found
to be a block can be judged afterwards: the breaker keeps its tokens and digests, and holds back
tokens that turn out to block benign texts.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, ParamSpec, Protocol, TypeVar

import structlog

from mesh.fingerprint import EmptyTextError, Query, SelectionKey, query_fingerprint
from mesh.genesis import Mesh
from mesh.matching import Finding, Judgement, KnownToken, Matched, judge
from mesh.normalize import normalize
from mesh.routing import Tier, sampled, tier_for
from orgnode.checking.breaker import CheckBreaker
from orgnode.checking.errors import UnverifiedError
from orgnode.checking.evidence import Evidence
from orgnode.checking.followup import FollowUp, Sample
from orgnode.checking.meters import CheckMetrics
from orgnode.checking.policy import Policy, Rules
from orgnode.checking.policyfile import PolicyFile
from orgnode.checking.question import CheckAnswer, CheckQuestion, Verdict
from orgnode.checking.texts import Dropped
from orgnode.evaluating.errors import CommitteeUnreachableError, EvaluationBudgetError
from orgnode.metrics import Metrics
from orgnode.store import Store

log = structlog.get_logger(__name__)

SHORT_TEXT: Final = 2_000
"""A text of so many characters is fingerprinted in less time than a thread's turn takes."""

FINGERPRINT_SECONDS: Final = 1.0
"""How long fingerprinting a long text may take, waiting for a thread included."""

SAMPLE_SECONDS: Final = 1.0
"""How long the committee may take over a sample."""

GLOBAL_NOTE: Final = (
    "a global check is a regional one with more time: other organizations are not asked to vote yet"
)
# The evaluator keeps the deadline itself, and then can say which seats did not answer.
_GRACE_SECONDS = 0.02
_RANDOM: Final = random.SystemRandom()
_FEW_INPUTS = 256  # looked up in less time than a thread's turn takes


P = ParamSpec("P")
T = TypeVar("T")


class Threads(Protocol):
    """Runs blocking functions off the event loop; `Workers` does."""

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short blocking function in a thread."""
        ...


class TokenEvaluator(Protocol):
    """Evaluates windows with the committee."""

    async def tokens(self, inputs: Sequence[bytes], deadline: float) -> dict[bytes, str]:
        """The token of each input, within `deadline` seconds."""
        ...


@dataclass(frozen=True)
class _Found:
    """What the windows of a text were found to be."""

    inputs: Sequence[bytes]
    known: Mapping[bytes, Matched]
    judgement: Judgement


@dataclass(frozen=True)
class _Outcome:
    finding: Verdict
    reason: str
    verified: bool = True
    windows: int = 0
    found: _Found | None = None
    notes: tuple[str, ...] = ()


class Checker:
    """Answers checks for one node. Any task may call it.

    `benign` holds the windows of the mesh's benign corpus; `clock` counts seconds, `now` tells the
    time in Unix seconds, `uniform` draws a number from 0 up to 1. Without a `breaker` it makes one
    that forgets everything with the process.
    """

    def __init__(
        self,
        *,
        mesh: Mesh,
        name: str,
        selection_key: SelectionKey,
        store: Store,
        evaluator: TokenEvaluator,
        policy: PolicyFile,
        benign: Container[bytes],
        workers: Threads,
        metrics: Metrics,
        breaker: CheckBreaker | None = None,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], float] = time.time,
        uniform: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._mesh = mesh
        self._key = selection_key
        self._evaluator = evaluator
        self._policy = policy
        self._benign = benign
        self._workers = workers
        self._clock = clock
        self._uniform = uniform
        self.breaker = breaker or CheckBreaker.volatile()
        self._evidence = Evidence(mesh, store, now)
        self._metrics = CheckMetrics(metrics)
        metrics.on_scrape(self._scrape)
        self.samples = FollowUp(self._examine, self._metrics)

    @property
    def policy(self) -> PolicyFile:
        """The operator's rules."""
        return self._policy

    def dropped_windows(self) -> Container[bytes]:
        """Inputs that are never asked for, matched or published, as of now."""
        return Dropped(self._benign, self._policy.current.dropped)

    def warnings(self) -> tuple[str, ...]:
        """What in the rules has no effect: a trusted issuer that is no member."""
        members = {card.name for card in self._mesh.members}
        strangers = [name for name in self._policy.current.settings.trusted if name not in members]
        return tuple(f"trusted: {name} is no member of this mesh" for name in strangers)

    async def refresh(self) -> Policy:
        """Look whether the operator's rules changed; returns those in force."""
        return await self._policy.refresh(self._workers.run)

    async def close(self) -> None:
        """Give up samples that wait, and finish reading the policy."""
        await self.samples.close()
        await self._policy.close()

    async def check(self, question: CheckQuestion) -> CheckAnswer:
        """Answer a check. What goes wrong with the mesh is in the answer, not an error.

        :raises RiskRangeError: the risk score is no number from 0 to 1.
        :raises StoreError: the own database can't be read.
        """
        started = self._clock()
        tier = tier_for(question.risk)
        policy = await self.refresh()
        rules = policy.rules(question.route, question.tenant)
        if policy.settings.kill_switch:
            outcome = _Outcome(Verdict.ALLOW, "the kill switch is on: nothing was checked")
        else:
            outcome = await self._find(question, policy, rules, tier, started)
        judgement = None if outcome.found is None else outcome.found.judgement
        check = await self._note(outcome.found)
        answer = CheckAnswer(
            answer=Verdict.ALLOW if rules.mode == "monitor" else outcome.finding,
            finding=outcome.finding,
            mode=rules.mode,
            tier=tier,
            route=question.route,
            tenant=question.tenant,
            reason=outcome.reason,
            took_ms=(self._clock() - started) * 1000,
            verified=outcome.verified,
            windows=outcome.windows,
            tokens=() if judgement is None else judgement.tokens,
            share=0.0 if judgement is None else self._share(judgement),
            notes=outcome.notes,
            check=check,
        )
        self._metrics.answered(answer)
        return answer

    async def _note(self, found: _Found | None) -> str | None:
        """Have a block noted, whatever it leads to; returns the id that it can be judged by."""
        self.breaker.look()
        if found is None or found.judgement.finding is not Finding.BLOCK:
            return None
        return await self.breaker.blocked(found.inputs, found.known, found.judgement)

    def _scrape(self) -> None:
        self._metrics.policy_broken.set(1 if self._policy.problem else 0)
        self._metrics.held.set(len(self.breaker.held))

    async def _find(
        self,
        question: CheckQuestion,
        policy: Policy,
        rules: Rules,
        tier: Tier,
        started: float,
    ) -> _Outcome:
        notes = (GLOBAL_NOTE,) if tier is Tier.GLOBAL else ()
        try:
            queries = await self._queries(question.texts, policy)
        except UnverifiedError as error:
            return self._failed(error, rules, None, 0, notes)
        if not queries:
            return _Outcome(
                Verdict.ALLOW,
                "there are no letters or digits in it, so nothing to match",
                notes=notes,
            )
        inputs = _inputs(queries)
        if not inputs:
            return _Outcome(
                Verdict.ALLOW,
                "all of it is everyday text, an own template or an allowed text",
                notes=notes,
            )
        promoted = await self._promoted(inputs, policy)
        local = _Found(inputs, promoted, self._judged(queries, promoted, policy))
        if tier is Tier.LOCAL or local.judgement.finding is Finding.BLOCK:
            if question.risk is None:
                self._sample(queries, local.judgement, policy)
            return _outcome(local, notes)
        remaining = policy.settings.seconds(tier) - (self._clock() - started)
        try:
            known = await self._evaluated(inputs, policy, remaining)
        except UnverifiedError as error:
            return self._failed(error, rules, local, len(inputs), notes)
        return _outcome(_Found(inputs, known, self._judged(queries, known, policy)), notes)

    async def _queries(self, texts: Sequence[str], policy: Policy) -> tuple[Query, ...]:
        """The windows of the texts, and of all of them in a row if there are several.

        *Attack:* an attack cut into messages each too short for a window is still one attack to
        the model that reads them in a row.
        """
        limit = policy.settings.max_characters
        length = sum(map(len, texts))
        if length > limit:
            raise _too_long(length, limit)
        drop = Dropped(self._benign, policy.dropped)
        if length <= SHORT_TEXT:
            texts = [_plain(text) for text in texts]
            if sum(map(len, texts)) <= 2 * SHORT_TEXT:
                return _fingerprints(self._key, texts, drop, limit)
        try:
            async with asyncio.timeout(FINGERPRINT_SECONDS):
                return await self._workers.run(_fingerprints, self._key, texts, drop, limit)
        except TimeoutError:
            raise UnverifiedError(
                "busy", f"the text was not prepared within {FINGERPRINT_SECONDS:g} s"
            ) from None

    async def _promoted(self, inputs: Sequence[bytes], policy: Policy) -> Mapping[bytes, Matched]:
        if len(inputs) <= _FEW_INPUTS:
            return self._evidence.promoted(inputs, policy.ignored)
        return await self._workers.run(self._evidence.promoted, inputs, policy.ignored)

    async def _evaluated(
        self, inputs: Sequence[bytes], policy: Policy, seconds: float
    ) -> Mapping[bytes, Matched]:
        promoted = await self._promoted(inputs, policy)
        # The token of a promoted window is known: asking for it would only spend the budget.
        asked = [given for given in inputs if given not in promoted]
        most = policy.settings.max_evaluations
        if len(asked) > most:
            raise UnverifiedError(
                "too many",
                f"the text has {len(asked)} parts, and the committee is asked about at most {most} "
                "(`max_evaluations` of the policy)",
            )
        if seconds <= 0:
            raise UnverifiedError("deadline", "the deadline passed before the committee was asked")
        try:
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                tokens = await self._evaluator.tokens(asked, seconds) if asked else {}
        except CommitteeUnreachableError as error:
            raise UnverifiedError("committee", _words(error)) from None
        except EvaluationBudgetError as error:
            raise UnverifiedError("budget", _words(error)) from None
        except TimeoutError:
            committee = self._mesh.constraints.committee
            raise UnverifiedError(
                "deadline",
                f"fewer than {committee.threshold} of the committee's {len(committee.seats)} seats "
                "answered within the deadline",
            ) from None
        if len(inputs) <= _FEW_INPUTS:
            return self._evidence.known(tokens, inputs, policy.ignored)
        return await self._workers.run(self._evidence.known, tokens, inputs, policy.ignored)

    def _judged(
        self, queries: Sequence[Query], known: Mapping[bytes, Matched], policy: Policy
    ) -> Judgement:
        best: Judgement | None = None
        tokens: dict[str, KnownToken] = {}
        for query in queries:
            chunks = [[known[one] for one in chunk if one in known] for chunk in query.chunks]
            judgement = judge(
                self._mesh.constraints,
                chunks,
                exact=query.exact,
                trusted=policy.trusted,
                held=self.breaker.held,
            )
            tokens.update({one.token: one for one in judgement.tokens})
            if best is None or judgement.finding.rank > best.finding.rank:
                best = judgement
        assert best is not None
        return replace(best, tokens=tuple(tokens.values()))

    def _failed(
        self,
        error: UnverifiedError,
        rules: Rules,
        local: _Found | None,
        windows: int,
        notes: tuple[str, ...],
    ) -> _Outcome:
        """The fail mode's finding, unless what is known without the committee is worse."""
        self._metrics.unverified.labels(error.label).inc()
        finding = Verdict(rules.fail)
        reason = f"{error.reason}; the fail mode of this route is {rules.fail}"
        judgement = None if local is None else local.judgement
        if judgement is not None and Verdict.of(judgement.finding).rank > finding.rank:
            finding = Verdict.of(judgement.finding)
            reason = f"{judgement.reason}; beyond that, {error.reason}"
        return _Outcome(finding, reason, False, windows, local, notes)

    def _sample(self, queries: tuple[Query, ...], local: Judgement, policy: Policy) -> None:
        rate = policy.settings.sample_rate
        if rate and sampled(rate, self._uniform()):
            self.samples.offer(Sample(queries, local.finding))

    async def _examine(self, sample: Sample) -> tuple[Finding, tuple[str, ...]]:
        policy = self._policy.current
        inputs = _inputs(sample.queries)
        known = await self._evaluated(inputs, policy, SAMPLE_SECONDS)
        judgement = self._judged(sample.queries, known, policy)
        signals = {source.signal: None for one in judgement.tokens for source in one.sources}
        return judgement.finding, tuple(signals)

    def _share(self, judgement: Judgement) -> float:
        wanted = self._mesh.constraints.matching.block_tokens
        return min(1.0, len(judgement.tokens) / wanted)


def _fingerprints(
    key: SelectionKey, texts: Sequence[str], drop: Container[bytes], limit: int
) -> tuple[Query, ...]:
    plain = [_plain(text) for text in texts]
    # One character can stand for eighteen: what counts is what has to be hashed.
    length = sum(map(len, plain))
    if length > limit:
        raise _too_long(length, limit)
    several = [*plain, "\n".join(plain)] if len(plain) > 1 else plain
    found = []
    for text in several:
        try:
            found.append(query_fingerprint(key, text, drop=drop))
        except EmptyTextError:
            continue
    return tuple(found)


def _plain(text: str) -> str:
    """The text, normalized unless it is ASCII, of which normalizing makes no more characters."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # Halves of surrogate pairs have no UTF-8, and are no letters.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return normalize(text)


def _too_long(length: int, limit: int) -> UnverifiedError:
    return UnverifiedError(
        "too long",
        f"the text has {length} characters, and at most {limit} are checked "
        "(`max_characters` of the policy)",
    )


def _inputs(queries: Sequence[Query]) -> list[bytes]:
    return list(dict.fromkeys(given for query in queries for given in query.inputs))


def _outcome(found: _Found, notes: tuple[str, ...]) -> _Outcome:
    return _Outcome(
        Verdict.of(found.judgement.finding),
        found.judgement.reason,
        windows=len(found.inputs),
        found=found,
        notes=notes,
    )


def _words(error: CommitteeUnreachableError | EvaluationBudgetError) -> str:
    return str(error).rstrip(".")
