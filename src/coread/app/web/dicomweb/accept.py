"""Which media types a client accepts (PS3.18 section 8.7, RFC 9110 section 12.5.1). Pure parsing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_LONGEST = 4096
_PARAMETER = re.compile(r';\s*([A-Za-z0-9-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]*)')
_MEDIA = re.compile(
    r"\s*([A-Za-z0-9!#$&^_.+*-]+/[A-Za-z0-9!#$&^_.+*-]+)((?:" + _PARAMETER.pattern + r"\s*)*)\s*(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One accepted media type. For ``multipart/related`` the type of the parts is in ``part``."""

    media_type: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    quality: float = 1.0

    @property
    def is_multipart(self) -> bool:
        """Whether parts in a multipart message are accepted."""
        return self.media_type in ("multipart/related", "multipart/*", "*/*")

    @property
    def part(self) -> str:
        """The accepted type of a part; ``*/*`` when none is stated."""
        return self.parameters.get("type", "*/*").lower() if self.is_multipart else self.media_type

    @property
    def transfer_syntax(self) -> str:
        """The accepted transfer syntax: a UID, ``*``, or empty when none is stated."""
        return self.parameters.get("transfer-syntax", "")

    def covers(self, media_type: str) -> bool:
        """Say whether a part of this media type is accepted."""
        wanted = self.part
        return wanted in ("*/*", media_type) or (wanted.endswith("/*") and media_type.startswith(wanted[:-1]))

    def takes_syntax(self, transfer_syntax_uid: str) -> bool:
        """Say whether this transfer syntax is accepted; one that is not stated leaves it to the server."""
        return self.transfer_syntax in ("", "*", transfer_syntax_uid)


def parse_accept(header: str) -> tuple[MediaRange, ...]:
    """Return the accepted media types, the most wanted first; an empty header accepts everything."""
    ranges = []
    for match in _MEDIA.finditer(header[:_LONGEST]):
        parameters = {name.lower(): value.strip('"').strip() for name, value in _PARAMETER.findall(match.group(2))}
        quality = _quality(parameters.pop("q", "1"))
        if quality > 0:
            ranges.append(MediaRange(match.group(1).lower(), parameters, quality))
    if not ranges and not header.strip():
        return (MediaRange("*/*"),)
    return tuple(sorted(ranges, key=lambda item: -item.quality))


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
