"""`make sbom`: what Patchbay is made of, as CycloneDX 1.6 JSON (https://cyclonedx.org/docs/1.6/json/).

The run-time requirements and all that they need, as they are installed here; nothing else that lies there.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements.txt", "requirements-postgres.txt")


def main(target: Path) -> None:
    """Write the document. Optional drivers that are not installed are left out."""
    found: dict[str, Distribution] = {}
    edges: dict[str, list[str]] = {}
    wanted = [Requirement(line) for name in FILES for line in _lines(ROOT / name)]
    top = sorted(ref for need in wanted if (ref := _visit(need, found, edges)))
    version = re.search(r"^## v?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    itself = {
        "type": "application",
        "bom-ref": "patchbay",
        "name": "patchbay",
        "version": version[1] if version else "0",
    }
    graph = {"patchbay": top, **edges}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": itself},
        "components": [_component(ref, found[ref]) for ref in sorted(found)],
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(graph[ref]))} for ref in sorted(graph)],
    }
    target.write_text(json.dumps(document, indent=1) + "\n")


def _lines(path: Path) -> list[str]:
    return [text for line in path.read_text().splitlines() if (text := line.partition("#")[0].strip())]


def _visit(need: Requirement, found: dict[str, Distribution], edges: dict[str, list[str]]) -> str | None:
    try:
        dist = distribution(need.name)
    except PackageNotFoundError:
        return None
    ref = f"pkg:pypi/{canonicalize_name(need.name)}@{dist.version}"
    if ref not in found:
        found[ref], edges[ref] = dist, []
    for text in dist.requires or ():
        inner = Requirement(text)
        is_needed = inner.marker is None or any(
            inner.marker.evaluate({"extra": extra}) for extra in ("", *need.extras)
        )
        if is_needed and canonicalize_name(inner.name) != canonicalize_name(need.name):
            known = f"pkg:pypi/{canonicalize_name(inner.name)}@"
            at = next((other for other in found if other.startswith(known)), None) or _visit(
                inner, found, edges
            )
            edges[ref] += [at] if at else []
    return ref


def _component(ref: str, dist: Distribution) -> dict[str, Any]:
    told = dist.metadata.json
    words = str(told.get("license_expression") or told.get("license") or "")
    license_ = words.strip().splitlines()[0][:100] if words.strip() else ""
    named = {"licenses": [{"license": {"name": license_}}]} if license_ else {}
    name = dist.metadata["Name"]
    return {"type": "library", "bom-ref": ref, "name": name, "version": dist.version, "purl": ref, **named}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
