"""What the kernel does when a simulated process dies: it frees locks and closes files."""

from __future__ import annotations

from filelock import BaseFileLock

from kiwoom_async._client import KiwoomClient
from kiwoom_async._journal.journal import Journal


def locks_of(client: KiwoomClient) -> tuple[BaseFileLock, ...]:
    """Give the locks that the kernel frees when the process of a client dies."""
    locks: list[BaseFileLock] = [client._journal._lock]  # noqa: SLF001 - done to it from outside, as by the kernel
    gateway = getattr(client, "_gateway", None)
    shared = None if gateway is None else gateway._tokens._store  # noqa: SLF001
    if shared is not None:
        locks.append(shared._issue_lock)  # noqa: SLF001
    return tuple(locks)


def locks_of_journal(journal: Journal) -> tuple[BaseFileLock, ...]:
    """Give the locks that the kernel frees when a process dies that has a journal open, and no client."""
    return (journal._lock,)  # noqa: SLF001 - as above


def close_files(owner: KiwoomClient | Journal) -> None:
    """Close what the kernel closes when the process of a client dies, or of somebody who has a journal open."""
    journal = owner if isinstance(owner, Journal) else owner._journal  # noqa: SLF001 - as above
    for worker in (journal._reader, journal._writer):  # noqa: SLF001
        if worker is not None:
            worker._connection.close()  # noqa: SLF001
