"""Escrows: read them, and bring what their parties have signed.

An attestation is judged at once, under the escrow's lock: is it possible as the escrow stands, and
has the right key signed it? Carrying it out is the worker's; the API never talks to a chain.
"""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from bridge.api.agreements import scheme_of
from bridge.api.answer import Answer
from bridge.api.auth import Caller, caller_of
from bridge.api.request import IDEMPOTENCY_KEY, REPLAYED, idempotency
from bridge.api.schemas.common import (
    AfterParam,
    BeforeParam,
    LimitParam,
    ListView,
    decoder,
    list_view,
)
from bridge.api.schemas.escrows import (
    AttestationCreate,
    AttestationView,
    ConsentCreate,
    DisputeCreate,
    EscrowView,
    ReleaseCreate,
    ResolutionCreate,
    attestation_view,
    escrow_view,
)
from bridge.api.services import NetworkInfo, Services, services_of
from bridge.storage.pages import Page
from bridge.storage.wake import WORK
from settlement.errors import InvalidInput, NotFound, SignatureInvalid
from settlement.escrow import (
    Attestation,
    Consent,
    Dispute,
    Escrow,
    EscrowChange,
    EscrowStatus,
    Release,
    Resolution,
)
from settlement.escrowing.attest import check_attestation
from settlement.escrowing.attest import request as taken_up
from settlement.money import parse_decimal
from settlement.ports.escrow import EscrowScheme

EscrowId = Annotated[str, PathParameter(max_length=100)]


@get("/v1/escrows", opt={"permission": "escrows.read"}, summary="List escrows", tags=["escrows"])
async def list_escrows(
    request: Request[Any, Any, Any],
    limit: LimitParam = 10,
    starting_after: AfterParam = None,
    ending_before: BeforeParam = None,
    status: Annotated[EscrowStatus | None, QueryParameter(name="status")] = None,
) -> ListView[EscrowView]:
    """Newest first, by status."""
    services, caller = services_of(request), caller_of(request)
    page = Page(limit, starting_after, ending_before)
    listing = await services.queries.escrows(caller.tenant_id, page, status=status)
    return list_view(listing, lambda escrow: _view(services, caller, escrow))


@get(
    "/v1/escrows/{escrow_id:str}",
    opt={"permission": "escrows.read"},
    summary="Retrieve an escrow",
    tags=["escrows"],
)
async def get_escrow(request: Request[Any, Any, Any], escrow_id: EscrowId) -> EscrowView:
    """With what a signer needs (`signing`), what was attested, and the history."""
    services, caller = services_of(request), caller_of(request)
    escrow = await _own_escrow(services, caller, escrow_id)
    history = await services.queries.escrow_events(caller.tenant_id, escrow.terms.order_id)
    signing = _signing(services, escrow)
    return escrow_view(escrow, livemode=caller.livemode, signing=signing, history=history)


def _view(services: Services, caller: Caller, escrow: Escrow) -> EscrowView:
    return escrow_view(escrow, livemode=caller.livemode, signing=_signing(services, escrow))


def _signing(services: Services, escrow: Escrow) -> Any:
    network = services.networks.get(escrow.network)
    scheme = None if network is None else network.escrow
    return None if scheme is None else scheme.signing(escrow)


async def _own_escrow(services: Services, caller: Caller, escrow_id: str) -> Escrow:
    escrow = await services.queries.escrow(caller.tenant_id, escrow_id)
    if escrow is None:
        raise NotFound("no such escrow")
    return escrow


@post(
    "/v1/escrows/{escrow_id:str}/attestations",
    opt={
        "permission": "escrows.attest",
        "headers": (IDEMPOTENCY_KEY,),
        **decoder(AttestationCreate),
    },
    summary="Attest something about an escrow",
    tags=["escrows"],
)
async def create_attestation(
    request: Request[Any, Any, Any],
    escrow_id: EscrowId,
    data: JSONBody[AttestationCreate],
) -> Answer[AttestationView]:
    """What oracle, arbiter or parties have signed, by `kind`. Its own `status` tells how far it
    got; screening may hold it."""
    services, caller = services_of(request), caller_of(request)
    key = await idempotency(request, caller.namespace)
    escrow = await _own_escrow(services, caller, escrow_id)
    network = services.network(escrow.network, "escrow")
    scheme, now = scheme_of(network), services.clock.now()
    what = _what(escrow, network, data)

    def attest(current: Escrow) -> EscrowChange:
        return judged(scheme, current, what, now, by_contract=data.signed_by_contract)

    action = await services.store.attest(caller.tenant_id, escrow_id, attest, key, now)
    services.wake.notify(WORK)
    headers = [] if action.requested_at == now else [REPLAYED]
    return Answer(attestation_view(escrow, action), headers)


def judged(
    scheme: EscrowScheme, escrow: Escrow, what: Attestation, now: datetime, *, by_contract: bool
) -> EscrowChange:
    """The change that takes it up, or the refusal."""
    check_attestation(escrow, what, now)
    digest = scheme.digest(escrow, what)
    for param, who, signer, signature in _signatures(escrow, what):
        if not scheme.has_signed(signer, digest, signature) and not by_contract:
            raise SignatureInvalid(
                f"{param} is not the {who}'s ({signer}) over this message", param=param
            )
    return taken_up(escrow, what, digest, now)


def _signatures(escrow: Escrow, what: Attestation) -> list[tuple[str, str, str, str]]:
    """Parameter, role, address and signature of each who has to sign."""
    terms = escrow.terms
    match what:
        case Release():
            return [("signature", "oracle", terms.oracle or "", what.signature)]
        case Consent():
            return [
                ("payer_signature", "payer", terms.payer, what.payer_signature),
                ("payee_signature", "payee", terms.payee, what.payee_signature),
            ]
        case Dispute():
            return [("signature", "disputing party", what.by, what.signature)]
        case Resolution():
            return [("signature", "arbiter", terms.arbiter, what.signature)]


def _what(escrow: Escrow, network: NetworkInfo, data: AttestationCreate) -> Attestation:
    def minor(param: str) -> int:
        return parse_decimal(getattr(data, param), escrow.terms.asset.scale, param=param)

    match data:
        case ReleaseCreate():
            return Release(minor("total"), data.evidence.lower(), data.signature)
        case ConsentCreate():
            signed = (data.payer_signature, data.payee_signature)
            return Consent(minor("to_payee"), minor("to_payer"), *signed)
        case DisputeCreate():
            return Dispute(_party(network, data.by), data.reason.lower(), data.signature)
        case ResolutionCreate():
            return Resolution(minor("to_payee"), minor("to_payer"), data.signature)


def _party(network: NetworkInfo, address: str) -> str:
    try:
        return network.normalize_address(address)
    except InvalidInput as error:
        error.param = "by"
        raise


HANDLERS = (list_escrows, get_escrow, create_attestation)
