"""Holding a trading process of the soak: start it, tell it what to do, kill it, bury it."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from kiwoom_async._ambient import SystemAmbient
from kiwoom_async._cli.soak_worker import Post

LONGEST_STEP: Final = 300.0
"""Seconds for one step of a day, after which a process hangs. Source: our choice; a step takes seconds."""


class NightFailed(Exception):
    """A process did not do what it was told."""


class Died(Exception):
    """A process was killed, as it should be."""


@define(eq=False)
class Hand:
    """Holds one process.

    Attributes:
        was_killed: By us, since it was started.
        openings: Seconds that each start took, until the client was open.
    """

    post: Post
    was_killed: bool = False
    openings: list[float] = field(factory=list)
    _clock: SystemAmbient = field(factory=SystemAmbient)
    _process: asyncio.subprocess.Process | None = None

    @property
    def index(self) -> int:
        """Say which process it is."""
        return self.post.index

    async def start(self) -> None:
        """Start it, and wait until its client is open.

        Raises:
            Died: It was killed meanwhile.
            NightFailed: It died by itself, or does not answer.
        """
        began = self._clock.monotonic()
        self.was_killed = False
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "kiwoom_async._cli.soak_worker",
                self.post.to_text(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        await self._hear(self._process)
        self.openings.append(self._clock.monotonic() - began)

    @property
    def _log(self) -> Path:
        return Path(self.post.folder) / f"process-{self.index}.log"

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self.was_killed = True
            with suppress(ProcessLookupError):
                self._process.kill()

    async def bury(self) -> None:
        """Let nothing of it be left, whatever happens."""
        if self._process is not None:
            self.kill()
            # Also closes the pipes; waiting alone would leave them to the garbage collector.
            await asyncio.shield(self._process.communicate())

    async def tell(self, what: str, **details: Any) -> dict[str, Any]:
        """Tell it what to do, and wait until that is done.

        Raises:
            Died: It was killed meanwhile.
            NightFailed: It died by itself, or does not answer.
        """
        process = self._process
        assert process is not None, "it was started"  # noqa: S101
        assert process.stdin is not None, "it is a pipe"  # noqa: S101
        with suppress(ConnectionError):  # then it is dead, and that is heard
            process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
            await process.stdin.drain()
        return await self._hear(process)

    async def _hear(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None, "it is a pipe"  # noqa: S101
        try:
            async with asyncio.timeout(LONGEST_STEP):
                line = await process.stdout.readline()
        except TimeoutError:
            raise NightFailed(f"process {self.index} did not answer within {LONGEST_STEP:g} s") from None
        if line.endswith(b"\n") and not self.was_killed:
            answer: dict[str, Any] = json.loads(line)
            return answer
        await process.communicate()
        if self.was_killed:
            raise Died
        words = self._log.read_text(encoding="utf-8", errors="replace").strip()
        raise NightFailed(f"process {self.index} ended by itself: {words or 'it said nothing'}")
