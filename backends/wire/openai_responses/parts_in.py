"""Content parts of a client's input items → blocks."""

from __future__ import annotations

from typing import Any, Literal

from backends.wire.conversation import Block, Foreign, Json, Media, Refusal, Text
from backends.wire.openai_responses.fields import as_object, need_text, opt_text, wrong
from backends.wire.splice import BadBody

_TEXTS = frozenset(("input_text", "output_text", "text", "summary_text", "reasoning_text"))


def read_content(value: Any, path: str) -> list[Block]:
    """A message's content: a string, or a list of parts. A part of an unknown type stays as it came."""
    if isinstance(value, str):
        return [Text(value)] if value else []
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(path, "a string or a list")
    return [_read_part(part, f"{path}[{index}]") for index, part in enumerate(value)]


def read_texts(value: Any, path: str, owner: str) -> list[Text]:
    """Content that can only be text; `owner` says whose, for the complaint."""
    texts = []
    for index, block in enumerate(read_content(value, path)):
        if not isinstance(block, Text):
            where = f"{path}[{index}]"
            raise BadBody(f"The field `{where}` must be text: {owner} cannot hold anything else.", where)
        texts.append(block)
    return texts


def read_output(value: Any, path: str) -> list[Text | Media]:
    """What a tool gave back: a string, or a list of texts, images and files."""
    blocks: list[Text | Media] = []
    for index, block in enumerate(read_content(value, path)):
        if not isinstance(block, Text | Media):
            where = f"{path}[{index}]"
            raise BadBody(f"The field `{where}` must be text, an image or a file. Correct it.", where)
        blocks.append(block)
    return blocks


def _read_part(value: Any, path: str) -> Block:
    if isinstance(value, str):
        return Text(value)
    part = as_object(value, path)
    kind = need_text(part, "type", path)
    if kind in _TEXTS:
        return Text(need_text(part, "text", path))
    if kind == "refusal":
        return Refusal(need_text(part, "refusal", path))
    if kind in ("input_image", "image_url"):
        return _read_image(part, path)
    if kind in ("input_file", "file"):
        return _read_file(part, path)
    if kind == "input_audio":
        return _read_audio(part, path)
    return Foreign("responses", kind, part)


def _read_image(part: Json, path: str) -> Media:
    given = part.get("image_url")
    if isinstance(given, dict):  # as chat completions write it
        part = {**given, **part, "image_url": given.get("url")}
    url, file_id = opt_text(part, "image_url", path), opt_text(part, "file_id", path)
    if not (url or file_id):
        where = f"{path}.image_url"
        raise BadBody(f"The field `{where}` is missing. Give a URL, a data URL or a `file_id`.", where)
    media = _media("image", url, path, f"{path}.image_url") if url else Media("image", file_id=file_id)
    media.detail = opt_text(part, "detail", path)
    return media


def _read_file(part: Json, path: str) -> Media:
    if isinstance(part.get("file"), dict):  # as chat completions write it
        part = part["file"]
    name = opt_text(part, "filename", path)
    data, url = opt_text(part, "file_data", path), opt_text(part, "file_url", path)
    file_id = opt_text(part, "file_id", path)
    if data and data.startswith("data:"):
        media = _media("document", data, path, f"{path}.file_data")
    elif data:
        media = Media("document", media_type=_type_of_name(name), data=data)
    elif url:
        media = _media("document", url, path, f"{path}.file_url")
    elif file_id:
        media = Media("document", file_id=file_id)
    else:
        where = f"{path}.file_data"
        raise BadBody(f"The field `{where}` is missing. Give file_data, file_url or file_id.", where)
    media.name = name
    return media


def _read_audio(part: Json, path: str) -> Media:
    where = f"{path}.input_audio"
    audio = as_object(part.get("input_audio"), where)
    form = opt_text(audio, "format", where) or "wav"
    return Media("audio", media_type=f"audio/{form}", data=need_text(audio, "data", where))


def _media(kind: Literal["image", "document"], url: str, path: str, where: str) -> Media:
    """A URL, or the data inside a data URL. Only base64 data URLs can be given to every target."""
    if not url.startswith("data:"):
        return Media(kind, url=url)
    head, comma, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not comma or "base64" not in parameters:
        raise BadBody(f"The data URL in `{where}` must be base64: `data:<type>;base64,<data>`.", where)
    media_type = media_type.strip().lower()
    return Media(kind, media_type="image/jpeg" if media_type == "image/jpg" else media_type, data=data)


def _type_of_name(name: str | None) -> str:
    ending = (name or "").rpartition(".")[2].lower()
    return {"pdf": "application/pdf", "txt": "text/plain", "md": "text/plain"}.get(ending, "application/pdf")
