"""From an error to what a person reads and to the exit code of the command.

0  done
1  refused or failed: the message says why, the hint what to do
2  the command line itself is wrong
3  the node does not answer
4  something was checked and is not valid
10 the text that was checked has to be looked at by a person (escalate)
11 the text that was checked is a known attack (block)
12 the mesh could not verify the text, and the policy denies it then (deny)
130  interrupted
"""

from __future__ import annotations

from typing import ClassVar, Final

import typer
from rich.text import Text

from mesh.errors import MeshError
from orgnode.api.calls import NodeUnreachableError
from orgnode.cli.render import Output, clean
from orgnode.errors import OrgnodeError
from orgnode.logs import places
from proofs.errors import ProofsError

FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
INVALID: Final = 4
INTERRUPTED: Final = 130
ESCALATE: Final = 10
BLOCK: Final = 11
DENY: Final = 12


class CliError(OrgnodeError):
    """A command can't do what was asked. `exit_code` is the process's."""

    exit_code: ClassVar[int] = FAILED


class UsageProblemError(CliError):
    """Options that are each right do not fit together."""

    exit_code = USAGE


class NotValidError(CliError):
    """What was verified does not hold; the message names the step that failed."""

    exit_code = INVALID


def exit_code(error: Exception) -> int:
    """The process's exit code for an error."""
    if isinstance(error, NodeUnreachableError):
        return UNREACHABLE
    return error.exit_code if isinstance(error, CliError) else FAILED


def report_error(output: Output, error: Exception) -> None:
    """Write an expected error, whose message is safe to show, to standard error."""
    code = error.code if isinstance(error, OrgnodeError) else type(error).__name__
    _write(output, code, str(error).removeprefix(f"{code}: "), getattr(error, "hint", ""))


def report_unexpected(output: Output, error: Exception) -> None:
    """Write an error that nobody foresaw: where it happened, but not its message.

    The message could quote what a library choked on, which may be an incident.
    """
    _write(
        output,
        type(error).__name__,
        f"unexpected {type(error).__name__} at {places(error)}",
        "this is a fault of the program; its text is withheld because it might quote an incident",
    )


def _write(output: Output, code: str, message: str, hint: str) -> None:
    if output.as_json:
        Output.item(_on_stderr(output), {"error": {"code": code, "message": message, "hint": hint}})
        return
    output.err.print(Text.assemble((f"{code}: ", "bold red"), clean(message)), soft_wrap=True)
    if hint:
        output.err.print(Text.assemble(("→ ", "bold"), clean(hint)), soft_wrap=True)


def _on_stderr(output: Output) -> Output:
    twin = Output(as_json=True)
    twin.out = output.err
    return twin


EXPECTED: Final = (OrgnodeError, MeshError, ProofsError)
"""The roots of errors whose messages are written for people and hold no secret."""


class ErrorMappingGroup(typer.core.TyperGroup):
    """The root command: turns errors of its subcommands into messages and exit codes."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            report_error(_output(ctx), error)
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            # Usage errors are the command-line library's own to show.
            if any(kind.__name__ == "ClickException" for kind in type(error).__mro__):
                raise
            report_unexpected(_output(ctx), error)
            raise typer.Exit(FAILED) from None


def _output(ctx: typer.Context) -> Output:
    found = getattr(ctx.obj, "output", None)
    return found if isinstance(found, Output) else Output()
