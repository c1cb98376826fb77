"""From the terms of an escrow to the order that fills it. The purse's address needs no node."""

from bridge.api.auth import Caller, check_return_url
from bridge.api.schemas.agreements import EscrowCreate
from bridge.api.schemas.orders import OrderCreate
from bridge.api.services import NetworkInfo, Services
from settlement.errors import EscrowUnavailable, Forbidden, InvalidInput, NotFound
from settlement.escrow import Escrow, EscrowStatus, Terms
from settlement.escrowing.agree import check_terms, settle_by
from settlement.ids import OrderId, new_client_secret, new_id
from settlement.ports.accepting import AcceptOrder
from settlement.ports.escrow import EscrowScheme
from settlement.quote import Quote


async def escrow_command(services: Services, caller: Caller, data: OrderCreate) -> AcceptOrder:
    """Everything that can be checked before the order is accepted.

    Reads the quote, which never changes: its amount is a part of the terms.
    """
    if caller.is_frontend:
        raise Forbidden("the terms of an escrow come from your server: use a secret key")
    if data.wallet is not None:
        raise InvalidInput("an escrow has a purse of its own: leave wallet out", param="wallet")
    if data.escrow is None:
        raise InvalidInput("settle_to: escrow needs its terms", param="escrow")
    check_return_url(caller, data.return_url)
    quote = await services.queries.quote(caller.tenant_id, data.quote_id)
    if quote is None:
        raise NotFound("no such quote", param="quote_id")
    network = services.network(quote.network, "quote_id")
    order_id = new_id("ord")
    escrow = _escrow(services, network, quote, data.escrow, order_id)
    return AcceptOrder(
        order_id=order_id,
        tenant_id=caller.tenant_id,
        quote_id=quote.id,
        customer=data.customer,
        network=network.name,
        wallet=escrow.purse,
        client_secret=new_client_secret(order_id),
        return_url=data.return_url,
        metadata=data.metadata or {},
        escrow=escrow,
        parties=(escrow.terms.payee, escrow.terms.payer),
        settle_by=settle_by(escrow.terms),
    )


def _escrow(
    services: Services, network: NetworkInfo, quote: Quote, asked: EscrowCreate, order_id: OrderId
) -> Escrow:
    scheme, now = scheme_of(network), services.clock.now()
    terms = _terms(services, network, scheme, quote, asked, order_id)
    check_terms(terms, quote.expires_at, now)
    place = scheme.place(terms)
    return Escrow(
        id=new_id("esc"),
        tenant_id=quote.tenant_id,
        terms=terms,
        ref=place.ref,
        purse=place.purse,
        status=EscrowStatus.AWAITING_FUNDING,
        created_at=now,
        due_at=now,
    )


def scheme_of(network: NetworkInfo) -> EscrowScheme:
    """Raises :class:`~settlement.errors.EscrowUnavailable`."""
    if network.escrow is None:
        raise EscrowUnavailable(f"there is no escrow contract on {network.name}", param="settle_to")
    return network.escrow


def _terms(
    services: Services,
    network: NetworkInfo,
    scheme: EscrowScheme,
    quote: Quote,
    asked: EscrowCreate,
    order_id: OrderId,
) -> Terms:
    code = quote.token.asset.code
    return Terms(
        contract=scheme.contract,
        order_id=order_id,
        asset=quote.token.asset,
        token=services.token(network, code, "quote_id").address,
        amount_minor=quote.token.amount_minor,
        payer=_party(network, asked.payer, "payer"),
        payee=_party(network, asked.payee, "payee"),
        arbiter=_party(network, asked.arbiter, "arbiter"),
        oracle=None if asked.oracle is None else _party(network, asked.oracle, "oracle"),
        operator=scheme.operator,
        expires_at=asked.expires_at.replace(microsecond=0),
        pays_at_expiry=asked.at_expiry == "pay_payee",
    )


def _party(network: NetworkInfo, address: str, name: str) -> str:
    try:
        return network.normalize_address(address)
    except InvalidInput as error:
        error.param = f"escrow.{name}"
        raise
