"""The committee's arithmetic, in CPU time of one thread: 32 elements, three of four seats."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from statistics import median

from benchmarks.report import Row
from mesh.days import Day
from mesh.evaluation import BATCH, compose_answer, compose_request, open_answer, open_request
from mesh.testing import make_mesh
from mesh.token import token_scalar
from proofs.holder import prove_holding, token_of, verify_holding
from proofs.oprf import blind_input, finalize
from proofs.ristretto import Scalar, random_scalars
from proofs.threshold.combining import combine

ROUNDS = 41
TODAY = Day(20_000)


def _cpu_ms(fn: Callable[[], object]) -> float:
    fn()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time_ns()
        fn()
        times.append(time.process_time_ns() - start)
    return median(times) / 1e6


def _scalars(count: int) -> list[Scalar]:
    return random_scalars(secrets.token_bytes(64), b"benchmark", count)


def run() -> list[Row]:
    """Measure each step of a regional check, and the holder proof of a signal."""
    world = make_mesh(4)
    mesh, asker = world.mesh, world.member(0)
    seats = mesh.constraints.committee.seats[: mesh.constraints.committee.threshold]
    first = world.member(seats[0].member)
    inputs = [secrets.token_bytes(32) for _ in range(BATCH)]
    blinds = _scalars(BATCH)
    elements = [blind_input(one, blind) for one, blind in zip(inputs, blinds, strict=True)]
    note = compose_request(mesh, asker.identity, elements, secrets.token_bytes(32), TODAY)

    def answer_of(name: str) -> bytes:
        request = open_request(mesh, note, TODAY, 1)
        member = world.member(name)
        return compose_answer(mesh, member.identity, world.shares[name], request, _scalars(1)[0])

    answers = {seat: answer_of(seat.member) for seat in seats}
    partials = {
        seat.index: open_answer(mesh, note, seat, answer).elements
        for seat, answer in answers.items()
    }
    unblinded = combine(partials, blinds)
    secret = [token_scalar(finalize(i, u)) for i, u in zip(inputs, unblinded, strict=True)]
    tokens = [token_of(x) for x in secret]
    proof = prove_holding(secret, b"benchmark", secrets.token_bytes(64))
    how = f"{BATCH} elements, median CPU time of {ROUNDS} runs"
    whole = f"request verified, evaluated, proven, signed; {how}"
    t = len(seats)

    def row(what: str, fn: Callable[[], object], asked: float | None = None) -> Row:
        return Row(what, _cpu_ms(fn), "ms", asked, how=how if asked is None else whole)

    return [
        row("a committee member's answer, 32 elements", lambda: answer_of(first.name), 6.0),
        row("asker: blind", lambda: [blind_input(i, b) for i, b in zip(inputs, blinds, strict=True)]),
        row("asker: verify one member's answer", lambda: open_answer(mesh, note, seats[0], answers[seats[0]])),
        row(f"asker: combine {t} answers and unblind", lambda: combine(partials, blinds)),
        row("holder proof of 32 tokens, prove", lambda: prove_holding(secret, b"benchmark", secrets.token_bytes(64))),
        row("holder proof of 32 tokens, verify", lambda: verify_holding(tokens, b"benchmark", proof)),
    ]  # fmt: skip
