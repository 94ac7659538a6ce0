"""A person's correction of a result: the next version, which stands beside the earlier ones and replaces none."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Correction:
    """One version of a result after the reader's own (which is version 1)."""

    correction_id: int
    work_id: int
    study_instance_uid: str
    version: int
    """2 for the first correction, then one more each time; no number is given twice."""
    user: str
    reason: str
    created_at: datetime
    what: str
    """What was changed, in words, e.g. ``Outline of Nodule, image 34``."""
    before: str
    after: str
    same_as: int = 0
    """The earlier version whose content this one has again (an undo); 0 for none."""

    def sentence(self) -> str:
        """Return the change as one line: what, from what to what, by whom and why."""
        change = f": {self.before} -> {self.after}" if self.before or self.after else ""
        return f"Version {self.version}, corrected by {self.user}: {self.what}{change}. Reason: {self.reason}"
