"""A dario home folder (`~/.dario`) as a plan.

Its backends are backends with a key; its Claude accounts come as accounts that need a login: their tokens belong to
an OAuth client that is neither yours nor Patchbay's. Files: https://github.com/askalf/dario (docs, version 5)
"""

from __future__ import annotations

from collections.abc import Mapping

from backends.addresses import BadBaseUrl
from backends.move_in import reasons
from backends.move_in.documents import Document, Path, at, leaves, path_text, read_json
from backends.move_in.endpoints import Endpoint, endpoint, is_placeholder, valid_name
from backends.move_in.plan import Draft, MoveInError, Plan, in_order
from backends.move_in.shapes import BackendShape, TargetShape
from backends.presets import PRESETS
from backends.wire.kinds import Protocol

SOURCE = "dario home"
CLAUDE = "anthropic"
LATEST_CONFIG = 1
_STRATEGIES = ("headroom", "fill-first")
_CLAUDE_PREFIX = ("claude", "anthropic")


def is_dario(names: frozenset[str], texts: Mapping[str, str]) -> bool:
    """Whether a folder with these entries and files is a dario home."""
    if any(name.startswith(("accounts/", "backends/")) and name.endswith(".json") for name in texts):
        return True
    return bool({"cc-template.live.json", "cc-oauth-cache-v6.json"} & names) or _has_login(texts)


def parse_dario(names: frozenset[str], texts: Mapping[str, str]) -> Plan:
    """The plan of a dario home: its entries and its files by name. Raises MoveInError."""
    draft = Draft(SOURCE)
    files = {name: _read(name, text) for name, text in sorted(texts.items()) if name.endswith(".json")}
    config = files.get("config.json", Document({}))
    _refuse_newer(config)
    backends = _add_backends(draft, files)
    if _add_accounts(draft, files, config):
        backends = dict.fromkeys(_CLAUDE_PREFIX, CLAUDE) | backends
    _add_routes(draft, config, backends, files)
    _report(draft, config, names, files)
    return draft.plan()


def _has_login(texts: Mapping[str, str]) -> bool:
    return "credentials.json" in texts and "claudeAiOauth" in texts["credentials.json"]


def _read(name: str, text: str) -> Document:
    try:
        return read_json(text)
    except MoveInError as exc:
        raise MoveInError(f"{name}: {exc}") from None


def _refuse_newer(config: Document) -> None:
    version = at(config.value, ("version",))
    if isinstance(version, int) and version > LATEST_CONFIG:
        raise MoveInError(
            f"config.json: its version {version} is newer than {LATEST_CONFIG}, the last that Patchbay knows. Import"
            " the folder without it, or add the backends with backend add."
        )


# --- backends and accounts --------------------------------------------------------------------------------------


def _add_backends(draft: Draft, files: Mapping[str, Document]) -> dict[str, str]:
    """The backends by their name in dario (lower case)."""
    found: dict[str, str] = {}
    for file, document in files.items():
        if not file.startswith("backends/"):
            continue
        name, url, key = (at(document.value, (field,)) for field in ("name", "baseUrl", "apiKey"))
        if not isinstance(name, str) or not isinstance(url, str) or not name or not url:
            draft.skip(file, "It is no backend with name and baseUrl.")
            continue
        try:
            place = endpoint(url, Protocol.OPENAI, hint=name)
        except BadBaseUrl as exc:
            draft.skip(f"{file}: baseUrl", str(exc))
            continue
        ours = draft.free_name(valid_name(name))
        draft.add_backend(place.shape(name=ours), file)
        found[name.lower()] = ours
        _add_key(draft, ours, place, key if isinstance(key, str) else "", f"{file}: apiKey")
        _skip_leaves(draft, file, document, {"name", "baseUrl", "apiKey", "provider"})
    return found


def _add_key(draft: Draft, backend: str, place: Endpoint, key: str, where: str) -> None:
    if key and not is_placeholder(key):
        draft.add_account(backend, where, key=key)
    elif place.wants_key(key):
        draft.skip(
            where, "There is no key, so no account is made. Add one: accounts add ALIAS --backend NAME"
        )
    else:
        draft.add_account(backend, where, kind="none")


def _add_accounts(draft: Draft, files: Mapping[str, Document], config: Document) -> bool:
    """Claude accounts at one backend; False if there is none."""
    accounts = {file: document for file, document in files.items() if file.startswith("accounts/")}
    if "accounts/login.json" not in files and "credentials.json" in files:
        accounts["credentials.json"] = files["credentials.json"]
    if not accounts:
        return False
    strategy = at(config.value, ("pool", "strategy"))
    draft.add_backend(
        BackendShape(
            name=CLAUDE,
            base_url=PRESETS[CLAUDE].base_url,
            protocol=Protocol.ANTHROPIC.value,
            preset=CLAUDE,
            strategy=str(strategy) if strategy in _STRATEGIES else _STRATEGIES[0],
        ),
        "accounts",
    )
    for file, document in accounts.items():
        _add_account(draft, file, document)
    return True


