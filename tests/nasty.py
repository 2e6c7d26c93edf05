"""Values that a decoder must not be caught by, and how to put each of them into a sample that is valid otherwise.

One place for all of them: a value that once got through anywhere is tried everywhere from then on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from attrs import frozen

ACCOUNT_LIKE: Final = "8812345611"
"""Stands where it should not: no error may show it."""

NO_NUMBERS: Final = (
    *("x", "1O", "1,000", "1_000", "--1", "+-1", "1-", "1e3", "0x10", "1.2.3", ".5", "5.", "NaN", "inf", "-inf"),
    *("１２", "½", "٣", "1원", "$1", "null", "None", "N/A", "-", "+", "*", "12:3", "2026-11-02", "−5", "1٠"),
    *("1 000", "1\x00", "\x001", "1\n2", "5\u200b", "\ufeff5", "\ud800", "5\udfff", "1" + "0" * 400, "9" * 5000),
)
"""Texts that a careless reader takes for a number, a date or a time."""

NO_TEXTS: Final[tuple[Any, ...]] = (5, 5.0, -1, True, False, [], ["5"], {}, {"a": "5"})
"""What JSON can put where a text belongs."""

_DEPTH: Final = 100_000

RAW_VALUES: Final[tuple[bytes, ...]] = (
    *(json.dumps(text).encode() for text in NO_NUMBERS),
    *(json.dumps(value).encode() for value in NO_TEXTS),
    *(b"null", b"0", b"-0", b"-0.0", b"1e400", b"-1e400", b"1E+2", b"0.1", b"NaN", b"Infinity", b"-Infinity"),
    *(b"1" + b"0" * 400, b"1" * 5000, b"00", b"+5", b".5", b"5.", b"0x10", b"1_000", b"nul", b"'5'", b"undefined"),
    *(b'""', b'" "', b'"\\u0000"', b'"+5"', b'" 5"', b'"5 "', b'"-0"', b'"-5"', b'"0"', b'"0000000"', b'"9999999999"'),
    *(b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u3000 5"', b'"\\uff15"', b'"5\\u0000"', b'"\xc2\xa05"'),
    *(b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\x00"', b'"a\nb"', b"\xef\xbb\xbf5"),
    *(b'"\xb0\xa1"', b'"\\x41"', b'"'),
    *(b"[" * 900 + b"]" * 900, b"[" * _DEPTH, b"[" * _DEPTH + b"]" * _DEPTH, b'{"a":' * _DEPTH, b"[[[[[[]]]]]]"),
    *(b'{"a":1,"a":2}', b'"' + b"x" * 300_000 + b'"', f'"{ACCOUNT_LIKE}"'.encode(), f'"no {ACCOUNT_LIKE}!"'.encode()),
    b"[" + b"0," * 50_000 + b"0]",
)
"""JSON values, and bytes that are none, for any place of a sample."""

RAW_DOCUMENTS: Final[tuple[bytes, ...]] = (
    *(b"", b" ", b"\x00", b"null", b"[]", b'""', b"17", b"{", b"}", b"{}", b"{}{}", b"[{}]", b"\xff\xfe\x00", b"NaN"),
    *(b"<html><body>Request Blocked</body></html>", b"\xef\xbb\xbf", b'{"return_code":0', b"\x1f\x8b\x08"),
    *(b"{,}", b"{:}"),
    *RAW_VALUES,
)
"""Whole bodies that are no answer."""

Path: TypeAlias = tuple[str | int, ...]

_MARK: Final = "@here@"


@frozen
class Mutant:
    """A sample with one thing changed.

    Attributes:
        path: Where; the last part is the name of the field.
        raw: What stands there now; None where the field is missing.
        content: The document.
    """

    path: Path
    raw: bytes | None
    content: bytes

    @property
    def name(self) -> str:
        """Name the field."""
        return str(self.path[-1])

    @property
    def value(self) -> Any:
        """Read what stands there by Python's own reader, which takes nearly everything; `...` where it cannot."""
        try:
            return ... if self.raw is None else json.loads(self.raw)
        except (ValueError, RecursionError):
            return ...


def places(sample: Any, path: Path = ()) -> Iterator[Path]:
    """Walk through all places of a document, itself left out."""
    items: Any = sample.items() if isinstance(sample, dict) else enumerate(sample) if isinstance(sample, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def with_value(sample: Any, path: Path, raw: bytes) -> bytes:
    """Write a document with other bytes at one place."""
    text = json.dumps(_replaced(sample, path, _MARK), ensure_ascii=False)
    before, after = text.split(json.dumps(_MARK))
    return before.encode() + raw + after.encode()


def _replaced(sample: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    made: Any = dict(sample) if isinstance(sample, dict) else list(sample)
    made[path[0]] = _replaced(sample[path[0]], path[1:], value)
    return made


def without(sample: Any, path: Path) -> bytes:
    """Write a document that lacks one field."""
    made = json.loads(json.dumps(sample))
    holder = made
    for part in path[:-1]:
        holder = holder[part]
    del holder[path[-1]]
    return json.dumps(made, ensure_ascii=False).encode()


def mutants(sample: Any, raw_values: tuple[bytes, ...] = RAW_VALUES) -> Iterator[Mutant]:
    """Give a sample with every nasty value at every place, and without each of its fields."""
    for path in places(sample):
        yield Mutant(path, None, without(sample, path))
        for raw in raw_values:
            yield Mutant(path, raw, with_value(sample, path, raw))


def truncated(sample: Any) -> Iterator[bytes]:
    """Give a document that breaks off, at every length."""
    content = json.dumps(sample, ensure_ascii=False).encode()
    for size in range(len(content)):
        yield content[:size]


def repeated_names(sample: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Give an object in which one name stands twice, with another value the second time and the first time."""
    content = json.dumps(sample, ensure_ascii=False).encode()
    for name in sample:
        for other in (b'"0000999"', b"1", b"null", b"{}"):
            extra = json.dumps(name).encode() + b":" + other
            yield name, content[:-1] + b"," + extra + b"}"
            yield name, b"{" + extra + b"," + content[1:]
