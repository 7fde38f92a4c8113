"""Makes the pictures of docs/view.md: pages as headless Chromium shows them.

    python docs/images/view.py view.png t.h5 "sample=19&path=output:7:0"
    python docs/images/view.py view-recording.png Train/2/00006.bin "from=40&length=20"
    python docs/images/view.py view-run.png runs/first

It uses the tests' browser. The trace is of every twelfth of 1000 recordings of N-MNIST through a network that
was trained on 900 of them for six epochs (datasets/nmnist/small.toml). The pictures have few colours, to stay
small.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.view.browser import OpenPage, Served, start_browser  # noqa: E402

COLOURS = 96


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("picture", help="name of the picture")
    options.add_argument("file", type=Path)
    options.add_argument("state", nargs="?", default="", help="what to show: keys of the page's address")
    chosen = options.parse_args()
    served, browser = Served(chosen.file), start_browser()
    try:
        page = OpenPage(browser, f"{served.server.address}&theme=light&{chosen.state}")
        with tempfile.TemporaryDirectory() as folder:
            shrink(page.picture(Path(folder) / "page.png"), Path(__file__).with_name(chosen.picture))
    finally:
        browser.quit()
        served.close()


def shrink(source: Path, target: Path) -> None:
    """Few colours."""
    from PIL import Image

    with Image.open(source) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
