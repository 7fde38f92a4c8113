"""Makes view.png: the page of a trace, as headless Chromium shows it.

    python docs/images/view.py t.h5 --sample 19 --spike output:7:0

Run it from the repository's root, where the tests' browser is. The picture has 256 colours, to stay small.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.view.browser import OpenPage, Served, start_browser  # noqa: E402


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("trace", type=Path)
    options.add_argument("--sample", default="0")
    options.add_argument("--spike", required=True)
    options.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    chosen = options.parse_args()
    served, browser = Served(chosen.trace), start_browser()
    try:
        address = f"{served.server.address}&sample={chosen.sample}&path={chosen.spike}&theme=light"
        with tempfile.TemporaryDirectory() as folder:
            shrink(OpenPage(browser, address).picture(Path(folder) / "page.png"), chosen.out)
    finally:
        browser.quit()
        served.close()


def shrink(source: Path, target: Path) -> None:
    """256 colours."""
    from PIL import Image

    with Image.open(source) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
