"""What the kernel does when a simulated process dies: it frees locks and closes files."""

from __future__ import annotations

from filelock import BaseFileLock

from kiwoom_async._client import KiwoomClient


def locks_of(client: KiwoomClient) -> tuple[BaseFileLock, ...]:
    """Give the locks that the kernel frees when the process of a client dies."""
    locks: list[BaseFileLock] = [client._journal._lock]  # noqa: SLF001 - done to it from outside, as by the kernel
    gateway = getattr(client, "_gateway", None)
    shared = None if gateway is None else gateway._tokens._store  # noqa: SLF001
    if shared is not None:
        locks.append(shared._issue_lock)  # noqa: SLF001
    return tuple(locks)


def close_files(client: KiwoomClient) -> None:
    """Close what the kernel closes when the process of a client dies."""
    journal = client._journal  # noqa: SLF001 - as above
    for worker in (journal._reader, journal._writer):  # noqa: SLF001
        if worker is not None:
            worker._connection.close()  # noqa: SLF001
