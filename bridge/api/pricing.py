"""From what a customer asks for to a firm quote: prices, gas and policy gathered, then the core's
arithmetic. No rule of money lives here."""

from datetime import timedelta

from bridge.api.auth import Caller
from bridge.api.schemas.quotes import QuoteCreate
from bridge.api.services import NetworkInfo, Services
from settlement.errors import AmountOutOfRange, InvalidInput, NotFound
from settlement.ids import new_id
from settlement.limits import Limits, check_order_amount
from settlement.money import Asset, Money, parse_decimal, times_up
from settlement.quote import Pricing, Quote, Speed, price_by_fiat, price_by_token

_AMOUNT_MINOR_MAX = 10**60
"""Far beyond any limit, and far inside what the database's NUMERIC(78,0) holds."""


def quote_prefix(currency: str) -> str:
    """Quote ids name their currency, so that accepting finds the caps of that currency without
    a read. An id that is altered names no quote at all."""
    return f"qt_{currency.lower()}"


def limits_for_quote(caller: Caller, quote_id: str) -> Limits:
    """The tenant's limits in the quote's currency.

    Raises :class:`~settlement.errors.NotFound` for an id that we cannot have given out.
    """
    parts = quote_id.split("_")
    limits = caller.login.tenant.limits.get(parts[1].upper()) if len(parts) == 3 else None
    if limits is None:
        raise NotFound("no such quote", param="quote_id")
    return limits


def limits_of(caller: Caller, currency: str) -> Limits:
    """Raises :class:`~settlement.errors.InvalidInput` when the tenant may not charge in it."""
    limits = caller.login.tenant.limits.get(currency)
    if limits is None:
        raise InvalidInput(f"this account has no limits for {currency}", param="currency")
    return limits


async def make_quote(services: Services, caller: Caller, asked: QuoteCreate) -> Quote:
    """Price a request. Nothing is stored.

    Raises :class:`~settlement.errors.InvalidInput` (or its ``AmountOutOfRange``) and
    :class:`~settlement.errors.PriceUnavailable`.
    """
    network = services.network(asked.network, "network")
    token = services.token(network, asked.asset, "asset").asset
    fiat = services.fiat(asked.currency, "currency")
    limits = limits_of(caller, fiat.code)
    speed = Speed(asked.speed)
    pricing, fee_wei = await _pricing(services, network, token, fiat, speed)
    if asked.amount_in == "fiat":
        gross = Money(_minor(asked.amount, fiat), fiat)
        check_order_amount(gross, limits)
        tokens, lines = price_by_fiat(gross, token, pricing)
    else:
        tokens = Money(_minor(asked.amount, token), token)
        gross, lines = price_by_token(tokens, fiat, pricing)
        check_order_amount(gross, limits)
    if tokens.amount_minor > network.payout_max_minor:
        raise AmountOutOfRange("more tokens than one payout can carry", param="amount")
    now = services.clock.now()
    return Quote(
        id=new_id(quote_prefix(fiat.code)),
        tenant_id=caller.tenant_id,
        network=network.name,
        gross=gross,
        token=tokens,
        lines=lines,
        rate=pricing.rate,
        created_at=now,
        expires_at=now + timedelta(seconds=services.settings.quote_life_s),
        speed=speed,
        network_fee_wei=fee_wei,
    )


def _minor(amount: str, asset: Asset) -> int:
    minor = parse_decimal(amount, asset.scale, param="amount")
    if minor > _AMOUNT_MINOR_MAX:
        raise AmountOutOfRange("the amount is far above the maximum", param="amount")
    return minor


async def _pricing(
    services: Services, network: NetworkInfo, token: Asset, fiat: Asset, speed: Speed
) -> tuple[Pricing, int]:
    """And the network fee in the native coin's minor units."""
    price = await services.prices.price(token, fiat)
    native = await services.prices.price(network.native, fiat)
    settings = services.settings
    fee_wei = await services.gas.quote_fee_wei(network.name, speed)
    pricing = Pricing(
        rate=price.rate,
        processing_bps=settings.processing_bps,
        processing_fixed_minor=settings.processing_fixed_minor,
        network_fee_minor=times_up(fee_wei, native.rate),
        spread_bps=settings.spread_bps,
    )
    return pricing, fee_wei
