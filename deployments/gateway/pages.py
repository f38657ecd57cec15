"""Swagger UI and ReDoc, and the files of all pages, all of it from here: no foreign host, no script in the page."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deployments.gateway import account_pages

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the documentation pages; both libraries set styles from script."""

START = """\
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
});
"""

SWAGGER = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>medsearch API</title>
<link rel="icon" href="/static/favicon.png">
<link rel="stylesheet" href="/static/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/static/swagger-ui-bundle.js"></script>
<script src="/static/swagger-start.js"></script>
</body>
</html>
"""

REDOC = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>medsearch API</title>
<link rel="icon" href="/static/favicon.png">
</head>
<body>
<redoc spec-url="/openapi.json"></redoc>
<script src="/static/redoc.standalone.js"></script>
</body>
</html>
"""

MEDIA_TYPES = {
    **account_pages.MEDIA_TYPES,
    "favicon.png": "image/png",
    "redoc.standalone.js": "text/javascript",
    "swagger-start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
"""Every asset there is."""


@dataclass(frozen=True, slots=True)
class Assets:
    """Files in memory, read at the start: what pages load, and the pages of mailed links."""

    content: dict[str, bytes]
    account: dict[str, str]

    @classmethod
    def load(cls) -> Assets:
        """From the installed `fastapi_offline`, which carries both libraries; raises `FileNotFoundError`."""
        spec = find_spec("fastapi_offline")
        if spec is None or spec.origin is None:
            raise FileNotFoundError("fastapi_offline is not installed")
        folder = Path(spec.origin).parent / "static"
        own = {"swagger-start.js": START.encode(), **account_pages.files()}
        packaged = {name: (folder / name).read_bytes() for name in MEDIA_TYPES if name not in own}
        return cls({**packaged, **own}, account_pages.pages())
