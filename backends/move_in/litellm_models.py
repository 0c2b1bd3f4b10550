"""`model_list` of a LiteLLM proxy: which backends, accounts and targets its deployments amount to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from backends.addresses import BadBaseUrl
from backends.move_in import reasons
from backends.move_in.documents import Document, Path, leaves
from backends.move_in.endpoints import Endpoint, endpoint, is_placeholder
from backends.move_in.plan import Draft
from backends.move_in.providers import BY_LITELLM, BY_NAME, Provider
from backends.move_in.shapes import TargetShape
from backends.presets import PRESETS
from backends.routing import family_protocol
from backends.targets import MAX_WEIGHT
from backends.wire.kinds import Protocol

_REFERENCE = "os.environ/"
_TAKEN_PARAMS = {
    *("model", "api_key", "api_base", "base_url", "custom_llm_provider", "litellm_credential_name"),
    *("order", "weight"),
}
_SERVED_MODES = {"", "chat", "completion", "embedding", "responses"}
_ROOT_URLS = {"ollama", "lmstudio", "vllm", "litellm"}  # LiteLLM is given their root, without /v1
# What LiteLLM speaks to in a protocol or with a login of its own, also at an address that is given.
_OWN_PROTOCOL = {
    *("bedrock", "bedrock_converse", "sagemaker", "sagemaker_chat", "vertex_ai", "vertex_ai_beta", "palm"),
    *("huggingface", "replicate", "cohere", "cohere_chat", "ai21", "watsonx", "watsonx_text", "databricks"),
    *(
        "snowflake",
        "triton",
        "oci",
        "cloudflare",
        "voyage",
        "jina_ai",
        "github_copilot",
        "chatgpt",
        "predibase",
    ),
    *("nlp_cloud", "petals", "aleph_alpha", "auto_router"),
}
_AT_ITS_ADDRESS = Provider("")  # one that has no entry in the table, at the address that the deployment gives
_ASSUMED = "Its provider is not known by name. It is taken to speak OpenAI at its api_base."
_AZURE = (
    "Azure's address by deployment and api-version is not spoken. If the resource has the v1 API, add it:"
    " backend add azure --base-url https://NAME.openai.azure.com/openai/v1"
)
_PREFIX_STAYS = (
    "Patchbay would send the prefix along as a part of the model name. Ask for {backend}:MODEL instead; that needs no"
    " route."
)


class _NotTaken(Exception):
    """A deployment stays behind as a whole. The text says why."""


@dataclass(frozen=True, slots=True)
class _Deployment:
    target: TargetShape
    order: float
    where: str
    alias: str = ""


@dataclass
class Deployments:
    """The deployments by model name. `references`: the variables that some setting refers to."""

    document: Document = field(repr=False)
    draft: Draft
    environ: Mapping[str, str] = field(repr=False)
    references: set[str] = field(default_factory=set)
    _own: dict[str, str] = field(default_factory=dict, repr=False)
    _credentials: dict[str, dict[str, object]] = field(default_factory=dict, repr=False)
    _by_name: dict[str, list[_Deployment]] = field(default_factory=dict)
    _backends: dict[tuple[str, str], str] = field(default_factory=dict)
    _accounts: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)  # by backend and key
    _aliases: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)  # by backend and setting
    _keyless: dict[str, str] = field(default_factory=dict)

    def read(self) -> None:
        """Plan the backends and accounts; remember the targets."""
        variables = self.document.mapping(("environment_variables",), self.draft)
        self._own = {name: value for name, value in variables.items() if isinstance(value, str)}
        self._read_credentials()
        for index, entry in enumerate(self.document.items(("model_list",), self.draft)):
            path: Path = ("model_list", index)
            try:
                self._read_entry(path, entry)
            except _NotTaken as exc:
                self.draft.skip(self.document.where(path), str(exc))
            except BadBaseUrl as exc:
                self.draft.skip(self.document.where((*path, "litellm_params", "api_base")), str(exc))
        for backend, where in self._keyless.items():
            if not self._accounts.get(backend):
                self.draft.add_account(backend, where, kind="none")
        self._report_sharing()

    def names(self) -> Iterable[tuple[str, str]]:
        """Every model name with the place of its first deployment."""
        return [(name, deployments[0].where) for name, deployments in self._by_name.items()]

    def targets(self, name: str) -> list[list[TargetShape]]:
        """The targets of a model name in groups that share the load, by `order`; each once. Empty if unknown."""
        groups: dict[float, dict[str, TargetShape]] = {}
        for deployment in sorted(self._by_name.get(name, []), key=lambda each: each.order):
            group, target = groups.setdefault(deployment.order, {}), deployment.target
            there = group.get(target.spec.name)
            weight = min(target.weight + (there.weight if there else 0), MAX_WEIGHT)
            group[target.spec.name] = msgspec.structs.replace(target, weight=weight)
        return [list(group.values()) for group in groups.values()]

    # --- one deployment ---------------------------------------------------------------------------------------

    def _read_entry(self, path: Path, entry: object) -> None:
        if not isinstance(entry, dict):
            raise _NotTaken("It is no model with model_name and litellm_params.")
        name = entry.get("model_name")
        params = self._params(path, entry.get("litellm_params"))
        mode = self._mode(entry)
        if not isinstance(name, str) or not name.strip():
            raise _NotTaken("It has no model_name.")
        if mode not in _SERVED_MODES:
            raise _NotTaken(f"Patchbay has no endpoint for {mode} models.")
        provider, model = _provider(params)
        if not provider.name:
            self.draft.skip(self.document.where((*path, "litellm_params", "model")), _ASSUMED)
        found = self._endpoint(path, provider, params)
        backend = self._backend(found, provider, path)
        alias = self._account(path, backend, found, provider, params)
        self._report_entry(path, entry)
        target = TargetShape(
            backend=backend, model=_target_model(name.strip(), model, backend), weight=_weight(params)
        )
        same = [
            each for each in self._by_name.get(name.strip(), []) if each.target.spec.name == target.spec.name
        ]
        if same and "weight" in params:
            self.draft.skip(self.document.where((*path, "litellm_params", "weight")), reasons.BALANCE)
        deployment = _Deployment(target, _order(params), self.document.where((*path, "model_name")), alias)
        self._by_name.setdefault(name.strip(), []).append(deployment)

    def _params(self, path: Path, value: object) -> dict[str, object]:
        """`litellm_params`, over the values of the credential that it names."""
        if not isinstance(value, dict):
            raise _NotTaken("It has no litellm_params.")
        params = {str(key): inner for key, inner in value.items()}
        name = params.get("litellm_credential_name")
        if name is None:
            return params
        if str(name) not in self._credentials:
            where = self.document.where((*path, "litellm_params", "litellm_credential_name"))
            self.draft.skip(where, "credential_list has no credential of this name.")
        return {**self._credentials.get(str(name), {}), **params}

    def _mode(self, entry: Mapping[object, object]) -> str:
        info = entry.get("model_info")
        mode = info.get("mode") if isinstance(info, dict) else ""
        return mode if isinstance(mode, str) else ""

    def _endpoint(self, path: Path, provider: Provider, params: Mapping[str, object]) -> Endpoint:
        written = next((name for name in ("api_base", "base_url") if params.get(name)), "")
        url = self._resolve((*path, "litellm_params", written), params[written]) if written else ""
        if written and not url:
            raise _NotTaken("Its base URL is not known, so it has no backend.")
        if not url:
            url = next((self._lookup(name) for name in provider.bases if self._lookup(name)), "")
        if not url and provider.name == "openai" and _is_generic(params):
            raise _NotTaken("It has no api_base.")
        preset = PRESETS.get(provider.name)
        protocol = preset.protocol if preset else Protocol.OPENAI
        return endpoint(
            url or provider.url, protocol, hint=provider.name, add_version=provider.name in _ROOT_URLS
        )

    def _backend(self, found: Endpoint, provider: Provider, path: Path) -> str:
        identity = (found.base_url, found.protocol.value)
        if identity not in self._backends:
            is_usual = bool(provider.name) and not found.preset and found.base_url == provider.base_url
            name = self.draft.free_name(provider.name if is_usual else found.name)
            self.draft.add_backend(found.shape(name=name), self.document.where((*path, "litellm_params")))
            self._backends[identity] = name
        return self._backends[identity]

    def _account(
        self, path: Path, backend: str, found: Endpoint, provider: Provider, params: Mapping[str, object]
    ) -> str:
        """The alias of the account that holds this deployment's key; "" when there is none."""
        here: Path = (*path, "litellm_params", "api_key")
        written = params.get("api_key")
        key = self._resolve(here, written) if written else self._usual_key(provider)
        where = self.document.where(here)
        if is_placeholder(key) or (not key and not written):
            if not provider.needs_key or not found.wants_key(key):
                self._keyless.setdefault(backend, where)
            else:
                usual = " or ".join(provider.keys) or "its key"
                self.draft.skip(
                    where, f"There is no key, so no account is made. Set {usual}, and import again."
                )
            return ""
        return self._alias(backend, str(written or _REFERENCE + provider.keys[0]), key, where)

    def _alias(self, backend: str, written: str, key: str, where: str) -> str:
        """The account of a key. A reference keeps its alias while its variable is not set, for the next import."""
        if (backend, written) not in self._aliases:
            self._aliases[backend, written] = self.draft.free_alias(backend)
        known = self._accounts.setdefault(backend, {})
        if key and key not in known:
            known[key] = self._aliases[backend, written]
            self.draft.add_account(backend, where, key=key, alias=known[key])
        return known.get(key, "")

    # --- values -----------------------------------------------------------------------------------------------

    def _resolve(self, path: Path, value: object) -> str:
        """The text of a setting, which may be `os.environ/NAME`. "" and a report when it has none."""
        if not isinstance(value, str):
            self.draft.skip(self.document.where(path), "It is no text.")
            return ""
        if not value.startswith(_REFERENCE):
            return value.strip()
        name = value.removeprefix(_REFERENCE).strip()
        found = self._lookup(name)
        if not found:
            what = "account is not made" if path[-1] == "api_key" else "setting stays empty"
            why = f"{name} is not in the environment, so the {what}. Set it, and import again."
            self.draft.skip(self.document.where(path), why)
        return found

    def _lookup(self, name: str) -> str:
        """A variable, from the file's own `environment_variables`, which LiteLLM sets first, or the environment."""
        self.references.add(name)
        value = self._own.get(name, "")
        if value.startswith(_REFERENCE):
            value = ""
        return (value or self.environ.get(name, "")).strip()

    def _usual_key(self, provider: Provider) -> str:
        return next((self._lookup(name) for name in provider.keys if self._lookup(name)), "")

    def _read_credentials(self) -> None:
        for index, entry in enumerate(self.document.items(("credential_list",), self.draft)):
            path: Path = ("credential_list", index)
            values = entry.get("credential_values") if isinstance(entry, dict) else None
            if not isinstance(entry, dict) or not isinstance(values, dict):
                self.draft.skip(self.document.where(path), "It is no credential with a name and values.")
                continue
            self._credentials[str(entry.get("credential_name"))] = {str(k): v for k, v in values.items()}
            for leaf in leaves(entry):
                if leaf != ("credential_name",) and leaf[-1] not in _TAKEN_PARAMS:
                    self.draft.skip(self.document.where((*path, *leaf)), _why(leaf))

    # --- reports ----------------------------------------------------------------------------------------------

    def _report_entry(self, path: Path, entry: Mapping[object, object]) -> None:
        for leaf in leaves(entry):
            if leaf == ("model_name",) or leaf == ("model_info", "mode"):
                continue
            if leaf[0] != "litellm_params" or len(leaf) != 2 or leaf[1] not in _TAKEN_PARAMS:
                self.draft.skip(self.document.where((*path, *leaf)), _why(leaf))

    def _report_sharing(self) -> None:
        """What LiteLLM does otherwise: it keeps a key to its deployment."""
        for name, deployments in self._by_name.items():
            where = deployments[0].where
            for backend in {deployment.target.backend for deployment in deployments}:
                pool = set(self._accounts.get(backend, {}).values())
                used = {each.alias for each in deployments if each.target.backend == backend} - {""}
                if len(pool) > 1 and used < pool:
                    extra = ", ".join(sorted(pool - used))
                    self.draft.skip(
                        where, f"All accounts of backend {backend} serve {name}, also {extra}: one pool."
                    )


