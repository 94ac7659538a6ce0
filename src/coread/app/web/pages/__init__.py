"""One file per page: its routes, and how rows of the store become what a template shows."""
