"""Figures as people read them, on a page or in a terminal: short, and never more exact than they are useful. Pure."""

from __future__ import annotations

from decimal import Decimal

from analytics.usage_sums import Sums

NOTHING = "\u2013"  # a dash


def money(amount: Decimal | float | None) -> str:
    """`$1,234`, `$12.35`, `$0.0042`; `unpriced` for None."""
    if amount is None:
        return "unpriced"
    value = Decimal(amount)
    if value >= 1000:
        return f"${value:,.0f}"
    if value >= Decimal("0.01") or value == 0:
        return f"${value:,.2f}"
    return f"${value:.4f}" if value >= Decimal("0.0001") else "<$0.0001"


def count(number: float | None) -> str:
    """`12,345`, `123k`, `4.5M`; a dash for None."""
    if number is None:
        return NOTHING
    for limit, unit, name in ((1e9, 1e9, "B"), (1e6, 1e6, "M"), (1e5, 1e3, "k")):
        if number >= limit:
            return f"{number / unit:.3g}{name}" if number < 1000 * unit else f"{number / unit:,.0f}{name}"
    return f"{number:,.0f}"


def duration(ms: float | None) -> str:
    """`843 ms`, `2.4 s`, `3m 20s`, `2h 5m`; a dash for None."""
    if ms is None:
        return NOTHING
    if ms < 999.5:
        return f"{ms:.0f} ms" if ms >= 10 or ms == 0 else f"{ms:.1f} ms"
    seconds = ms / 1000
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 9.995 else f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    return f"{minutes // 60}h {minutes % 60}m"


def percent(share: float | None) -> str:
    """0.034 as `3.4 %`, 0.5 as `50 %`; a dash for None. Something is never shown as nothing, nor nearly all as all."""
    if share is None:
        return NOTHING
    value = share * 100
    if 0 < value < 0.1:
        return "<0.1 %"
    return f"{value:.1f} %" if value < 10 and value != round(value) else f"{min(value, _below(value)):.0f} %"


def _below(value: float) -> float:
    return 99.0 if 99 < value < 100 else value


def cost_of(sums: Sums) -> str:
    """What the requests of a group cost; `unpriced` when nobody knows of any, a dash when none was served."""
    if not sums.priced and not sums.unpriced:
        return NOTHING
    return money(sums.cost)


def unpriced_note(sums: Sums) -> str:
    """`+ 12 unpriced` where a sum leaves some out."""
    return f"+ {count(sums.unpriced)} unpriced" if sums.unpriced and sums.priced else ""
