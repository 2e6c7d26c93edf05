"""`kiwoom-async simulate`: serve the local broker until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from typing import Final

from kiwoom_async import simulator
from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._domain.settings import Environment, Limits

_PORT: Final = 9000
_LAST_PORT: Final = 65_535
_INTERRUPTED: Final = 130
_LIMITS: Final = {
    "off": None,
    "live": Environment.LIVE.limits,
    "mock": Environment.MOCK.limits,
}
_HOW_TO: Final = """\
Point a client here:

    environment = Environment(
        rest_url="{rest}",
        websocket_url="{feed}",
        limits={limits},
    )
    credentials = Credentials(app_key="any", secret_key="any")
    KiwoomClient(credentials, environment=environment, journal="simulated.db")

Any keys will do. Stop with Ctrl-C."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the console script."""
    parser = subparsers.add_parser(
        "simulate",
        help="serve a local broker",
        description="Serve a local broker that speaks Kiwoom's REST API. No order leaves this machine.",
    )
    parser.add_argument("--host", type=_host, default="127.0.0.1", help="where to listen (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=_PORT, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="everything left to chance comes from it")
    parser.add_argument(
        "--flavour",
        choices=[flavour.value for flavour in simulator.Flavour],
        default=simulator.Flavour.REAL.value,
        help="which of Kiwoom's environments is played (default: %(default)s)",
    )
    parser.add_argument(
        "--hostile",
        type=_share,
        default=0.0,
        metavar="INTENSITY",
        help="share of the orders that meet a fault, 0 to 1 (default: none)",
    )
    parser.add_argument(
        "--token-policy",
        choices=[policy.value for policy in simulator.TokenPolicy],
        default=simulator.TokenPolicy.SAME.value,
        help="what a second token does to the first (default: %(default)s)",
    )
    parser.add_argument(
        "--limits",
        choices=list(_LIMITS),
        default="off",
        help="enforce the published request limits of an environment (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; gives the exit status."""
    try:
        asyncio.run(_serve(args))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        sys.stderr.write(f"Cannot listen on {args.host}:{args.port}: {reason}\n")
        return 1
    return 0


async def _serve(args: argparse.Namespace) -> None:
    """Print where the broker is, then let it work."""
    clock = SystemAmbient()

    def tell(line: str) -> None:
        sys.stdout.write(f"{clock.now():%H:%M:%S} {line}\n")
        sys.stdout.flush()

    limits: Limits | None = _LIMITS[args.limits]
    faults = simulator.FaultPlan.hostile(args.seed, args.hostile) if args.hostile else None
    broker = simulator.Simulator(
        seed=args.seed,
        faults=faults,
        ambient=clock,
        host=args.host,
        port=args.port,
        flavour=simulator.Flavour(args.flavour),
        limits=limits,
        token_policy=simulator.TokenPolicy(args.token_policy),
        observer=tell,
    )
    async with broker:
        environment = broker.environment
        spelled = repr(limits) if limits is not None else "Limits.off()"
        how_to = _HOW_TO.format(rest=environment.rest_url, feed=environment.websocket_url, limits=spelled)
        sys.stdout.write(f"{how_to}\n\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _host(text: str) -> str:
    """Read a name or an address."""
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a machine")
    return text


def _port(text: str) -> int:
    """Read a port; 0 for any that is free."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {_LAST_PORT}")
    return int(text)


def _share(text: str) -> float:
    """Read a number between 0 and 1."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share
