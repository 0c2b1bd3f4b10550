"""`python -m bench.live`: a real model server behind a real Patchbay, used through the official OpenAI SDK.

Exit 0 if everything was as promised, 1 if anything was not or could not be tried; each line says which.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import OpenAI

from bench.live.model_server import MODEL, LiveError, ModelServer, install, write_model
from tests import isolation
from tests.patchbay import Patchbay, free_port

BACKEND = "local"
QUESTION: list[Any] = [{"role": "user", "content": "Say something, tiny model."}]
TOKENS = 24
SEEN_SECONDS = 10.0
TOLD = ("request-id", "backend", "account", "model", "lane", "attempts", "overhead-ms")


@dataclass
class Report:
    """What was looked at, line by line."""

    failures: list[str] = field(default_factory=list)

    def check(self, what: str, holds: bool, seen: object = "") -> None:
        """Print one finding and keep it if it is bad."""
        print(f"  {'ok  ' if holds else 'BAD '} {what}{f': {seen}' if seen != '' else ''}")
        if not holds:
            self.failures.append(what)


def main() -> int:
    """Install, start both servers, try everything. Returns the exit code."""
    report = Report()
    try:
        install()
        model = write_model()
        with ModelServer(model, free_port()) as server, Patchbay(home=Path(isolation.HOME)) as patchbay:
            added = patchbay.manage("backend", "add", BACKEND, "--base-url", server.base_url)
            print(f"patchbay: {patchbay.url} before {server.base_url}\n  {added.stdout.splitlines()[0]}")
            with OpenAI(base_url=f"{patchbay.url}/v1", api_key="any", max_retries=2) as client:
                try_everything(client, patchbay, report)
    except (LiveError, AssertionError) as exc:
        report.check("the run came to its end", False, str(exc))
    print(
        f"{len(report.failures)} problems: {'; '.join(report.failures)}"
        if report.failures
        else "All is well."
    )
    return 1 if report.failures else 0


def try_everything(client: OpenAI, patchbay: Patchbay, report: Report) -> None:
    """Each kind of request, then what the history says of it."""
    print("models")
    listed = listed_models(client)
    report.check("the model server's model is listed", listed.get(MODEL) == BACKEND, listed)
    said = try_plain(client, report)
    try_stream(client, report, said)
    try_leaving(client, report)
    try_history(patchbay, report)


def listed_models(client: OpenAI) -> dict[str, str]:
    """Model names and owners, as soon as the running server has seen the new backend."""
    deadline = time.monotonic() + SEEN_SECONDS
    while True:
        listed = {model.id: model.owned_by for model in client.models.list()}
        if MODEL in listed or time.monotonic() > deadline:
            return listed
        time.sleep(0.1)


def try_plain(client: OpenAI, report: Report) -> str:
    """One answer in one piece; its text."""
    print("chat completion")
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=QUESTION, max_tokens=TOKENS, temperature=0
    )
    answer = raw.parse()
    text, usage = answer.choices[0].message.content or "", answer.usage
    headers = {name: raw.headers.get(f"x-patchbay-{name}") for name in TOLD}
    report.check("it says something", bool(text), repr(text))
    report.check(
        "usage is reported", usage is not None and usage.completion_tokens > 0, usage and usage.to_dict()
    )
    report.check("the headers tell what happened", all(headers.values()), headers)
    report.check("it came from the backend", headers["backend"] == BACKEND)
    report.check("nothing was changed on the way", "x-patchbay-mutations" not in raw.headers)
    return text


def try_stream(client: OpenAI, report: Report, said: str) -> None:
    """The same question as a stream, by the prefixed name: without chance the same text comes again."""
    print("streamed chat completion")
    with client.chat.completions.create(
        model=f"{BACKEND}:{MODEL}", messages=QUESTION, max_tokens=TOKENS, temperature=0, stream=True
    ) as stream:
        chunks = list(stream)
        mutations = stream.response.headers.get("x-patchbay-mutations")
    choices = [choice for chunk in chunks for choice in chunk.choices]
    text = "".join(choice.delta.content or "" for choice in choices)
    report.check("it came in pieces", len(chunks) > 3, f"{len(chunks)} chunks")
    report.check("the pieces are the plain answer", text == said, repr(text))
    report.check(
        "it ended properly", choices[-1].finish_reason in ("stop", "length"), choices[-1].finish_reason
    )
    report.check("the renamed model is named", mutations == "$.model=prefix", mutations)


def try_leaving(client: OpenAI, report: Report) -> None:
    """A client that reads one chunk and goes."""
    print("a stream that the client leaves")
    with client.chat.completions.create(
        model=MODEL, messages=QUESTION, max_tokens=400, temperature=1.5, stream=True
    ) as stream:
        report.check("it began", bool(next(stream).id))


def try_history(patchbay: Patchbay, report: Report) -> None:
    """One row for each of the three requests."""
    print("history")
    rows = [row for row in patchbay.history(3) if row["kind"] == "chat"]
    names = (
        "outcome",
        "stream",
        "backend",
        "modelUsed",
        "inputTokens",
        "outputTokens",
        "usageSource",
        "ttftMs",
    )
    for row in rows:
        print(f"       {row['id']} " + " ".join(f"{name}={row[name]}" for name in names))
    outcomes = [row["outcome"] for row in rows]
    report.check("each request has its row", outcomes == ["ok", "ok", "cancelled"], outcomes)
    if rows:
        told = (rows[0]["usageSource"], rows[0]["outputTokens"])
        report.check(
            "the row of the plain answer has the reported tokens", told == ("reported", TOKENS), told
        )


if __name__ == "__main__":
    sys.exit(main())
