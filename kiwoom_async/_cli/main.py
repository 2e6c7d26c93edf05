"""The console script: finds the command and gives its exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from kiwoom_async._cli import demo, halt, journal, prove, resolve, simulate
from kiwoom_async._version import __version__

_INTERRUPTED: Final = 130
_EPILOG: Final = """\
exit codes:
  0    done; for demo: nothing was doubled, lost, wrongly reported or left unknown
  1    it failed; one line on standard error says why
  2    wrong arguments
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
    simulate.add_parser(commands)
    journal.add_parser(commands)
    resolve.add_parser(commands)
    halt.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console script.

    Args:
        arguments: What follows the name of the program; None: the process's own.

    Returns:
        The exit status; wrong arguments and `--help` end in `SystemExit` instead.
    """
    chosen = build_parser().parse_args(arguments)
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
