"""A claude-code-router `config.json` (versions 1 and 2) as a plan.

A provider is a backend with one account. `Router.default` becomes the default route and the route of `claude-*`,
which is what Claude Code asks for; `background` is the route of every haiku; `longContext`, `image` and `think` are
targets with a condition in these routes; `webSearch` becomes an alias to choose by name.
Settings: the README of https://github.com/musistudio/claude-code-router at 2.0.0
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from backends.addresses import BadBaseUrl
from backends.move_in import reasons
from backends.move_in.documents import Document, Path, at, leaves
from backends.move_in.endpoints import Endpoint, endpoint, is_placeholder, valid_name
from backends.move_in.plan import Draft, MoveInError, Plan, in_order
from backends.move_in.shapes import TargetShape
from backends.wire.kinds import Protocol

SOURCE = "claude-code-router configuration"
NEWER = (
    "This configuration is of claude-code-router 3 or newer, which Patchbay does not read. Give a config.json of"
    " version 1 or 2, or add each provider with: python manage.py backend add NAME --base-url URL --key-stdin"
)
# Spellings of one field, in the README and in the docs of version 2.
_NAME, _URL = ("name", "NAME"), ("api_base_url", "baseUrl", "base_url", "HOST")
_KEY, _MODELS = ("api_key", "apiKey", "APIKEY"), ("models", "MODELS")
_TRANSFORMER = ("transformer", "transformers")
_PROVIDERS = ("Providers", "providers")
_SINCE_3 = (
    "virtualModelProfiles",
    "gateway",
    "APIKEYS",
    "profile",
    "toolHub",
    "botGateway",
    "providerPlugins",
)
_ROUTER_SINCE_3 = ("rules", "builtInRules")
_VERSIONS = ("version", "configVersion", "schemaVersion")
_PATTERNS = {"default": ("*", "claude-*"), "background": ("claude-*haiku*",)}
_ALIASES = {"webSearch": "web-search"}
_CONDITIONS = ("longContext", "image", "think")
_NEEDS = {"image": "images", "think": "reasoning"}
_THRESHOLD = "longContextThreshold"
USUAL_THRESHOLD = 60_000  # tokens; what longContext means without a longContextThreshold
_OF_ANOTHER_LOGIN = {"vertex-gemini", "vertex-claude", "gemini-cli", "qwen-cli", "rovo-cli", "codex-cli"}
_BY_NAME_ONLY = "Patchbay does not choose by this. The model is now the alias {alias}: choose it in the tool."
_LEGACY = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")


def is_claude_code_router(value: object) -> bool:
    """Whether a parsed document looks like a claude-code-router configuration."""
    if not isinstance(value, dict):
        return False
    return any(name in value for name in (*_PROVIDERS, "Router")) or all(
        name in value for name in _LEGACY[:2]
    )


def parse_claude_code_router(document: Document, environ: Mapping[str, str]) -> Plan:
    """The plan of a configuration; `$NAME` is looked up in `environ`. Raises MoveInError for a newer version."""
    _refuse_newer(document.value)
    reader = _Reader(document, Draft(SOURCE), environ)
    reader.read()
    return reader.draft.plan()


def _refuse_newer(value: object) -> None:
    router = at(value, ("Router",))
    is_newer = any(isinstance(at(value, (name,)), dict | list) for name in _SINCE_3)
    is_newer |= router is not None and not isinstance(router, dict)
    is_newer |= isinstance(router, dict) and any(name in router for name in _ROUTER_SINCE_3)
    is_newer |= isinstance(router, dict) and any(
        isinstance(router.get(name), dict | list) for name in _PATTERNS
    )
    if is_newer or _version(value) > 2:
        raise MoveInError(NEWER)


def _version(value: object) -> int:
    """The major version that a configuration names; 0 for none. A preset's `version` is its own, not the format's."""
    if at(value, ("name",)) is not None:
        return 0
    found = next((at(value, (name,)) for name in _VERSIONS if at(value, (name,)) is not None), None)
    match = re.match(r"v?(\d{1,6})", str(found)) if isinstance(found, str | int) else None
    return int(match[1]) if match else 0


@dataclass
class _Reader:
    document: Document = field(repr=False)
    draft: Draft
    environ: Mapping[str, str] = field(repr=False)
    _backends: dict[str, str] = field(default_factory=dict)  # the provider's name in lower case → ours
    _taken: set[Path] = field(default_factory=set)

    def read(self) -> None:
        """Plan everything, then report what no step has taken."""
        section = next((name for name in _PROVIDERS if at(self.document.value, (name,))), "")
        for index, entry in enumerate(self.document.items((section,), self.draft) if section else []):
            self._read_provider((section, index), entry)
        if not section:
            self._read_legacy()
        self._read_router()
        self._report(section)

    # --- providers ----------------------------------------------------------------------------------------------

    def _read_provider(self, path: Path, entry: object) -> None:
        if not isinstance(entry, dict):
            self.draft.skip(self._where(path), "It is no provider with a name and a URL.")
            return
        name, url = self._text(path, entry, _NAME), self._text(path, entry, _URL)
        if not name or not url:
            self.draft.skip(self._where(path), "A provider needs a name and api_base_url.")
            return
        used = _transformer_names(next((entry[key] for key in _TRANSFORMER if key in entry), None))
        transformers = {name.lower() for name in used}
        if others := sorted(_OF_ANOTHER_LOGIN & transformers):
            why = f"It uses the login of another program ({', '.join(others)}), which is not taken over."
            self.draft.skip(self._where(path), why)
            return
        try:
            protocol = Protocol.ANTHROPIC if "anthropic" in transformers and "messages" in url else None
            found = endpoint(url, protocol, hint=name)
        except BadBaseUrl as exc:
            self.draft.skip(self._where(path), str(exc))
            return
        self._add_provider(path, entry, name, found)
        self._report_provider(path, entry)

    def _add_provider(self, path: Path, entry: Mapping[object, object], name: str, found: Endpoint) -> None:
        ours = self.draft.free_name(valid_name(name))
        if ours != name:
            self.draft.skip(self._where((*path, "name")), f"The name is taken over as {ours}.")
        models = next((value for key in _MODELS if isinstance(value := entry.get(key), list)), [])
        globs = [model for model in models if isinstance(model, str) and model]
        if len(globs) < len(models):
            self.draft.skip(
                self._where((*path, "models")), "Only models that are written as a name are taken."
            )
        self.draft.add_backend(found.shape(name=ours, model_globs=globs), self._where(path))
        self._backends.setdefault(name.lower(), ours)
        self._add_account(path, entry, ours, found)

    def _add_account(self, path: Path, entry: Mapping[object, object], backend: str, found: Endpoint) -> None:
        here: Path = (*path, next((key for key in _KEY if key in entry), _KEY[0]))
        key, where = self._text(path, entry, _KEY), self._where(here)
        if key is None:
            return
        if key and not is_placeholder(key) and "{{" not in key:
            self.draft.add_account(backend, where, key=key)
        elif not found.wants_key(key):
            self.draft.add_account(backend, where, kind="none")
        else:
            self.draft.skip(
                where, f"There is no key, so no account is made: accounts add {backend} --backend {backend}"
            )

    def _report_provider(self, path: Path, entry: Mapping[object, object]) -> None:
        known = {*_NAME, *_URL, *_KEY, *_MODELS}
        for leaf in leaves(entry):
            if leaf[0] in _TRANSFORMER:
                names = ", ".join(name[:60] for name in _transformer_names(at(entry, leaf)))
                self.draft.skip(
                    self._where((*path, *leaf)), f"{reasons.TRANSLATED} Left out: {names or leaf[-1]}."
                )
            elif leaf[0] not in known:
                self.draft.skip(self._where((*path, *leaf)), _why(leaf))

    def _read_legacy(self) -> None:
        """The first releases knew one provider: OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL."""
        value = self.document.value
        if not isinstance(value, dict) or not all(name in value for name in _LEGACY[:2]):
            return
        entry = {"name": "openai", "api_key": value[_LEGACY[0]], "api_base_url": value[_LEGACY[1]]}
        self._read_provider(("OPENAI_BASE_URL",), entry)
        self._taken |= {(name,) for name in _LEGACY}
        model = value.get(_LEGACY[2])
        if isinstance(model, str) and (backend := self._backends.get("openai")):
            target = TargetShape(backend=backend, model=model)
            for pattern in _PATTERNS["default"]:
                self.draft.add_route(pattern, [target], self._where((_LEGACY[2],)))

    # --- routes -------------------------------------------------------------------------------------------------

    def _read_router(self) -> None:
        router = self.document.mapping(("Router",), self.draft)
        found: dict[str, list[TargetShape]] = {}
        for scenario, value in router.items():
            path: Path = ("Router", scenario)
            if scenario in (*_PATTERNS, *_ALIASES, *_CONDITIONS):
                self._taken.add(path)
                targets = self._targets(path, [value])
                found |= {scenario: [*targets, *self._fallbacks(scenario)]} if targets else {}
        for scenario in found:
            path = ("Router", scenario)
            groups = [[target] for target in found[scenario]]
            special = self._special(scenario, router, found)
            for pattern in _PATTERNS.get(scenario, ()):
                self.draft.add_route(pattern, in_order(*special, *groups), self._where(path))
            if scenario in _CONDITIONS and not any(name in found for name in _PATTERNS):
                self.draft.skip(self._where(path), "There is no default model beside it.")
            if alias := _ALIASES.get(scenario):
                self.draft.skip(self._where(path), _BY_NAME_ONLY.format(alias=alias))
                self.draft.add_route(alias, in_order(*groups), self._where(path))

    def _special(
        self, route: str, router: Mapping[str, object], found: Mapping[str, list[TargetShape]]
    ) -> list[list[TargetShape]]:
        """Targets for requests that hold something, which come first in a route; `background` goes before `think`."""
        groups: list[list[TargetShape]] = []
        for scenario in _CONDITIONS:
            if route in _PATTERNS and not (route == "background" and scenario == "think"):
                conditions = self._conditions(scenario, router) if scenario in found else {}
                targets = found.get(scenario, [])
                groups += [[msgspec.structs.replace(each, conditions=conditions)] for each in targets]
        return groups

    def _conditions(self, scenario: str, router: Mapping[str, object]) -> dict[str, object]:
        if scenario in _NEEDS:
            return {"needs": [_NEEDS[scenario]]}
        threshold = router.get(_THRESHOLD)
        is_count = isinstance(threshold, int) and not isinstance(threshold, bool) and threshold > 0
        if is_count:
            self._taken.add(("Router", _THRESHOLD))
        return {"min_tokens": threshold if is_count else USUAL_THRESHOLD}

    def _fallbacks(self, scenario: str) -> list[TargetShape]:
        path: Path = ("fallback", scenario)
        listed = at(self.document.value, path)
        self._taken.add(path)
        return self._targets(path, listed if isinstance(listed, list) else [listed] if listed else [])

    def _targets(self, path: Path, texts: list[object]) -> list[TargetShape]:
        """`provider,model` as targets; what is no such text, or no provider that was taken, is reported."""
        found: list[TargetShape] = []
        for text in texts:
            provider, comma, model = str(text).partition(",") if isinstance(text, str) else ("", "", "")
            backend = self._backends.get(provider.strip().lower())
            if not text:
                continue
            if not comma or not model.strip():
                self.draft.skip(self._where(path), "It is not written as provider,model.")
            elif backend is None:
                self.draft.skip(self._where(path), "Its provider was not taken.")
            else:
                found.append(TargetShape(backend=backend, model=model.strip()))
        return found

    # --- the rest -----------------------------------------------------------------------------------------------

    def _report(self, section: str) -> None:
        for leaf in leaves(self.document.value):
            if leaf[0] != section and leaf[:2] not in self._taken and leaf[:1] not in self._taken:
                self.draft.skip(self._where(leaf), _why(leaf))

    def _where(self, path: Path) -> str:
        return self.document.where(path)

    def _text(self, path: Path, entry: Mapping[object, object], names: tuple[str, ...]) -> str | None:
        """The first of these fields that is a text, its references to the environment replaced; "" for none.

        None, and a report, when a reference leads nowhere.
        """
        name = next((name for name in names if entry.get(name)), "")
        value = entry.get(name)
        if not name or not isinstance(value, str):
            return ""
        references = [found[1] or found[2] for found in _REFERENCE.finditer(value)]
        missing = [reference for reference in references if not self.environ.get(reference)]
        if missing:
            why = f"{', '.join(missing)} is not in the environment, so nothing is made of it. Set it, and import again."
            self.draft.skip(self._where((*path, name)), why)
            return None
        return _REFERENCE.sub(lambda found: self.environ[found[1] or found[2]], value).strip()


def _transformer_names(value: object) -> list[str]:
    """The names in `{"use": [name, [name, options]]}`, or in a plain list."""
    listed = value.get("use") if isinstance(value, dict) else value
    entries = listed if isinstance(listed, list) else []
    names = (entry[0] if isinstance(entry, list) and entry else entry for entry in entries)
    return [name for name in names if isinstance(name, str)]


def _why(leaf: Path) -> str:
    return next((reasons.CCR[str(part)] for part in leaf if part in reasons.CCR), reasons.NO_COUNTERPART)
