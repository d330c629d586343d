"""A log of one member and its followers, as the tests of following use them."""

from mesh.assessment import Assessed
from mesh.follower import MAX_SEGMENT, LogFollower
from mesh.following import CheckedSegment, FollowerState
from mesh.history import LogHistory, TreeReader
from mesh.testing import TODAY, OrgLog, ProofChecker, Rows, make_mesh

WORLD = make_mesh(4)
MESH = WORLD.mesh
CARD = WORLD.member(0).card
PROOFS = ProofChecker()


def opaque_log(length: int, tag: str = "") -> OrgLog:
    """A log of entries that are refused one by one: cheap, and the tree is a tree."""
    log = OrgLog(WORLD, 0)
    grow(log, length, tag)
    return log


def grow(log: OrgLog, length: int, tag: str = "") -> None:
    for index in range(log.size, length):
        log.append_note(f"entry {index} {tag}".encode())


def branch(log: OrgLog, at: int, length: int) -> OrgLog:
    other = log.fork(at)
    grow(other, length, "on another branch")
    return other


def follower(
    state: FollowerState | None = None,
    *,
    tree: TreeReader | None = None,
    history: LogHistory | None = None,
    segment: int = MAX_SEGMENT,
) -> LogFollower:
    """A follower of `BIG` or, with a tree of its own, of another log."""
    return LogFollower(
        MESH,
        CARD,
        state or FollowerState.empty(),
        history=Rows() if history is None else history,
        tree=BIG if tree is None else tree,
        segment=segment,
    )


def fetched(log: OrgLog, at: LogFollower) -> CheckedSegment:
    segment = at.next_segment()
    assert segment is not None
    return at.check(
        segment,
        log.entries(segment.start, segment.end),
        log.bodies(segment.start, segment.end),
        log.nodes(segment.tail),
        TODAY,
    )


def step(log: OrgLog, at: LogFollower) -> tuple[Assessed, ...]:
    checked = fetched(log, at)
    return at.conclude(checked, PROOFS(checked.claims))


def followed(log: OrgLog, size: int | None = None) -> LogFollower:
    """A follower that has reached the first `size` entries of a log."""
    reached = follower()
    reached.offer(log.checkpoint(size))
    while reached.next_segment() is not None:
        step(log, reached)
    return reached


def halfway(log: OrgLog, done: int, target: int, checkpoint: int | None = None) -> LogFollower:
    """A follower on its way: `checkpoint` reached, `done` processed, `target` being followed."""
    state = FollowerState(
        size=done,
        frontier=log.frontier(done),
        checkpoint=None if checkpoint is None else log.checkpoint(checkpoint),
        target=log.checkpoint(target),
    )
    return follower(state)


BIG = opaque_log(700)
