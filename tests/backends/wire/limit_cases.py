"""Rate-limit headers as providers send them, and the readings that they mean."""

from __future__ import annotations

from typing import Any

from backends.wire.limits import Reading

NOW = 1_785_510_565.0
DATE = "Fri, 31 Jul 2026 15:09:25 GMT"  # the same moment


def unified(**fields: Any) -> dict[str, str]:
    return {f"anthropic-ratelimit-unified-{name.replace('__', '-')}": str(v) for name, v in fields.items()}


def quota(
    window: str, used: float, resets_at: float | None, *, of: str = "", rejected: bool = False
) -> Reading:
    return Reading(window, of, used, None, None, resets_at, rejected)


def counted(
    window: str, remaining: int, limit: int | None, resets_at: float | None, of: str = "opus"
) -> Reading:
    used = max(0.0, 1 - remaining / limit) if limit else 0.0
    return Reading(window, of, used, remaining, limit, resets_at, False)


# As captured in public from api.anthropic.com in July and August 2026, with an OAuth token; resets moved near NOW.
SPENT_5H = {
    "date": DATE,
    "anthropic-ratelimit-unified-5h-reset": "1785518400",
    "anthropic-ratelimit-unified-5h-status": "rejected",
    "anthropic-ratelimit-unified-5h-surpassed-threshold": "1.0",
    "anthropic-ratelimit-unified-5h-utilization": "1.01",
    "anthropic-ratelimit-unified-7d-reset": "1786006800",
    "anthropic-ratelimit-unified-7d-status": "allowed",
    "anthropic-ratelimit-unified-7d-utilization": "0.69",
    "anthropic-ratelimit-unified-fallback-percentage": "0.5",
    "anthropic-ratelimit-unified-overage-disabled-reason": "org_level_disabled",
    "anthropic-ratelimit-unified-overage-status": "rejected",
    "anthropic-ratelimit-unified-representative-claim": "five_hour",
    "anthropic-ratelimit-unified-reset": "1785518400",
    "anthropic-ratelimit-unified-status": "rejected",
    "retry-after": "7835",
    "x-robots-tag": "none",
    "x-should-retry": "true",
}
NEARLY_SPENT = {
    "anthropic-ratelimit-unified-status": "allowed_warning",
    "anthropic-ratelimit-unified-5h-status": "allowed",
    "anthropic-ratelimit-unified-5h-reset": "1785525000",
    "anthropic-ratelimit-unified-5h-utilization": "0.46",
    "anthropic-ratelimit-unified-7d-status": "allowed_warning",
    "anthropic-ratelimit-unified-7d-reset": "1785630000",
    "anthropic-ratelimit-unified-7d-utilization": "0.91",
    "anthropic-ratelimit-unified-7d-surpassed-threshold": "0.75",
    "anthropic-ratelimit-unified-7d_oi-status": "allowed",
    "anthropic-ratelimit-unified-7d_oi-reset": "1785630000",
    "anthropic-ratelimit-unified-7d_oi-utilization": "0.22",
    "anthropic-ratelimit-unified-overage-status": "allowed",
    "anthropic-ratelimit-unified-overage-reset": "1787080800",
    "anthropic-ratelimit-unified-overage-utilization": "0.0",
    "anthropic-ratelimit-unified-representative-claim": "seven_day",
    "anthropic-ratelimit-unified-fallback-percentage": "0.5",
    "anthropic-ratelimit-unified-reset": "1785630000",
    "anthropic-ratelimit-unified-upgrade-paths": "overage",
}
SPENT_FAMILY = {
    "anthropic-ratelimit-unified-5h-reset": "1785525000",
    "anthropic-ratelimit-unified-5h-status": "allowed",
    "anthropic-ratelimit-unified-5h-utilization": "0.0",
    "anthropic-ratelimit-unified-7d_oi-reset": "1785630000",
    "anthropic-ratelimit-unified-7d_oi-status": "rejected",
    "anthropic-ratelimit-unified-7d_oi-utilization": "1.0",
    "anthropic-ratelimit-unified-overage-status": "rejected",
    "anthropic-ratelimit-unified-representative-claim": "seven_day_overage_included",
    "anthropic-ratelimit-unified-status": "rejected",
    "retry-after": "51811",
}