def _provider(params: Mapping[str, object]) -> tuple[Provider, str]:
    """Who serves a deployment, and the model's name there. Raises _NotTaken."""
    model, explicit = params.get("model"), params.get("custom_llm_provider")
    if not isinstance(model, str) or not model.strip():
        raise _NotTaken("It has no litellm_params.model.")
    model = model.strip()
    prefix, slash, rest = model.partition("/")
    if isinstance(explicit, str) and explicit:
        prefix, slash, rest = explicit, "/", model.removeprefix(f"{explicit}/")
    if slash and prefix in BY_LITELLM:
        return BY_LITELLM[prefix], rest.removeprefix("responses/")
    has_address = bool(params.get("api_base") or params.get("base_url"))
    if slash and has_address and prefix not in _OWN_PROTOCOL and not prefix.startswith("azure"):
        return _AT_ITS_ADDRESS, rest
    if slash:
        raise _NotTaken(_unknown_provider(prefix))
    family = family_protocol(model.lower())
    if family is None:
        raise _NotTaken("Its model names no provider. Write it as provider/model.")
    return BY_NAME[family.value], model


def _unknown_provider(prefix: str) -> str:
    if prefix.startswith("azure"):
        return _AZURE
    return (
        f"Provider {prefix[:60]} is not one that Patchbay knows. If it has an OpenAI-compatible address:"
        " backend add NAME --base-url URL"
    )


