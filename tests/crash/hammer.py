"""A bot that buys without a pause; while it is held, it cancels everything, says so once, and tries again."""

from __future__ import annotations

import asyncio
import json
import sys

from kiwoom_async import NotSent
from tests.crash.trader import PRICE, SYMBOL, Program, open_client


def say(text: str) -> None:
    """Tell the test."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def main(program: Program) -> None:
    """Trade until killed."""
    async with open_client(program) as client:
        say("trading")
        is_held = False
        while True:
            calls = [client.stock.buy(SYMBOL, 1 + number, price=PRICE) for number in range(5)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            if not any(isinstance(one, NotSent) for one in found):
                is_held = False
            elif not is_held:
                is_held = True
                say("held")
                report = await client.orders.cancel_all()
                while not report.is_clean:  # on a slow machine an answer may take too long
                    report = await client.orders.cancel_all()
                say("canceled")
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(Program(**json.loads(sys.argv[1]))))
