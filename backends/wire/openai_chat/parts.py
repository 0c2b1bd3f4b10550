"""Content parts of Chat Completions messages: read into blocks, written from them."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from backends.wire.conversation import Block, Cache, CannotCarry, Foreign, Media, Refusal, Text
from backends.wire.openai_chat.fields import Obj, as_object, mapping, text, wrong
from backends.wire.target import Target

_TEXTS = ("text", "input_text", "output_text")  # clients that speak two protocols mix their words
_TYPES_BY_NAME = {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "csv": "text/csv"}


def read_content(value: Any, path: str) -> list[Block]:
    """The blocks of a `content`: a string, a list of parts or null."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)]
    if not isinstance(value, list):
        wrong(path, "a string or a list")
    return [_read_part(part, f"{path}[{index}]") for index, part in enumerate(value)]


def _read_part(value: Any, path: str) -> Block:
    if isinstance(value, str):
        return Text(value)
    part = as_object(value, path)
    kind = text(part, "type", path)
    if kind in _TEXTS:
        return Text(text(part, "text", path) or "", _cache(part, path))
    if kind == "refusal":
        return Refusal(text(part, "refusal", path) or "")
    if kind in ("image_url", "input_image"):
        return _read_image(part, path)
    if kind in ("file", "input_file"):
        return _read_file(part, path)
    if kind == "input_audio":
        audio = mapping(part, "input_audio", path) or {}
        media_type = f"audio/{text(audio, 'format', path) or 'wav'}"
        return Media("audio", media_type, text(audio, "data", f"{path}.input_audio") or "")
    if kind is None:
        wrong(f"{path}.type", "a string")
    return Foreign("chat", kind, part)


def _cache(part: Obj, path: str) -> Cache | None:
    marked = mapping(part, "cache_control", path)
    if marked is not None:
        return Cache(text(marked, "ttl", f"{path}.cache_control"))
    return Cache() if mapping(part, "prompt_cache_breakpoint", path) is not None else None


def _read_image(part: Obj, path: str) -> Media:
    inner = part.get("image_url")
    if isinstance(inner, str) or inner is None:
        inner = {"url": inner, "detail": part.get("detail")}
    place = f"{path}.image_url"
    image = as_object(inner, place)
    url, detail, cache = text(image, "url", place), text(image, "detail", place), _cache(part, path)
    if url is None:
        file_id = text(part, "file_id", path)
        if file_id is None:
            wrong(f"{place}.url", "a string")
        return Media("image", file_id=file_id, detail=detail, cache=cache)
    media_type, data = split_data_url(url)
    if data is None:
        return Media("image", url=url, detail=detail, cache=cache)
    return Media("image", media_type.replace("image/jpg", "image/jpeg"), data, detail=detail, cache=cache)


def split_data_url(url: str) -> tuple[str, str | None]:
    """Media type and base64 of a `data:` URL; ("", None) for any other."""
    if url[:5].lower() != "data:":
        return "", None
    head, comma, data = url[5:].partition(",")
    words = head.lower().split(";")
    return (words[0], data) if comma and "base64" in words[1:] else ("", None)


def _read_file(part: Obj, path: str) -> Media:
    nested = mapping(part, "file", path)
    file, place = (part, path) if nested is None else (nested, f"{path}.file")
    name, cache = text(file, "filename", place), _cache(part, path)
    given = text(file, "file_data", place)
    file_id, url = text(file, "file_id", place), text(file, "file_url", place)
    if given is None:
        return Media("document", file_id=file_id, url=url, name=name, cache=cache)
    media_type, data = split_data_url(given)
    if data is None and given.startswith(("https://", "http://")):
        return Media("document", url=given, name=name, cache=cache)
    if data is None:
        data = given
    media_type = media_type or _TYPES_BY_NAME.get((name or "").rpartition(".")[2].lower(), "application/pdf")
    plain = _decoded(data) if media_type.startswith("text/") else None
    if plain is not None:
        return Media("document", media_type, text=plain, name=name, cache=cache)
    return Media("document", media_type, data, name=name, cache=cache)


def _decoded(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (ValueError, binascii.Error):
        return None


def write_text(block: Text, target: Target) -> Obj:
    """A text part; with its cache breakpoint where the target takes one."""
    return {"type": "text", "text": block.text, **_breakpoint(block.cache, target)}


def write_media(media: Media, target: Target, path: str) -> Obj:
    """A part of a user message. Raises CannotCarry for what the target cannot see."""
    if media.kind == "image":
        url = _url_of(media)
        if url is None:
            raise _refused(path, "An image given by a file id", "Send the image itself (base64) or its URL")
        detail = {"detail": media.detail} if media.detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}, **_breakpoint(media.cache, target)}
    if media.kind == "audio":
        if not target.quirks.audio or media.data is None:
            raise _refused(path, "Sound", "Send it as text")
        form = (
            "mp3"
            if media.media_type in ("audio/mp3", "audio/mpeg")
            else media.media_type.removeprefix("audio/")
        )
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}
    return _write_document(media, target, path)


def _write_document(media: Media, target: Target, path: str) -> Obj:
    if target.quirks.files and media.data is not None:
        name = media.name or ("document.pdf" if media.media_type == "application/pdf" else "document")
        file = {"filename": name, "file_data": _url_of(media)}
        return {"type": "file", "file": file, **_breakpoint(media.cache, target)}
    if target.preset == "openai" and media.file_id is not None:
        return {"type": "file", "file": {"file_id": media.file_id}}
    kind = media.media_type or "given by a file id"
    raise _refused(path, f"A document ({kind})", "Send its text, or pages of it as images")


def document_text(media: Media) -> str | None:
    """A document as text: plain text with its title before it, a link for a URL; None if it has no text."""
    plain = media.text
    if plain is None and media.data is not None and media.media_type.startswith("text/"):
        plain = _decoded(media.data)
    if plain is not None:
        return f"{media.name}\n{plain}" if media.name else plain
    return f"{media.name or 'Document'}: {media.url}" if media.url else None


def _url_of(media: Media) -> str | None:
    if media.data is not None:
        return f"data:{media.media_type or 'application/octet-stream'};base64,{media.data}"
    return media.url


def _breakpoint(cache: Cache | None, target: Target) -> Obj:
    if cache is None or not target.quirks.cache_control:
        return {}
    return {"cache_control": {"type": "ephemeral", **({"ttl": cache.ttl} if cache.ttl else {})}}


def _refused(path: str, what: str, advice: str) -> CannotCarry:
    message = (
        f"{what} cannot be sent to the backend of this route. {advice}, or use a model of another backend."
    )
    return CannotCarry(path, message)
