"""What every command shares: the global options, the settings and the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coread.app.settings import Settings
    from coread.store import Store


@dataclass(frozen=True, slots=True)
class Front:
    """The options that stand before the subcommand."""

    settings_file: Path | None
    folder: Path | None

    def settings(self) -> "Settings":
        """Read the settings once; raises BadSettings."""
        from coread.app.settings import load_settings

        return load_settings(self.settings_file, {"folder": self.folder})

    @contextmanager
    def open_store(self, *, create: bool = False) -> Iterator["Store"]:
        """Open the store of these settings; without ``create`` a missing one is an error, not a new one."""
        from coread.app.errors import NothingFound
        from coread.app.opening import open_store

        settings = self.settings()
        if not create and not settings.folder.is_dir():
            raise NothingFound(
                f"there is no Coread folder at {settings.folder}; name it with --folder, or start `coread serve`"
            )
        with open_store(settings, migrate=create) as store:
            yield store
