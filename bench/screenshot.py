"""Takes the README's picture: the console on the home of this user, as SVG. `python -m bench.screenshot NAME FILE`."""

import asyncio
import os
import re
import sys
from pathlib import Path

from app.console import Console, Options
from app.settings import find_home

_FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)
SIZE = (110, 30)
SETTLE_S = 2.0


async def take(deployment: str) -> str:
    """The picture of the screen of `deployment`."""
    os.environ["COLORTERM"] = "truecolor"  # wherever it is taken, the picture has the console's own colours
    app = Console(find_home(), Options())
    async with app.run_test(size=SIZE) as pilot:
        app.theme = "ember"
        app.go("deployment", deployment)
        await pilot.pause(SETTLE_S)
        # Without its web fonts: a picture in a README fetches nothing. And blanks count, whatever draws it.
        picture = _FONT_FACE.sub("", app.export_screenshot(title="stoker"))
        return picture.replace("<text ", '<text xml:space="preserve" ')


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(asyncio.run(take(sys.argv[1])), "utf-8")
