"""What runs in the browser: the modules in this folder, sent as they are, without a build step.

``/browser/NAME.js`` holds nothing of the user's, so it needs no login.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent
MODULES = "".join(  # for the head of the page
    f'<script type="module" src="browser/{path.name}"></script>'
    for path in sorted(FOLDER.glob("*.js"))
    if not path.stem.endswith("_worklet")  # loaded by the module that uses it
)


class _Files(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"  # the page and its modules change together
        return response


def browser_files() -> Mount:
    """Route of the files."""
    mimetypes.add_type("text/javascript", ".js")  # Windows may say text/plain, which browsers refuse
    return Mount("/browser", _Files(directory=FOLDER))
