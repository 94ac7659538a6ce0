"""``python -m coread`` is the command ``coread``."""

from coread.app.cli.main import main

if __name__ == "__main__":
    main()
