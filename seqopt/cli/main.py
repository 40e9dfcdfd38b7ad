"""The ``seqopt`` command. Each command lives in its own file and is imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys

import click

from seqopt import __version__
from seqopt.errors import SeqoptError

_COMMANDS = {  # name: (module, one line for --help)
    "design": ("seqopt.cli.design", "Learn a sampling and write its certified .seq, MRD header and report."),
    "evaluate": ("seqopt.cli.evaluate", "Fixed against learned over families and shots: one table, resumable."),
    "validate": ("seqopt.cli.validate", "Measure any Pulseq file against a scanner's limits."),
    "scanners": ("seqopt.cli.scanners", "List the scanner profiles and their limits."),
    "simulate": ("seqopt.cli.simulate", "Play a design's .seq on images and write acquired MRD data."),
    "recon": ("seqopt.cli.recon", "Reconstruct acquired MRD data."),
    "example": ("seqopt.cli.example", "Write example data, such as an in-vivo scan, as MRD."),
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS:
            ctx.fail(f"unknown command {args[0]!r}; known: {', '.join(_COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def group() -> None:
    """Learn an MRI acquisition, certify it, export it, reconstruct what was acquired.

    Example: seqopt design --traj radial --shots 16
    """


def main() -> None:
    """Run the command line: exit 0 done, 1 a check did not hold, 2 bad input, 130 interrupted."""
    try:
        code = group.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123
        sys.exit(141)
    except SeqoptError as error:
        _fail(str(error))
    except RuntimeError as error:
        if "allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        _fail("out of memory; use a smaller --matrix, fewer --coils or a larger machine")
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        file = getattr(error, "filename", None)
        _fail(f"{reason} ({file})" if file else f"{reason}")


def _fail(message: str) -> None:
    click.echo("Error: " + " ".join(message.split()), err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
