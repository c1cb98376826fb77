"""Price sources. Each file implements :class:`settlement.ports.price.PricePort`."""
