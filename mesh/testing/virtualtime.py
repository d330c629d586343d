"""An asyncio event loop whose clock jumps: a minute of timeouts takes a millisecond, and a seed
decides the order in which ready callbacks run.

    loop = VirtualLoop(seed=7)
    loop.run(main())                      # returns what main returned; closes the loop

- `loop.time()` starts at 0 and moves only when nothing is ready to run: then it jumps to the next
  timer. `Clock` derives the wall clock of one machine from it, with a skew.
- Callbacks that are ready at the same moment run in an order drawn from the seed. asyncio promises
  the order of registration, but no program may lean on the order in which two machines act.
- Executors run what they are given at once, in this thread.
- A program that waits for what can't come any more gets a `DeadlockError` with the list of its
  tasks; one that spins gets a `StepBudgetError`. Both would hang a real loop.
- Tasks may belong to a `Machine`. When its power is cut (`Machine.kill`), none of its callbacks
  ever runs again: no `finally`, no `except CancelledError`, as in reality.

Nothing here opens a socket or a thread; asking the loop for a socket raises NotImplementedError.
"""

import asyncio
import heapq
from asyncio import base_events
from collections import Counter, deque
from collections.abc import Callable, Collection, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from mesh.testing.seeds import seeded

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

DEFAULT_STEPS: Final = 2_000_000
"""Callbacks that one run may take: far above what a run of minutes needs."""

_COMPACT_ABOVE = 256
_TIDY = 256
_SAMPLE = 500
_BUSIEST = 5
_UNWINDING = 20


class VirtualTimeError(RuntimeError):
    """The program under test can't go on on a virtual clock."""


class DeadlockError(VirtualTimeError):
    """Nothing is ready, no timer is set, and the program is not done: it waits for ever."""


class StepBudgetError(VirtualTimeError):
    """More callbacks ran than a run may take: two tasks wake each other without end, perhaps."""


class Machine:
    """One computer of the simulation: the tasks that die together when it loses power.

    A machine that is killed stays dead; what restarts is another Machine.
    """

    def __init__(self, name: str, loop: "VirtualLoop", *, may_fail: bool = False) -> None:
        self.name = name
        self.alive = True
        self.may_fail = may_fail
        """Whether tasks that fail unheard are nobody's concern: it is a liar's machine."""
        self._loop = loop
        self._context = copy_context()
        self._context.run(_MACHINE.set, self)

    def __repr__(self) -> str:
        return f"<Machine {self.name}{'' if self.alive else ' (dead)'}>"

    def start(self, coro: Coroutine[Any, Any, T], name: str = "") -> asyncio.Task[T]:
        """Start a task that belongs to this machine, and so does every task that it starts."""
        return self._loop.create_task(
            coro, name=f"{self.name}:{name}", context=self._context.copy()
        )

    @property
    def context(self) -> Context:
        """A context of this machine, for callbacks that are to die with it."""
        return self._context.copy()

    def kill(self) -> None:
        """Cut the power: nothing of this machine runs any more."""
        self.alive = False
        self._loop.bury(self)


_MACHINE: ContextVar[Machine | None] = ContextVar("machine", default=None)


def current_machine() -> Machine | None:
    """The machine that the running task belongs to, if it belongs to one."""
    return _MACHINE.get()


class Clock:
    """One machine's wall clock: seconds since 1970-01-01 UTC. `skew` may be changed at any time."""

    def __init__(self, loop: "VirtualLoop", start: float, skew: float = 0.0) -> None:
        self.skew = skew
        self._loop = loop
        self._start = start

    def __call__(self) -> float:
        """Seconds since 1970-01-01 UTC, as this machine has it."""
        return self._start + self._loop.now + self.skew


