"""A corrected version of a result on its way into objects: which number, by whom, and what it follows."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Revision:
    """What makes the objects of a corrected result differ from those of the reader's own."""

    number: int
    """2 for the first correction."""
    person: str
    """User name of who corrected it."""
    predecessor: tuple[str, str, str] | None = None
    """SOP class, SOP instance and series of the report of the version before; ``None`` where it left none."""
    outlined: frozenset[str] = field(default_factory=frozenset)
    """Tracking UIDs of the regions whose outline a person has drawn."""

    def words(self) -> str:
        """Return what stands in series descriptions."""
        return f"corrected v{self.number}"
