"""Odd ways of writing a JSON file: most of them unreadable, some of them only unusual."""

import json
import random
from collections.abc import Callable
from typing import Final

ODD_NUMBERS: Final = (
    *(
        "1.0",
        "1e2",
        "1E400",
        "-0",
        "-0.0",
        "01",
        "1.",
        "+1",
        ".5",
        "-",
        "NaN",
        "-Infinity",
        "Infinity",
        "-NaN",
    ),
    *("true", "false", "null", "True", '"1"', "[1]", "{}", "[]", "2147483647", "2147483648", "-2147483647"),
    *("-2147483648", "99999999999", "9" * 400, "-1", "0", "1_0", "0x10", "٣", "1 2", ""),
)
ODD_TEXTS: Final = (
    *(
        r'"\u0076an"',
        r'"\ud83d\ude97"',
        '"🚗"',
        r'"\ud83d"',
        r'"\ude97\ud83d"',
        r'"\ud83d\ud83d\ude97"',
        '""',
    ),
    *(
        '"a\tb"',
        r'"a\tb"',
        r'"a\/b"',
        r'"a\x"',
        r'"\u12"',
        r'"\u00zz"',
        '"é"',
        '"e\u0301"',
        '" "',
        '"a\u00a0b"',
    ),
    *(
        '"a\u200bb"',
        '"a\ufeffb"',
        '"\ue000"',
        '"\u2028"',
        f'"{"k" * 128}"',
        f'"{"k" * 129}"',
        f'"{"🚗" * 128}"',
    ),
    *('"__proto__"', '"constructor"', "'van'", '"open', "7", "null"),
)
ODD_TIMES: Final = (
    *(
        "2026-09-01t06:00:00z",
        "2026-09-01T06:00:00+02:00",
        "2026-09-01T06:00:00-23:59",
        "2026-09-01T06:00:00",
    ),
    *(
        "2026-09-01T06:00:00+24:00",
        "2026-09-01T06:00:00+00:99",
        "2026-09-01T06:00:00+23:60",
        "2026-09-01T06:00Z",
    ),
    *("2026-09-01T06:00:00-00:00", "2026-09-01T06:00:00.000Z", "2026-09-01T06:00:00.0000000000Z"),
    *("2026-09-01T06:00:00.001Z", "2026-09-01T06:00:00.Z", "2026-09-01 06:00:00Z", "2026-02-29T06:00:00Z"),
    *("2028-02-29T06:00:00Z", "2100-02-29T06:00:00Z", "2026-13-01T06:00:00Z", "2026-00-01T06:00:00Z"),
    *("2026-09-00T06:00:00Z", "2026-09-31T06:00:00Z", "2026-09-01T24:00:00Z", "2026-09-01T06:60:00Z"),
    *("2026-09-01T06:00:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01"),
    *("0099-03-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T00:00:00Z", "9999-12-31T23:59:59-00:01"),
    *(
        "9999-12-31T22:45:00-00:30",
        "٢٠٢٦-09-01T06:00:00Z",
        "2026-09-01T06:00:00Z ",
        "2026-09-01T06:00:00Z\\n",
    ),
    *("+2026-09-01T06:00:00Z", ""),
)
NOT_DOCUMENTS: Final = (
    *(
        b"",
        b"{}",
        b"[]",
        b"[1.5]",
        b"7",
        b'"x"',
        b"null",
        b"{",
        b"\xff",
        b"\xed\xa0\x80",
        b"{}{}",
        b"{,}",
        b"[1,]",
    ),
    *(b"{" + b'"a":' + b"[" * (deep - 1) + b"]" * (deep - 1) + b"}" for deep in (63, 64, 65, 200)),
    *(b'{"a":"' + b"[" * deep + b'\\"' + b"{" * deep + b'"}' for deep in (40, 200)),
    *(b'{"a":' + b"[" * deep for deep in (63, 64)),
)


def damaged(rng: random.Random, raw: bytes) -> bytes:
    """Change how a file is written, in one place or throughout."""
    return rng.choice(_DAMAGES)(rng, raw)


def with_number(rng: random.Random, raw: bytes, odd: str) -> bytes:
    """Put something where a number stood."""
    return _replaced(rng, raw, lambda text, at: text[at].isdigit() and text[at - 1] in ":[,", odd)


def with_text(rng: random.Random, raw: bytes, odd: str) -> bytes:
    """Put something where a text or a key stood."""
    return _replaced(rng, raw, lambda text, at: text[at] == '"' and text[at - 1] in ":{,", odd)


def _replaced(rng: random.Random, raw: bytes, begins: Callable[[str, int], bool], odd: str) -> bytes:
    text = raw.decode()
    starts = [at for at in range(1, len(text)) if begins(text, at)]
    if not starts:
        return raw
    at = rng.choice(starts)
    _, length = json.JSONDecoder().raw_decode(text[at:])
    return (text[:at] + odd + text[at + length :]).encode()


def _odd_number(rng: random.Random, raw: bytes) -> bytes:
    return with_number(rng, raw, rng.choice(ODD_NUMBERS))


def _odd_text(rng: random.Random, raw: bytes) -> bytes:
    return with_text(rng, raw, rng.choice(ODD_TEXTS))


def _flip(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]


def _cut_out(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + raw[at + rng.choice([1, 2, 3, len(raw)]) :]


def _double_a_key(rng: random.Random, raw: bytes) -> bytes:
    keys = (b'"format":"x",', b'"steps":[],', b'"rows":7,"rows":[],', b'"":1,"":2,', b'"a":{"b":1,"b":2},')
    at = rng.choice([position + 1 for position, one in enumerate(raw) if one == ord("{")])
    return raw[:at] + rng.choice(keys) + raw[at:]


def _spaced(rng: random.Random, raw: bytes) -> bytes:
    space = rng.choice([b" ", b"\n", b"\t\r\n", b"\x0b", b"\xc2\xa0", b"\xef\xbb\xbf", b"\x00", b"//\n"])
    return rng.choice(
        [space + raw, raw + space, raw.replace(b",", b"," + space), raw.replace(b":", space + b":")]
    )


def _loosely(_rng: random.Random, raw: bytes) -> bytes:
    return json.dumps(json.loads(raw), indent=1).encode()


_DAMAGES: Final = (_flip, _cut_out, _double_a_key, _odd_number, _odd_number, _odd_text, _spaced, _loosely)