class _Handle(list[Any]):
    """When a callback is due, its number, the callback (None once it ran or was cancelled), its
    arguments, its context, and the loop if it waits for its time.

    A list, for the heap to compare and the loop to take apart: asyncio's own handles cost more than
    most of what they call.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """As `asyncio.Handle.cancel`."""
        if self[2] is not None:
            self[2] = self[3] = None
            if self[5] is not None:
                self[5].note_cancelled()

    def cancelled(self) -> bool:
        """Whether it is never going to run; true of one that has run, too."""
        return self[2] is None

    def when(self) -> float:
        """As `asyncio.TimerHandle.when`."""
        due: float = self[0]
        return due


class VirtualLoop(base_events.BaseEventLoop):
    """See the module. A loop is good for one run.

    :param seed: decides the order of what is ready at the same moment.
    :param steps: callbacks that the run may take.
    """

    # What the base class keeps; typeshed does not list it.
    _ready: deque[Any]
    _stopping: bool

    def __init__(self, seed: object = 0, *, steps: int = DEFAULT_STEPS) -> None:
        super().__init__()
        self.set_debug(False)
        self.now = 0.0
        """Virtual seconds since the start."""
        self.steps = 0
        """Callbacks run so far."""
        self.over = False
        """Whether the run has ended: what is said from then on are last words, and no findings."""
        self.tolerated: Counter[str] = Counter()
        """Errors of tasks that may fail, and of machines that were dead by then."""
        self._heap: list[Any] = []
        self._timers = 0
        self._cancelled = 0
        self._budget = steps
        self._random = seeded("loop", seed).random
        self._busiest: Counter[str] = Counter()
        # Dicts, not sets: what is closed at the end is closed in the order in which it began. Some
        # of them are done: `_tidy` says when they are looked at.
        self._living: dict[asyncio.Task[Any], Machine | None] = {}
        self._tidy_at = _TIDY
        self._dead: list[asyncio.Task[Any]] = []
        self._failed: list[asyncio.Task[Any]] = []
        self._broken: list[BaseException] = []
        self.set_exception_handler(self._on_error)

    def __del__(self) -> None:
        """A loop that never ran holds nothing that must be closed."""

    # --- running

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run to the end of `main`, drop what it left behind, and close the loop.

        :raises DeadlockError: nothing can happen any more and `main` is not done.
        :raises StepBudgetError: the run takes too many steps.
        :raises BaseExceptionGroup: tasks that nobody awaited ended with errors.
        """
        try:
            with _unlisted():
                result = self.run_until_complete(main)
        finally:
            forgotten = self._forgotten()
            self._sweep()
            self._heap.clear()
            self.close()
        if forgotten:
            raise BaseExceptionGroup("tasks that nobody awaited ended with errors", forgotten)
        return result

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self.now

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As every loop does."""
        if context is None:
            context = copy_context()
        handle = _Handle((0.0, 0, callback, args, context, None))
        self._ready.append(handle)
        return handle  # type: ignore[return-value] # it does all that a handle does

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """The same: there is one thread. asyncio asks for it to close generators."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As every loop does; timers of one moment are due in the order in which they were set."""
        self._timers += 1
        if context is None:
            context = copy_context()
        handle = _Handle((when, self._timers, callback, args, context, self))
        heapq.heappush(self._heap, handle)
        return handle  # type: ignore[return-value] # it does all that a handle does

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As every loop does."""
        self._timers += 1
        if context is None:
            context = copy_context()
        handle = _Handle((self.now + delay, self._timers, callback, args, context, self))
        heapq.heappush(self._heap, handle)
        return handle  # type: ignore[return-value] # it does all that a handle does

    def note_cancelled(self) -> None:
        """A timer was cancelled: it is in the heap until there are too many of its kind."""
        self._cancelled += 1

    def _run_once(self) -> None:
        """Run until somebody stops the loop: a round of the base class costs as much as a step."""
        ready, heap = self._ready, self._heap
        while True:
            if not ready and not self._stopping:
                self._jump()
            now = self.now
            while heap and heap[0][0] <= now:
                ready.append(heapq.heappop(heap))
            batch = list(ready)
            ready.clear()
            size = len(batch)
            if size > 1:
                self._mix(batch)
            self.steps += size
            if self.steps > self._budget:
                self._over_budget(batch)
            for handle in batch:
                _, _, callback, args, context, _ = handle
                if callback is None:
                    continue
                handle[2] = None
                machine = context.get(_MACHINE)
                if machine is not None and not machine.alive:
                    continue
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - a callback is nobody's to await
                    self._broken.append(error)
            if self._stopping:
                return

    def _mix(self, batch: list[Any]) -> None:
        """Put what is ready into an order drawn from the seed (after Fisher and Yates)."""
        draw = self._random
        if len(batch) == 2:
            if draw() < 0.5:
                batch.reverse()
            return
        for last in range(len(batch) - 1, 0, -1):
            other = int(draw() * (last + 1))
            batch[last], batch[other] = batch[other], batch[last]

    def _jump(self) -> None:
        """Nothing is ready: go to the next timer."""
        heap = self._heap
        if self._cancelled > _COMPACT_ABOVE and 2 * self._cancelled > len(heap):
            heap[:] = [timer for timer in heap if timer[2] is not None]
            heapq.heapify(heap)
            self._cancelled = 0
        while heap and heap[0][2] is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        if not heap:
            waiting = ", ".join(_where(task) for task in self._living if not task.done())
            raise DeadlockError(
                f"nothing can happen any more at {self.now:.3f} s; these wait: {waiting}"
            )
        self.now = max(self.now, heap[0][0])

    def _over_budget(self, batch: list[Any]) -> None:
        # Go on for a moment, so that the error can name what runs all the time.
        self._busiest.update(_named(handle) for handle in batch)
        if self.steps > self._budget + _SAMPLE:
            told = ", ".join(f"{name} ({n})" for name, n in self._busiest.most_common(_BUSIEST))
            raise StepBudgetError(
                f"more than {self._budget} steps by {self.now:.3f} s; "
                f"the busiest of the last {_SAMPLE}: {told}"
            )

    # --- tasks

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        """As every loop does; the task is remembered until it is done, or somewhat longer."""
        if len(self._living) >= self._tidy_at:
            self._tidy()
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._living[task] = _MACHINE.get() if context is None else context.get(_MACHINE)
        return task

    def tasks_of(self, machine: Machine, *, but: Collection[str] = ()) -> int:
        """How many tasks of a machine are not done, leaving out some that it was told to start."""
        left_out = {f"{machine.name}:{name}" for name in but}
        living = [task for task, owner in self._living.items() if owner is machine]
        return len([one for one in living if not one.done() and one.get_name() not in left_out])

    def bury(self, machine: Machine) -> None:
        """Set the tasks of a dead machine aside, so that nothing runs when memory is reclaimed."""
        self._tidy()
        for task in [task for task, owner in self._living.items() if owner is machine]:
            del self._living[task]
            self._dead.append(task)

    def _tidy(self) -> None:
        """Forget the tasks that are done, but for those that failed unheard."""
        for task, machine in [one for one in self._living.items() if one[0].done()]:
            del self._living[task]
            if task._log_traceback:  # it failed, and nobody has asked yet
                if machine is None or not machine.may_fail:
                    self._failed.append(task)
                else:
                    error = task.exception()
                    self.tolerated[f"{type(error).__name__}: {error}"] += 1
        self._tidy_at = max(_TIDY, 2 * len(self._living))

    def _forgotten(self) -> list[BaseException]:
        """Errors of tasks that ended while nobody listened; in production they are log lines."""
        self._tidy()
        errors = self._broken
        for task in self._failed:
            if task._log_traceback:  # nobody has asked for it
                error = task.exception()
                assert error is not None
                errors.append(error)
        return errors

    def _sweep(self) -> None:
        """Close whatever did not end, here and in a fixed order, not when memory is reclaimed."""
        self.over = True
        while self._living or self._dead:
            left = [*self._dead, *self._living]
            self._living.clear()
            self._dead.clear()
            for task in left:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _unwind(task.get_coro())

    def _on_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(error := context.get("exception"), BaseException):
            self._broken.append(error)

    # --- what a real loop does with the outside

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` now, in this thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits it
            future.set_exception(error)
        return future

    def _process_events(self, event_list: Any) -> None:
        """There are none: no sockets."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector: there is one thread."""


