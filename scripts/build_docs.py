"""Writes the generated reference pages; ``--check`` says whether the ones in the repository are up to date."""

import sys
from pathlib import Path

from coread.app.settings import DestinationSetting, PacsSetting, PeerSetting, settings_table

ROOT = Path(__file__).resolve().parent.parent


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "One TOML file (`coread.toml` here, `--settings FILE`, or `COREAD_SETTINGS`); a variable `COREAD_<NAME>`",
        "overrides one value. This page is generated from `coread/app/settings.py` by `make docs`.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| `{name}` | `{default}` | {text} |" for name, default, text in settings_table()]
    for title, model in (("peers", PeerSetting), ("pacs", PacsSetting), ("destinations", DestinationSetting)):
        lines += [
            "",
            f"## `[[{title}]]`" if title != "pacs" else "## `[pacs]`",
            "",
            "| name | default | meaning |",
            "|---|---|---|",
        ]
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else f"`{field.default}`"
            lines.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


PAGES = {"docs/reference/settings.md": settings_page}


def main() -> int:
    stale = []
    for name, build in PAGES.items():
        path = ROOT / name
        text = build()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    sys.stdout.write("".join(f"{'stale' if '--check' in sys.argv else 'written'}: {name}\n" for name in stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
