"""A LiteLLM proxy's YAML as a plan.

One base URL is one backend, and all its keys are the accounts of that backend's pool. A model name is a route; its
deployments at different backends, or of different models, are targets of one position, which share the requests by
weight; `order` puts them one after the other, and fallbacks follow.
Settings: https://docs.litellm.ai/docs/proxy/config_settings
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backends.move_in import reasons
from backends.move_in.documents import Document, Path, at, leaves
from backends.move_in.litellm_models import Deployments
from backends.move_in.plan import Draft, Plan, in_order
from backends.move_in.shapes import TargetShape

SOURCE = "LiteLLM proxy configuration"
SECTIONS = ("model_list", "litellm_settings", "router_settings", "general_settings")
_ROUTING = ("fallbacks", "default_fallbacks", "model_group_alias")
_OTHER_FALLBACKS = ("context_window_fallbacks", "content_policy_fallbacks")
_ONLY_SOME_ERRORS = (
    "A later target of a route answers for every failure, not only this one. If that is wanted, add the target with"
    " routes add."
)
_INCLUDED = "Other files are not read from here. Import each of them."


def is_litellm(value: object) -> bool:
    """Whether a parsed document looks like a LiteLLM proxy's configuration."""
    return isinstance(value, dict) and any(section in value for section in (*SECTIONS, "include"))


def parse_litellm(document: Document, environ: Mapping[str, str]) -> Plan:
    """The plan of a LiteLLM configuration. Keys that refer to the environment are looked up in `environ`."""
    draft = Draft(SOURCE)
    models = Deployments(document, draft, environ)
    models.read()
    _add_routes(document, draft, models)
    _report(document, draft, models)
    return draft.plan()


# --- routes -----------------------------------------------------------------------------------------------------


def _add_routes(document: Document, draft: Draft, models: Deployments) -> None:
    aliases = _aliases(document, draft, models)
    named, general = _fallbacks(document, draft, models, set(aliases))
    for name, where in models.names():
        if models.targets(name):
            draft.add_route(name, _with(name, named.get(name, general), models), where)
    for alias, (name, where) in aliases.items():
        following = named.get(alias) or named.get(name, general)
        draft.add_route(alias, _with(name, following, models), where)


def _with(name: str, fallbacks: Iterable[str], models: Deployments) -> list[TargetShape]:
    """The targets of a model name, then those of its fallbacks, each once."""
    groups = [group for each in (name, *fallbacks) for group in models.targets(each)]
    return in_order(*groups)


def _aliases(document: Document, draft: Draft, models: Deployments) -> dict[str, tuple[str, str]]:
    """`model_group_alias`: alias → model name and place. Its value is a name, or `{"model": name, …}`."""
    found: dict[str, tuple[str, str]] = {}
    for section in ("litellm_settings", "router_settings"):
        path: Path = (section, "model_group_alias")
        if not isinstance(at(document.value, (section,)), dict):
            continue
        for alias, value in document.mapping(path, draft).items():
            name = value.get("model") if isinstance(value, dict) else value
            where = document.where((*path, alias))
            if isinstance(name, str) and models.targets(name):
                found[alias] = (name, where)
            else:
                draft.skip(where, "The model that it stands for was not taken.")
            for leaf in leaves(value):
                if leaf != ("model",):
                    draft.skip(document.where((*path, alias, *leaf)), reasons.NO_COUNTERPART)
    return found


def _fallbacks(
    document: Document, draft: Draft, models: Deployments, aliases: set[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Fallbacks by model name, and those of every other name. `router_settings` wins over `litellm_settings`."""
    named: dict[str, list[str]] = {}
    general: list[str] = []
    for section in ("litellm_settings", "router_settings"):
        if not isinstance(at(document.value, (section,)), dict):
            continue
        path: Path = (section, "default_fallbacks")
        general = _known(document, path, document.items(path, draft), draft, models) or general
        path = (section, "fallbacks")
        for index, entry in enumerate(document.items(path, draft)):
            for name, names in entry.items() if isinstance(entry, dict) else ():
                here = (*path, index, str(name))
                listed = _known(document, here, names if isinstance(names, list) else [names], draft, models)
                if name == "*":
                    general = listed or general
                elif name in aliases or models.targets(str(name)):
                    named[str(name)] = listed
                else:
                    draft.skip(document.where(here), "No model of this name was taken.")
            if not isinstance(entry, dict):
                draft.skip(document.where((*path, index)), "It is no `model: [fallbacks]`.")
    return named, general


def _known(
    document: Document, path: Path, names: list[object], draft: Draft, models: Deployments
) -> list[str]:
    """Those of `names` that were taken; the others are reported."""
    found = []
    for index, name in enumerate(names):
        if isinstance(name, str) and models.targets(name):
            found.append(name)
        else:
            draft.skip(document.where((*path, index)), "The fallback's model was not taken.")
    return found


# --- what stays behind ------------------------------------------------------------------------------------------


def _report(document: Document, draft: Draft, models: Deployments) -> None:
    for path in document.repeated:
        draft.skip(document.where(path), "It is given twice; the last one counts.")
    for leaf in leaves(document.value):
        if not _is_taken(leaf, models):
            draft.skip(document.where(leaf), _why(leaf, models))


def _is_taken(path: Path, models: Deployments) -> bool:
    if path[0] in ("model_list", "credential_list"):
        return True
    if path[0] == "environment_variables":
        return len(path) == 2 and path[1] in models.references
    return path[0] in ("litellm_settings", "router_settings") and len(path) > 1 and path[1] in _ROUTING


def _why(path: Path, models: Deployments) -> str:
    if path[0] == "environment_variables":
        return reasons.ENVIRONMENT
    if path[0] == "include":
        return _INCLUDED
    if any(part in _OTHER_FALLBACKS for part in path):
        return _ONLY_SOME_ERRORS
    return next(
        (reasons.LITELLM[str(part)] for part in path if part in reasons.LITELLM), reasons.NO_COUNTERPART
    )
