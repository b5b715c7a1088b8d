"""Puts blipdiff into this user's menu on Linux, or takes it out: python3 deploy/desktop_entry.py [--remove]"""

import argparse
import os
import shutil
import sys
from pathlib import Path

ENTRY = """[Desktop Entry]
Type=Application
Name=blipdiff
Comment=Pictures of your subject, from one photo
Exec="{command}" ui{options}
Path={folder}
Icon={icon}
Terminal=true
Categories=Graphics;
"""
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<rect x="4" y="14" width="40" height="46" rx="6" fill="#8e24aa"/>
<rect x="20" y="4" width="40" height="46" rx="6" fill="#3949ab"/>
<circle cx="46" cy="18" r="6" fill="#ffd54f"/>
<path d="M24 44l12-16 8 10 6-6 6 12z" fill="#fff"/>
</svg>
"""


def main() -> None:
    """Writes both files below the user's data folder, or removes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remove", action="store_true")
    parser.add_argument("--command", help="the blipdiff command; that of the path if absent")
    parser.add_argument("--folder", type=Path, help="where pictures go; ~/blipdiff if absent")
    parser.add_argument("--model", help="the model that the page opens with")
    asked = parser.parse_args()
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    entry, icon = data / "applications" / "blipdiff.desktop", data / "icons" / "blipdiff.svg"
    if asked.remove:
        entry.unlink(missing_ok=True)
        icon.unlink(missing_ok=True)
        return
    beside = Path(sys.executable).parent / "blipdiff"
    command = asked.command or shutil.which("blipdiff") or (str(beside) if beside.is_file() else None)
    if command is None:
        sys.exit("The command blipdiff was not found; name it with --command, like .venv/bin/blipdiff.")
    folder = (asked.folder or Path.home() / "blipdiff").expanduser().absolute()
    for made in (folder, entry.parent, icon.parent):
        made.mkdir(parents=True, exist_ok=True)
    icon.write_text(ICON, encoding="utf-8")
    options = f' --model "{asked.model}"' if asked.model else ""
    place = Path(command).absolute()
    entry.write_text(ENTRY.format(command=place, options=options, folder=folder, icon=icon), encoding="utf-8")
    print(entry)


if __name__ == "__main__":
    main()