def _add_account(draft: Draft, file: str, document: Document) -> None:
    own_name = file.removeprefix("accounts/").removesuffix(".json")
    alias = "login" if file == "credentials.json" else str(at(document.value, ("alias",)) or own_name)
    key = at(document.value, ("apiKey",))
    if isinstance(key, str) and key:
        draft.add_account(CLAUDE, f"{file}: apiKey", key=key, alias=alias)
    else:
        draft.add_account(CLAUDE, file, kind="oauth", alias=alias)
    for leaf in leaves(document.value):
        if leaf[-1] in ("accessToken", "refreshToken"):
            draft.skip(f"{file}: {path_text(leaf)}", f"{reasons.OTHERS_LOGIN} login {alias}")
    _skip_leaves(
        draft,
        file,
        document,
        {"alias", "apiKey", "accessToken", "refreshToken", "claudeAiOauth"},
    )


# --- routes -----------------------------------------------------------------------------------------------------


def _add_routes(
    draft: Draft, config: Document, backends: Mapping[str, str], files: Mapping[str, Document]
) -> None:
    for alias, text in config.mapping(("modelAliases",), draft).items():
        where = f"config.json: modelAliases.{alias}"
        target = _target(text, backends)
        if target is None:
            draft.skip(
                where, "Patchbay has no backend for its model. Add a route: routes add ALIAS BACKEND:MODEL"
            )
        else:
            draft.add_route(alias, [target], where)
    fallback = at(config.value, ("poolFallback", "model"))
    if isinstance(fallback, str) and fallback.strip():
        _add_fallback(draft, fallback.strip(), backends, files)


def _add_fallback(
    draft: Draft, model: str, backends: Mapping[str, str], files: Mapping[str, Document]
) -> None:
    """`poolFallback.model`: what an exhausted Claude pool cannot serve goes to the first OpenAI-compatible backend."""
    where = "config.json: poolFallback.model"
    first = next(
        (
            backends.get(str(at(document.value, ("name",))).lower())
            for file, document in files.items()
            if file.startswith("backends/") and at(document.value, ("provider",)) == "openai"
        ),
        None,
    )
    if first is None or backends.get(CLAUDE) != CLAUDE:
        draft.skip(where, "It needs a Claude account and a backend, and one of them was not taken.")
        return
    targets = in_order([TargetShape(backend=CLAUDE)], [TargetShape(backend=first, model=model)])
    draft.add_route("claude-*", targets, where)


def _target(text: object, backends: Mapping[str, str]) -> TargetShape | None:
    """`backend:model`, or a model of the family whose backend there is."""
    if not isinstance(text, str) or not text.strip():
        return None
    prefix, colon, model = text.strip().partition(":")
    if colon:
        backend = backends.get(prefix.lower())
        return TargetShape(backend=backend, model=model) if backend and model else None
    is_openai = text.strip().lower().startswith(("gpt-", "chatgpt-", "o1", "o3", "o4"))
    backend = backends.get("openai" if is_openai else CLAUDE)
    return TargetShape(backend=backend, model=text.strip()) if backend else None


# --- what stays behind ------------------------------------------------------------------------------------------


def _report(draft: Draft, config: Document, names: frozenset[str], files: Mapping[str, Document]) -> None:
    for leaf in leaves(config.value):
        if not _is_taken(leaf, config) and at(config.value, leaf) not in (None, "", []):
            why = reasons.DARIO.get(str(leaf[0]), reasons.NO_COUNTERPART)
            draft.skip(f"config.json: {path_text(leaf)}", why)
    if "credentials.json" in files and "accounts/login.json" in files:
        draft.skip("credentials.json", "It is the login of accounts/login.json.")
    for name in sorted(names - set(files) - {"accounts", "backends"}):
        draft.skip(
            name, reasons.OTHERS_CLIENT if "oauth" in name else "It is no configuration that Patchbay reads."
        )


def _is_taken(leaf: Path, config: Document) -> bool:
    if leaf[0] in ("version", "modelAliases") or leaf == ("poolFallback", "model"):
        return True
    return leaf == ("pool", "strategy") and at(config.value, leaf) in _STRATEGIES


def _skip_leaves(draft: Draft, file: str, document: Document, taken: set[str]) -> None:
    for leaf in leaves(document.value):
        if leaf[-1] not in taken and at(document.value, leaf) not in (None, "", []):
            draft.skip(f"{file}: {path_text(leaf)}", _account_why(str(leaf[-1])))


def _account_why(field: str) -> str:
    if field in ("expiresAt", "scopes", "deviceId", "accountUuid"):
        return "It belongs to the login that is not taken over."
    return reasons.NO_COUNTERPART
