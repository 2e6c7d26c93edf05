"""The console script: finds the command and gives its exit status."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from kiwoom_async._cli import accept, demo, halt, health, journal, prove, resolve, simulate, soak
from kiwoom_async._version import __version__

_INTERRUPTED: Final = 130
_EPILOG: Final = """\
exit codes:
  0    done; for demo: nothing was doubled, lost, wrongly reported or left unknown
  1    it failed; one line on standard error says why
  2    wrong arguments
  3    health: an assumption behind the promises was seen not to hold
  130  interrupted"""


def build_parser() -> argparse.ArgumentParser:
    """Make the parser with every command."""
    parser = argparse.ArgumentParser(
        prog="kiwoom-async",
        description="Safe orders over the Kiwoom REST API: see it proven, look into a journal, serve a local broker.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kiwoom-async {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo.add_parser(commands)
    prove.add_parser(commands)
    soak.add_parser(commands)
    simulate.add_parser(commands)
    journal.add_parser(commands)
    health.add_parser(commands)
    resolve.add_parser(commands)
    halt.add_parser(commands)
    accept.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console script.

    Args:
        arguments: What follows the name of the program; None: the process's own.

    Returns:
        The exit status; wrong arguments and `--help` end in `SystemExit` instead.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no Korean, and a name that is no text: better spelled than not told.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    parser = build_parser()
    chosen = parser.parse_args(arguments)
    if any(isinstance(value, list) for value in vars(chosen).values()):
        # What argparse of Python 3.11 makes of `--key=--`; no argument of ours is a list.
        parser.error("-- is no value of an option")
    try:
        status: int = chosen.run(chosen)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
