"""Images and documents: what they really are, and their shape on the wire."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from backends.wire.conversation import CannotCarry, Lost, Media

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TEXTS = ("application/json", "application/xml", "application/yaml", "application/x-yaml")


def write_media(media: Media, path: str, lost: Lost) -> dict[str, Any]:
    """An `image` or `document` block without its cache mark. Raises CannotCarry for what has no such form."""
    if media.detail not in (None, "", "auto"):
        lost.add(f"$.{path}.detail")
    media = _without_data_url(media)
    if media.kind == "audio" or media.media_type.startswith(("audio/", "video/")):
        raise CannotCarry(
            path, f"This model takes no sound, but `{path}` holds some. Send its transcript as text."
        )
    given = media.media_type.lower().partition(";")[0].strip()
    real = _sniff(media.data) or given
    source = _source(media, real, path)
    if media.kind == "image" and source.get("media_type") not in ("application/pdf", "text/plain"):
        return {"type": "image", "source": source}
    block: dict[str, Any] = {"type": "document", "source": source}
    if media.name:
        block["title"] = media.name
    return block


def _source(media: Media, real: str, path: str) -> dict[str, Any]:
    if media.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": media.text}
    if media.url is not None:
        return {"type": "url", "url": media.url}
    if media.file_id is not None:
        if media.file_id.startswith("file_"):
            return {"type": "file", "file_id": media.file_id}
        raise CannotCarry(
            path, f"`{path}` names a file that this backend does not have. Send its content instead."
        )
    if media.data is None:
        raise CannotCarry(path, f"`{path}` holds neither data nor a URL. Add one of them.")
    if real == "image/jpg":
        real = "image/jpeg"
    if real in _IMAGES or real == "application/pdf":
        return {"type": "base64", "media_type": real, "data": media.data}
    if media.kind == "image":
        raise CannotCarry(
            path, f"`{path}` is of the type `{real or 'unknown'}`. Send the image as JPEG, PNG, GIF or WebP."
        )
    return {"type": "text", "media_type": "text/plain", "data": _plain_text(media.data, real, path)}


def _plain_text(data: str, media_type: str, path: str) -> str:
    if (
        not media_type
        or media_type.startswith("text/")
        or media_type in _TEXTS
        or media_type.endswith("+json")
    ):
        try:
            return base64.b64decode(data, validate=False).decode()
        except (binascii.Error, ValueError):
            pass
    raise CannotCarry(
        path, f"`{path}` is of the type `{media_type or 'unknown'}`. Send a PDF or plain text instead."
    )


def _without_data_url(media: Media) -> Media:
    """The same with the content of a `data:` URL as data."""
    if media.url is None or media.url[:5].lower() != "data:":
        return media
    head, _, data = media.url[5:].partition(",")
    kind, *rest = head.split(";")
    if "base64" not in rest:
        data = base64.b64encode(data.encode("utf-8", "replace")).decode()
    return Media(media.kind, kind or media.media_type, data=data, name=media.name, cache=media.cache)


def _sniff(data: str | None) -> str | None:
    """What base64 data begins like; None where its first bytes tell nothing."""
    if not data:
        return None
    try:
        head = base64.b64decode(data[:24].encode(), validate=True)
    except (binascii.Error, ValueError):
        return None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return "application/pdf" if head.startswith(b"%PDF-") else None