# (headers, readings for the model claude-opus-4-8)
READINGS: list[tuple[dict[str, str], tuple[Reading, ...]]] = [
    # Anthropic, API key.
    (
        {
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-remaining": "3999",
            "anthropic-ratelimit-requests-reset": "2026-07-31T15:10:25Z",
            "anthropic-ratelimit-tokens-limit": "480000",
            "anthropic-ratelimit-tokens-remaining": "120000",
            "anthropic-ratelimit-tokens-reset": "2026-07-31T15:09:59Z",
            "anthropic-ratelimit-input-tokens-limit": "400000",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "2026-07-31T15:10:25Z",
            "anthropic-ratelimit-output-tokens-limit": "80000",
            "anthropic-ratelimit-output-tokens-remaining": "80000",
            "anthropic-ratelimit-output-tokens-reset": "2026-07-31T15:09:25Z",
        },
        (
            counted("requests", 3999, 4000, NOW + 60),
            counted("tokens", 120_000, 480_000, NOW + 34),
            counted("input-tokens", 0, 400_000, NOW + 60),
            counted("output-tokens", 80_000, 80_000, NOW),
        ),
    ),
    # Its service tiers limit nobody who does not ask for them.
    (
        {
            "anthropic-priority-input-tokens-limit": "10000",
            "anthropic-priority-input-tokens-remaining": "9618",
            "anthropic-priority-input-tokens-reset": "2026-07-31T15:10:25Z",
            "anthropic-fast-output-tokens-limit": "1000",
            "anthropic-fast-output-tokens-remaining": "0",
        },
        (
            counted("priority-input-tokens", 9618, 10_000, NOW + 60, "priority/opus"),
            counted("fast-output-tokens", 0, 1000, None, "fast/opus"),
        ),
    ),
    # Subscriptions: families by pattern, not by list.
    (
        unified(**{"7d_sonnet__status": "rejected", "7d_sonnet__reset": 1785630000}),
        (quota("7d_sonnet", 1.0, 1_785_630_000.0, of="sonnet", rejected=True),),
    ),
    (
        unified(**{"7d_opus-4__utilization": 0.3, "30d_new_family__utilization": 0.5}),
        (quota("7d_opus-4", 0.3, None, of="opus-4"), quota("30d_new_family", 0.5, None, of="new-family")),
    ),
    (
        unified(**{"5h__surpassed-threshold": "0.9", "5h__status": "allowed_warning"}),
        (quota("5h", 0.9, None),),
    ),
    (unified(**{"5h__utilization": "46"}), ()),
    (unified(**{"5h__utilization": "-0.1", "7d__utilization": "NaN"}), ()),
    (
        unified(**{"5h__utilization": "-0.1", "5h__status": "rejected"}),
        (quota("5h", 1.0, None, rejected=True),),
    ),
    (unified(**{"5h__reset": 1785518400}), ()),
    (unified(overage__status="allowed"), (quota("overage", 0.0, None),)),
    (
        unified(
            **{
                "grace-5h__utilization": 0.9,
                "slow__status": "rejected",
                "overage-period-monthly__utilization": 0.9,
                "overage__disabled-reason": "out_of_credits",
                "fallback": "available",
            }
        ),
        (),
    ),
    # OpenAI.
    (
        {
            "x-ratelimit-limit-requests": "5000",
            "x-ratelimit-remaining-requests": "4999",
            "x-ratelimit-reset-requests": "12ms",
            "x-ratelimit-limit-tokens": "160000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "6m0s",
            "x-ratelimit-limit-tokens_usage_based": "160000",
            "x-ratelimit-remaining-tokens_usage_based": "40000",
            "x-ratelimit-reset-tokens_usage_based": "9ms",
            "x-ratelimit-limit-project-tokens": "60000",
            "x-ratelimit-remaining-project-tokens": "57000",
            "x-ratelimit-reset-project-tokens": "3s",
        },
        (
            counted("requests", 4999, 5000, NOW + 0.012),
            counted("tokens", 0, 160_000, NOW + 360),
            counted("tokens_usage_based", 40_000, 160_000, NOW + 0.009),
            counted("project-tokens", 57_000, 60_000, NOW + 3),
        ),
    ),
    # Azure: what it does not know is -1 or 0; older versions tell no limit.
    (
        {
            "x-ratelimit-limit-tokens": "-1",
            "x-ratelimit-remaining-tokens": "-1",
            "x-ratelimit-reset-tokens": "0",
            "x-ratelimit-limit-requests": "0",
            "x-ratelimit-remaining-requests": "0",
        },
        (),
    ),
    (
        {"x-ratelimit-remaining-requests": "79", "x-ratelimit-remaining-tokens": "0"},
        (counted("requests", 79, None, None),),
    ),
    (
        {
            "x-ratelimit-limit-requests": "20000",
            "x-ratelimit-remaining-requests": "19999",
            "x-ratelimit-renewalperiod-requests": "60",
            "x-ratelimit-reset-requests": "3",
        },
        (counted("requests", 19_999, 20_000, NOW + 3),),
    ),
    # Cerebras and Groq: by minute, hour and day.
    (
        {
            "x-ratelimit-limit-requests-day": "14400",
            "x-ratelimit-remaining-requests-day": "14399",
            "x-ratelimit-reset-requests-day": "33011.4",
            "x-ratelimit-limit-tokens-minute": "60000",
            "x-ratelimit-remaining-tokens-minute": "59995",
            "x-ratelimit-reset-tokens-minute": "11.38",
        },
        (
            counted("requests-day", 14_399, 14_400, NOW + 33_011.4),
            counted("tokens-minute", 59_995, 60_000, NOW + 11.38),
        ),
    ),
    # Mistral, today and before.
    (
        {
            "x-ratelimit-limit-req-minute": "60",
            "x-ratelimit-remaining-req-minute": "59",
            "x-ratelimit-limit-tokens-month": "4000000",
            "x-ratelimit-remaining-tokens-month": "3950246",
            "x-ratelimit-tokens-query-cost": "2804",
        },
        (counted("requests-minute", 59, 60, None), counted("tokens-month", 3_950_246, 4_000_000, None)),
    ),
    (
        {
            "ratelimitbysize-limit": "500000",
            "ratelimitbysize-remaining": "499000",
            "ratelimitbysize-reset": "29",
            "x-ratelimitbysize-limit-month": "1000000000",
            "x-ratelimitbysize-remaining-month": "999999000",
        },
        (
            counted("tokens", 499_000, 500_000, NOW + 29),
            counted("tokens-month", 999_999_000, 1_000_000_000, None),
        ),
    ),
    # Together and OpenRouter: no unit.
    (
        {
            "x-ratelimit-limit": "60",
            "x-ratelimit-remaining": "57",
            "x-ratelimit-reset": "1",
            "x-tokenlimit-limit": "100000",
            "x-tokenlimit-remaining": "98500",
        },
        (counted("requests", 57, 60, NOW + 1), counted("tokens", 98_500, 100_000, None)),
    ),
    (
        {"x-ratelimit-limit": "50", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1785542400000"},
        (counted("requests", 0, 50, 1_785_542_400.0),),
    ),
    # SambaNova: epoch seconds. Fireworks: limits alone say nothing of what is left.
    (
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "30",
            "x-ratelimit-reset-requests": "1785510625",
        },
        (counted("requests", 30, 60, NOW + 60),),
    ),
    (
        {
            "x-ratelimit-limit-tokens-prompt": "60000",
            "x-ratelimit-limit-tokens-generated": "6000",
            "x-ratelimit-remaining-tokens-generated": "3000",
        },
        (counted("tokens-generated", 3000, 6000, None),),
    ),
    ({"x-ratelimit-limit-images": "5", "x-ratelimit-remaining-images": "0"}, ()),
    # The drafts of the IETF.
    (
        {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "30"},
        (counted("requests", 50, 100, NOW + 30),),
    ),
    ({"ratelimit": "limit=100, remaining=50, reset=5"}, (counted("requests", 50, 100, NOW + 5),)),
    (
        {
            "ratelimit-policy": '"default";q=100;w=60, "daily";q=1000;w=86400, "size";q=9;qu="content-bytes"',
            "ratelimit": '"default";r=50;t=30, "daily";r=0;t=7200, "size";r=0;t=1',
        },
        (counted("requests", 50, 100, NOW + 30), counted("requests-daily", 0, 1000, NOW + 7200)),
    ),
    ({"ratelimit": '"default";r=50;t=30'}, (counted("requests", 50, None, NOW + 30),)),
    ({"ratelimit": "a;b;c, ;;r=, \xff"}, ()),
    ({"ratelimit-policy": '"default";q=100;w=60'}, ()),
    # Codex: percentages of ChatGPT's plans.
    (
        {
            "x-codex-primary-used-percent": "82.5",
            "x-codex-primary-window-minutes": "300",
            "x-codex-primary-reset-after-seconds": "3600",
            "x-codex-secondary-used-percent": "9",
            "x-codex-secondary-window-minutes": "10080",
            "x-codex-secondary-reset-at": "1786006800",
            "x-codex-secondary-reset-after-seconds": "1",
            "x-codex-bengalfox-primary-used-percent": "100",
            "x-codex-credits-balance": "0",
        },
        (quota("5h", 0.825, NOW + 3600), quota("7d", 0.09, 1_786_006_800.0)),
    ),
    ({"x-codex-primary-used-percent": "0", "x-codex-primary-window-minutes": "0"}, ()),
    (
        {"x-codex-primary-used-percent": "100", "x-codex-primary-window-minutes": "15"},
        (quota("15m", 1.0, None),),
    ),
    ({"x-codex-primary-used-percent": "40"}, (quota("primary", 0.4, None),)),
    (
        {
            "x-codex-primary-used-percent": "40",
            "x-codex-primary-window-minutes": "10080",
            "x-codex-secondary-used-percent": "60",
            "x-codex-secondary-window-minutes": "10080",
        },
        (quota("7d", 0.6, None),),
    ),
    # More left than the limit is as good as untouched; a value that cannot be is left out.
    (
        {"x-ratelimit-limit-tokens": "10", "x-ratelimit-remaining-tokens": "12"},
        (counted("tokens", 12, 10, None),),
    ),
    ({"x-ratelimit-limit-tokens": "many", "x-ratelimit-remaining-tokens": "few"}, ()),
    ({"x-ratelimit-limit-tokens": "9" * 40, "x-ratelimit-remaining-tokens": "1e30"}, ()),
    (
        {
            "x-ratelimit-limit-tokens": "10",
            "x-ratelimit-remaining-tokens": "5",
            "x-ratelimit-reset-tokens": "-6m0s",
        },
        (counted("tokens", 5, 10, None),),
    ),
    (
        {
            "x-ratelimit-limit-tokens": " 10 ",
            "x-ratelimit-remaining-tokens": " 5\t",
            "x-ratelimit-reset-tokens": " 6m0s ",
        },
        (counted("tokens", 5, 10, NOW + 360),),
    ),
]
