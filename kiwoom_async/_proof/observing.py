"""What a day is watched with: the log of the library, and a garbage collector that keeps still."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kiwoom_async._proof.processes import World
from kiwoom_async._proof.virtual_loop import REALM

_LOGGERS: Final = ("kiwoom_async", "asyncio")


@contextmanager
def no_rings_looked_for() -> Iterator[None]:
    """Leave rings of garbage alone: when they are found depends on what ran before, and finding one runs callbacks."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def heard(world: World, findings: list[str]) -> Iterator[None]:
    """Listen to the log: a fault of the library is a finding, and the rest belongs to the timeline."""
    tap = _Tap(world, findings)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(tap)
        logger.setLevel(logging.INFO if world.timeline.is_kept else logging.ERROR)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(tap)
            logger.setLevel(level)
            logger.propagate = propagate


class _Tap(logging.Handler):
    def __init__(self, world: World, findings: list[str]) -> None:
        super().__init__()
        self._world = world
        self._findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        realm = REALM.get()
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"
        self._world.note("world" if realm is None else realm.name, "log", text)
        is_fault = record.levelno >= logging.ERROR and (record.exc_info or record.name == "asyncio")
        if is_fault or text.startswith("contradicting evidence"):
            self._findings.append(f"log: {text}")
