"""`python -I -m app.control`: the server as consoles and commands start it, detached; it exits if one runs already."""

import sys

from app.control.server import serve
from app.settings import find_home

if __name__ == "__main__":
    sys.exit(serve(find_home(), wait=False))
