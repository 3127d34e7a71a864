"""Currencies as the marketplace knows them, and the rates of one fixed day."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Currency:
    number: int
    symbol: str
    per_dollar: float
    decimals: int = 2


CURRENCIES = {
    "USD": Currency(1, "$", 1.0),
    "GBP": Currency(2, "£", 0.7464),
    "EUR": Currency(3, "€", 0.8571),
    "CAD": Currency(4, "CA$", 1.3918),
    "AUD": Currency(5, "A$", 1.5123),
    "JPY": Currency(6, "¥", 147.33, decimals=0),
    "CHF": Currency(7, "CHF", 0.7978),
    "MXN": Currency(8, "MX$", 18.46),
    "BRL": Currency(9, "R$", 5.3412),
    "NZD": Currency(10, "NZ$", 1.7031),
    "SEK": Currency(11, "SEK", 9.3977),
    "ZAR": Currency(12, "ZAR", 17.381),
}


def converted(amount: float, currency: str, wanted: str) -> float:
    """Not rounded, as Discogs does it: 7.679804607882764."""
    if currency == wanted:
        return amount
    return amount / CURRENCIES[currency].per_dollar * CURRENCIES[wanted].per_dollar


def formatted(amount: float, currency: str) -> str:
    known = CURRENCIES[currency]
    return f"{known.symbol}{amount:,.{known.decimals}f}"
