"""What is said about a route before it is saved."""

from __future__ import annotations

import pytest

from backends.addresses import check_base_url
from backends.config import BackendConfig, CatalogEntry, RouteConfig, Routing, TargetConfig
from backends.route_checks import Findings, Surroundings, check_route
from backends.targets import parse_targets
from backends.wire.kinds import Kind, Protocol


def backend(
    name: str, *models: str, protocol: Protocol = Protocol.OPENAI, context: int | None = None
) -> BackendConfig:
    catalog = {model: CatalogEntry(model, context=context) for model in models}
    base = check_base_url("http://127.0.0.1:9/v1")
    return BackendConfig(name, protocol, base, frozenset(Kind), catalog=catalog)


def found(
    pattern: str,
    *targets: str,
    backends: tuple[BackendConfig, ...] = (backend("a"), backend("b")),
    routes: tuple[str, ...] = (),
    disabled: tuple[str, ...] = (),
    keys: frozenset[str] | None = None,
    force_model: str = "",
) -> Findings:
    enabled = {each.name: each for each in backends if each.name not in disabled}
    known = tuple(RouteConfig(route, (TargetConfig("a"),)) for route in routes)
    routing = Routing(enabled, known, force_model)
    names = {each.name: each.name not in disabled for each in backends}
    return check_route(pattern, parse_targets(targets), Surroundings(routing, names, keys))


def test_a_sound_route_has_no_findings() -> None:
    assert found("fast", "a:x", "b:y") == Findings()
    assert found("claude-*", "a?needs=images", "b") == Findings()
    assert found("*", "a") == Findings()


def test_an_unknown_backend_is_an_error() -> None:
    assert found("fast", "nobody:x").errors == ("There is no backend 'nobody'. Backends: a, b.",)


@pytest.mark.parametrize(
    ("pattern", "targets", "settings", "words"),
    [
        ("fast", ["a"], {"disabled": ("a",)}, "is disabled"),
        ("fast", ["a?keys=ci", "b"], {"keys": frozenset({"laptop"})}, "no such key"),
        ("fast", ["a:slow"], {"routes": ("slow",)}, "is an alias here"),
        ("a:*", ["b"], {}, "ask backend a directly"),
        ("fa?*", ["a"], {"routes": ("fa*",)}, "Route fa* goes before fa?*"),
        ("fa**", ["a"], {"routes": ("fa*",)}, "Route fa* goes before fa**"),
        ("fast", ["a"], {"force_model": "other"}, "--model sends every request"),
        ("fast", ["a:x?needs=tools", "b?hours=22:00-06:00"], {}, "End with a target without conditions"),
        ("fast", ["a:x", "a:X"], {}, "is there twice"),
    ],
)
def test_what_may_be_meant_is_a_warning(
    pattern: str, targets: list[str], settings: dict[str, object], words: str
) -> None:
    findings = found(pattern, *targets, **settings)  # type: ignore[arg-type]
    assert findings.errors == ()
    assert any(words in warning for warning in findings.warnings), findings.warnings


def test_claude_is_a_prefix_where_there_is_an_anthropic_backend() -> None:
    mine = backend("mine", protocol=Protocol.ANTHROPIC)
    assert found("claude:*", "mine", backends=(mine,)).warnings
    assert not found("claude:*", "a").warnings


def test_a_model_that_the_backend_does_not_list_is_named_with_the_closest() -> None:
    listing = backend("a", "llama-3.3-70b", "qwen3:4b")
    warn = found("fast", "a:llama-3.3-7b", backends=(listing,)).warnings
    assert "does not list the model llama-3.3-7b. Did you mean llama-3.3-70b?" in warn[0]
    for fine in ("a:llama-3.3-70b", "a:LLAMA-3.3-70b", "a:llama-3.3-70b[1m]", "a:qwen3:4b:free", "a:opus"):
        assert not found("fast", fine, backends=(listing,)).warnings, fine
    assert "does not list the model fast" in found("fast", "a", backends=(listing,)).warnings[0]
    assert not found("qwen*", "a", backends=(listing,)).warnings


def test_a_condition_that_the_model_cannot_serve() -> None:
    blind = backend("a", "llama3:8b", context=8000)
    warn = found("see", "a:llama3:8b?needs=images", "a:llama3:8b", backends=(blind,)).warnings
    assert "takes no images" in warn[0]
    warn = found("big", "a:llama3:8b?min_tokens=9000", "a:llama3:8b", backends=(blind,)).warnings
    assert "context of 8,000 tokens" in warn[0]
