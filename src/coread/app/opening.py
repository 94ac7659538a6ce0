"""Opens the store that the settings describe."""

from coread.app.settings import Settings
from coread.store import Store, StoreSettings


def open_store(settings: Settings, *, migrate: bool = False) -> Store:
    """Open files and index; ``migrate`` creates them or brings the schema up to date."""
    return Store.open(
        StoreSettings(
            folder=settings.folder,
            database_url=settings.database_url,
            warn_free_fraction=settings.warn_free_fraction,
            refuse_free_fraction=settings.refuse_free_fraction,
            durable=settings.durable,
            retention_days=settings.retention_days,
        ),
        migrate=migrate,
    )
