"""The documentation that the server itself serves: OpenAPI 3.1, Swagger UI, the error catalogue.

Swagger UI's files come from an installed package (``swagger-ui-py`` vendors version 5; only its
static files are used, nothing of it is imported), so that the page works without the internet.
Where the package is missing the page loads them from a public CDN instead.
"""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Litestar, MediaType, Request, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.params import PathParameter
from litestar.response import Response
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler

from bridge.api.errors import MEDIA_TYPE, Problem, catalogue
from bridge.api.request import HeaderDoc
from settlement.errors import NotFound

PACKAGE = "swagger_ui"
_REF = "#/components/schemas/{name}"
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-standalone-preset.js": "text/javascript",
    "swagger-ui.css": "text/css",
}

DESCRIPTION = """\
Quote, order, follow: a card payment becomes tokens in a wallet.

Send your key as `Authorization: Bearer tg_sk_test_…`. Every POST that creates or moves needs an
`Idempotency-Key`. Errors are problem documents (RFC 9457); every `code` is listed at `/errors`.
Amounts are strings. Lists take `limit`, `starting_after` and `ending_before`.
"""


class ErrorCode(msgspec.Struct, kw_only=True):
    code: str
    status: int
    title: str


class _DocsRouter(Router):
    """Leaves out the framework's HTML 404 page: ours are problem documents everywhere."""

    def register(self, value: ControllerRouterHandler) -> Any:
        if getattr(getattr(value, "fn", None), "__name__", "") == "handle_schema_path_not_found":
            return []
        return super().register(value)


@lru_cache(maxsize=1)
def assets_folder() -> Path | None:
    """Where the installed Swagger UI lies, ``None`` when it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in spec.submodule_search_locations or () if spec else ():
        folder = Path(location) / "static"
        if all((folder / name).is_file() for name in ASSETS):
            return folder
    return None


def openapi_config(version: str) -> OpenAPIConfig:
    """Title, security scheme and the page at ``/docs``."""
    local = "/docs/assets/{}".format if assets_folder() is not None else None
    swagger = _SwaggerPage(
        path="/",
        favicon='<link rel="icon" href="data:,">',
        js_url=local("swagger-ui-bundle.js") if local else None,
        standalone_preset_js_url=local("swagger-ui-standalone-preset.js") if local else None,
        css_url=local("swagger-ui.css") if local else None,
    )
    bearer = SecurityScheme(
        type="http", scheme="bearer", description="A secret or publishable API key."
    )
    return OpenAPIConfig(
        title="Tidegate",
        version=version,
        description=DESCRIPTION,
        use_handler_docstrings=True,
        components=Components(security_schemes={"key": bearer}),
        security=[{"key": []}],
        tags=[Tag(name=name) for name in ("quotes", "orders", "assets", "limits")],
        openapi_router=_DocsRouter("/docs", route_handlers=[], include_in_schema=False),
        render_plugins=[swagger],
    )


class _SwaggerPage(SwaggerRenderPlugin):
    """The page over our own document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return super().render(request, document(request.app))


def document(app: Litestar) -> dict[str, Any]:
    """The OpenAPI 3.1 document, built on first use.

    The framework describes its own error shape; here every operation gets the shape that we
    really answer with, and the headers that handlers read by themselves are added.
    """
    state = app.state
    if "openapi" not in state:
        schema = app.openapi_schema.to_schema()
        (_, parts) = msgspec.json.schema_components([Problem], ref_template=_REF)
        schema["components"]["schemas"].update(parts)
        for route in app.routes:
            if isinstance(route, HTTPRoute) and route.path_format in schema["paths"]:
                for method, (handler, _) in route.route_handler_map.items():
                    operation = schema["paths"][route.path_format].get(method.lower())
                    if operation is not None:
                        _correct(operation, handler.opt.get("headers", ()))
        state["openapi"] = schema
    schema_of_app: dict[str, Any] = state["openapi"]
    return schema_of_app


def _correct(operation: dict[str, Any], headers: tuple[HeaderDoc, ...]) -> None:
    operation["responses"].pop("400", None)
    operation["responses"]["default"] = {
        "description": "A problem document (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
    }
    for doc in headers:
        operation.setdefault("parameters", []).append(
            {
                "name": doc.name,
                "in": "header",
                "description": doc.description,
                "required": doc.required,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(msgspec.json.encode(document(request.app)), media_type=MediaType.JSON)


@get("/docs/assets/{name:str}", include_in_schema=False, sync_to_thread=True)
def docs_asset(name: Annotated[str, PathParameter(max_length=64)]) -> Response[bytes]:
    folder = assets_folder()
    if folder is None or name not in ASSETS:
        raise NotFound("no such file")
    return Response(
        (folder / name).read_bytes(),
        media_type=ASSETS[name],
        headers={"cache-control": "public, max-age=86400"},
    )


@get("/errors", summary="List error codes", tags=["errors"], security=[{}])
async def list_errors() -> list[ErrorCode]:
    """Every ``code`` that a problem document may carry."""
    return [
        ErrorCode(code=code, status=status, title=title)
        for code, (status, title) in catalogue().items()
    ]


@get("/errors/{code:str}", summary="Explain an error code", tags=["errors"], security=[{}])
async def get_error(code: Annotated[str, PathParameter(max_length=64)]) -> ErrorCode:
    """Where the ``type`` and ``doc_url`` of a problem document lead."""
    row = catalogue().get(code)
    if row is None:
        raise NotFound("no such error code")
    return ErrorCode(code=code, status=row[0], title=row[1])


HANDLERS = (openapi_json, docs_asset, list_errors, get_error)