@contextmanager
def _unlisted() -> Iterator[None]:
    """Keep asyncio from listing tasks for `all_tasks`: that costs, and nobody asks."""
    # Under either name, by version; whatever has neither lists them as it likes.
    names = vars(asyncio.tasks)
    listed: Any = names.get("_all_tasks", names.get("_scheduled_tasks"))
    if listed is None:
        yield
        return
    listed.add = lambda _: None
    try:
        yield
    finally:
        del listed.add


_NOBODY = copy_context()


def _unwind(coro: Any) -> None:
    """Have a coroutine end, whatever it awaits on the way; its run is over, so nobody is told."""
    for _ in range(_UNWINDING):
        try:
            # Not `close`: that leaves asynchronous generators in the middle as they are.
            coro.throw(asyncio.CancelledError())
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - last words
            return
    # It goes on awaiting in its `finally`, and there is no loop any more that it could await with.
    with suppress(Exception):
        coro.close()


def _where(task: asyncio.Task[Any]) -> str:
    """A task's name and the line that it waits in."""
    frames = task.get_stack(limit=1)
    return f"{task.get_name()} at {frames[0].f_code.co_qualname}" if frames else task.get_name()


def _named(handle: Any) -> str:
    callback = handle[2]
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return task.get_name()
    return getattr(callback, "__qualname__", repr(callback))
