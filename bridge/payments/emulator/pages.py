"""The bank's side of 3-D Secure: a page with two buttons, as Stripe's test mode shows one."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit, urlunsplit

from litestar import Response, Router, get, post
from litestar.params import FromPath

from . import charging
from .api import Api, HttpRequest
from .forms import parse_form
from .store import Json

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>3-D Secure (test)</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem;
  margin: 4rem auto; padding: 0 1rem }}
button {{ font: inherit; padding: .5rem 1.25rem; margin-right: .5rem }}
</style>
</head>
<body>
<h1>3-D Secure test page</h1>
<p>{message}</p>
{form}
</body>
</html>
"""
_FORM = """<form method="post">
<button name="outcome" value="complete">Complete</button>
<button name="outcome" value="fail">Fail</button>
</form>"""


def _page(message: str, form: str = "", status: int = 200) -> Response[str]:
    content = _PAGE.format(message=escape(message), form=form)
    return Response(content, status_code=status, media_type="text/html")


def _amount(intent: Json) -> str:
    amount = intent["amount"]
    return f"{amount // 100}.{amount % 100:02d} {intent['currency'].upper()}"


def _back(return_url: str, intent: Json) -> str:
    parts = urlsplit(return_url)
    paid = intent["status"] in ("requires_capture", "succeeded")
    added = urlencode(
        {
            "payment_intent": intent["id"],
            "payment_intent_client_secret": intent["client_secret"],
            "redirect_status": "succeeded" if paid else "failed",
        }
    )
    query = f"{parts.query}&{added}" if parts.query else added
    return urlunsplit(parts._replace(query=query))


def pages(api: Api) -> Router:
    """Return the routes of the 3-D Secure page."""

    @get("/{challenge_id:str}")
    async def show(challenge_id: FromPath[str]) -> Response[str]:
        row = api.emulator.store.get("challenges", challenge_id)
        if row is None:
            return _page("There is no such authentication.", status=404)
        if row["status"] != "open":
            return _page("This authentication is over.")
        intent = api.emulator.find(row["intent"], "pi")
        return _page(f"The shop asks for {_amount(intent)}. Is this payment yours?", _FORM)

    @post("/{challenge_id:str}", status_code=200)
    async def decide(request: HttpRequest, challenge_id: FromPath[str]) -> Response[str]:
        row = api.emulator.store.get("challenges", challenge_id)
        if row is None:
            return _page("There is no such authentication.", status=404)
        outcome = parse_form((await request.body()).decode()).get("outcome")
        if outcome not in ("complete", "fail"):
            return _page("Choose one of the two buttons.", _FORM, status=400)
        try:
            api.emulator.run_timers()
            intent = charging.authenticate(api.emulator, row, outcome == "complete")
            api.emulator.store.commit()
        except BaseException:
            api.emulator.store.rollback()
            raise
        api.sender.wake()
        if row["return_url"] is None:
            return _page("Done. You can close this page.")
        location = _back(row["return_url"], intent)
        return Response("", status_code=303, headers={"Location": location})

    return Router("/3ds", route_handlers=[show, decide])
