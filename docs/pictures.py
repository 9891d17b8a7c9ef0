"""Make the pictures of the gallery again: run the commands that docs/gallery.md shows.

``python docs/pictures.py`` runs them all, ``python docs/pictures.py hello gates`` those of the
pictures with these names. A picture is kept as a PNG of 256 colours, which is half as large.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"^python (.*(docs/pictures/([\w.]+)\.png).*)$", re.M)


def main() -> None:
    """Run the commands."""
    wanted = set(sys.argv[1:])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    page = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    for arguments, picture, name in COMMAND.findall(page):
        if not wanted or name.split(".")[0] in wanted:
            command = [sys.executable, *shlex.split(arguments)]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            with Image.open(ROOT / picture) as image:
                small = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)
            small.save(ROOT / picture, optimize=True)
            print(f"{picture}  {(ROOT / picture).stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
