"""Bodies of answers, read and unpacked within a bound: a server may send without end, or little that unpacks to much.

What goes beyond the bound, breaks off or is packed in a way that nobody asked for is no whole answer.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Mapping
from typing import Final

import httpx

LARGEST_BODY: Final = 16 * 1024 * 1024
"""Bytes, packed and unpacked. Source: our choice, to bound the memory; the longest list, of all symbols, has about
one tenth of it."""

ACCEPTED_CODINGS: Final = "gzip, deflate"

_WINDOWS: Final[Mapping[str, tuple[int, ...]]] = {
    "gzip": (31,),
    "x-gzip": (31,),
    # With the header of zlib as published, and without it as some servers send it.
    "deflate": (15, -15),
}
"""For each coding what zlib calls it; the first that fits."""


class BodyTooLong(httpx.RemoteProtocolError):
    """The body does not end within the bound."""

    def __init__(self) -> None:
        super().__init__(f"a body of more than {LARGEST_BODY} bytes")


class BodyUnreadable(httpx.DecodingError):
    """The body cannot be unpacked to its end."""


async def read_within(chunks: AsyncIterable[bytes], most: int = LARGEST_BODY) -> bytes:
    """Read a body to its end.

    Raises:
        BodyTooLong: It has more bytes.
    """
    # Not a list of them: each of many tiny ones would take far more than its length.
    read = bytearray()
    async for chunk in chunks:
        if len(read) + len(chunk) > most:
            raise BodyTooLong
        read += chunk
    return bytes(read)


def unpack(content: bytes, codings: str, most: int = LARGEST_BODY) -> bytes:
    """Undo the content coding.

    Args:
        content: As it was sent.
        codings: The header Content-Encoding; empty for none.
        most: Bytes that it may unpack to.

    Raises:
        BodyTooLong: It unpacks to more.
        BodyUnreadable: It breaks off, is damaged, or is packed otherwise than was asked for.
    """
    names = [name for part in codings.split(",") if (name := part.strip().lower()) not in {"", "identity"}]
    if not names or not content:
        return content
    if len(names) > 1 or names[0] not in _WINDOWS:
        raise BodyUnreadable("packed otherwise than was asked for")
    for window in _WINDOWS[names[0]]:
        unpacker = zlib.decompressobj(window)
        try:
            unpacked = unpacker.decompress(content, most + 1)
        except zlib.error:
            continue
        if len(unpacked) > most:
            raise BodyTooLong
        if not unpacker.eof or unpacker.unused_data:
            break
        return unpacked
    raise BodyUnreadable("damaged")