def _is_generic(params: Mapping[str, object]) -> bool:
    """Whether the deployment is at "some OpenAI-compatible server", which needs an address."""
    prefix = str(params.get("custom_llm_provider") or params.get("model")).partition("/")[0]
    return prefix in ("custom_openai", "openai_like")


def _target_model(name: str, model: str, backend: str) -> str:
    """The model to ask the backend for; "" for the client's own name. Raises _NotTaken."""
    if "?" in name:
        raise _NotTaken("A question mark in a pattern stands for any character. Choose another model_name.")
    if "*" not in model:
        return model
    if model == name:
        return ""
    raise _NotTaken(_PREFIX_STAYS.format(backend=backend))


def _order(params: Mapping[str, object]) -> float:
    """`order`: the lowest is tried first; without one, last."""
    order = params.get("order")
    return float(order) if isinstance(order, int | float) and not isinstance(order, bool) else float("inf")


def _weight(params: Mapping[str, object]) -> int:
    """`weight`: a share of the requests; 1 without one."""
    weight = params.get("weight")
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    return min(max(round(weight), 1), MAX_WEIGHT) if is_number and isinstance(weight, int | float) else 1


def _why(leaf: Path) -> str:
    return next(
        (reasons.LITELLM[str(part)] for part in leaf if part in reasons.LITELLM), reasons.NO_COUNTERPART
    )
