from __future__ import annotations

import pytest
from django.conf import settings

from backends.models import Backend, ConfigVersion, Route
from backends.services import (
    MOST_QUIRKS,
    NewBackend,
    ServiceError,
    backend_add,
    backend_remove,
    get_backend,
    quirks_learn,
    quirks_reset,
    read_targets,
    route_add,
    route_findings,
    route_remove,
)
from backends.snapshot import load_routing
from backends.wire.quirks import Quirk, QuirkKind

pytestmark = pytest.mark.django_db


def test_a_known_name_brings_url_protocol_and_features() -> None:
    row = backend_add(NewBackend("openai"))
    assert (row.base_url, row.protocol, row.speaks_responses) == ("https://api.openai.com/v1", "openai", True)
    assert backend_add(NewBackend("anthropic")).protocol == "anthropic"


def test_an_unknown_name_needs_a_base_url_and_speaks_openai() -> None:
    with pytest.raises(ServiceError, match="--base-url"):
        backend_add(NewBackend("mine"))
    assert backend_add(NewBackend("mine", base_url="http://127.0.0.1:9/v1")).protocol == "openai"


def test_names_are_unique_without_regard_to_case() -> None:
    backend_add(NewBackend("openai"))
    with pytest.raises(ServiceError, match="exists"):
        backend_add(NewBackend("OpenAI"))
    assert get_backend("OPENAI").name == "openai"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/v1",
        "http://metadata.google.internal",
        "http://example.com/v1",
        "https://user:pw@example.com/v1",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ],
)
def test_addresses_that_are_never_contacted_are_refused_and_leave_no_row(url: str) -> None:
    with pytest.raises(ServiceError, match="base_url"):
        backend_add(NewBackend("x", base_url=url))
    assert not Backend.objects.exists()


def test_our_own_address_is_refused() -> None:
    with pytest.raises(ServiceError, match="own address"):
        backend_add(NewBackend("loop", base_url=f"http://localhost:{settings.PATCHBAY_PORT}/v1"))
    assert not Backend.objects.exists()


def test_every_change_moves_the_configuration_version() -> None:
    numbers = [ConfigVersion.current()]
    backend_add(NewBackend("ollama"))
    numbers.append(ConfigVersion.current())
    route_add("fast", ["ollama:llama3"])
    numbers.append(ConfigVersion.current())
    route_remove("fast")
    numbers.append(ConfigVersion.current())
    backend_remove("ollama")
    numbers.append(ConfigVersion.current())
    assert numbers == sorted(set(numbers))


def test_a_route_keeps_the_order_and_the_models_of_its_targets() -> None:
    backend_add(NewBackend("ollama"))
    backend_add(NewBackend("openai"))
    row = route_add("  FAST ", ["openai:gpt:5", "ollama"])
    assert row.pattern == "fast"
    assert [str(target) for target in row.targets.all()] == ["openai:gpt:5", "ollama"]


@pytest.mark.parametrize(
    ("pattern", "targets"), [("fast", ["nobody:x"]), ("fast", []), ("a b", ["ollama"]), ("", ["ollama"])]
)
def test_a_refused_route_leaves_nothing_behind(pattern: str, targets: list[str]) -> None:
    backend_add(NewBackend("ollama"))
    with pytest.raises(ServiceError):
        route_add(pattern, targets)
    assert not Route.objects.exists()


def test_a_duplicate_route_is_refused() -> None:
    backend_add(NewBackend("ollama"))
    route_add("fast", ["ollama"])
    with pytest.raises(ServiceError, match="already exists"):
        route_add("Fast", ["ollama"])


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    backend_add(NewBackend("ollama"))
    with pytest.raises(ServiceError, match="ollama"):
        get_backend("olama")
    with pytest.raises(ServiceError, match="none yet"):
        route_remove("x")


def test_a_target_may_have_a_weight_and_conditions() -> None:
    backend_add(NewBackend("ollama"))
    backend_add(NewBackend("openai"))
    row = route_add("mix", ["ollama:a?weight=3", "openai:b?weight=1&needs=images", "openai:c"])
    rows = [(target.position, target.weight, target.conditions) for target in row.targets.all()]
    assert rows == [(0, 3, {}), (0, 1, {"needs": ["images"]}), (1, 1, {})]


def test_a_disabled_backend_is_worth_a_warning_and_an_unknown_one_an_error() -> None:
    backend = backend_add(NewBackend("ollama"))
    specs = read_targets(["ollama", "nobody"])
    assert route_findings("fast", specs).errors == ("There is no backend 'nobody'. Backends: ollama.",)
    backend.is_enabled = False
    backend.save()
    assert "Backend ollama is disabled" in route_findings("fast", specs[:1]).warnings[0]


def test_quirks_are_kept_once_and_forgotten_on_request() -> None:
    backend_add(NewBackend("openai"))
    quirk = Quirk(QuirkKind.PARAMETER, "temperature")
    for _ in range(2):
        quirks_learn("openai", "o3", [quirk], "Unsupported parameter: 'temperature'")
    quirks_learn("gone", "o3", [quirk], "")
    assert load_routing().backends["openai"].quirks_of(" O3 ") == (quirk,)
    assert [row.name for row in quirks_reset("OpenAI", "o3")] == ["temperature"]
    assert load_routing().backends["openai"].quirks_of("o3") == ()


def test_quirks_cannot_fill_the_database() -> None:
    row = backend_add(NewBackend("openai"))
    quirks_learn("openai", "o3", [Quirk(QuirkKind.PARAMETER, f"x{n}") for n in range(MOST_QUIRKS + 5)], "")
    assert row.quirks.count() == MOST_QUIRKS
