"""A provider inside the product, over real TCP: demo backend, upstream of the tests and benchmarks.

It speaks Anthropic Messages, OpenAI Chat Completions, Responses, Embeddings and legacy Completions, and
lists models for both official SDKs. Its answers follow from the request alone, and say that no real model
was asked. Its journal is the ledger: one entry for each request that reached it.
Rule: it needs no Django and no HTTP library.

A script makes it behave differently. Words are joined by `,`; a `#` starts a label that means nothing.
Scripts come from three places, the later one winning:
- the model name after a `+`: `gpt-4o+status=429,ra=3`
- an API key that starts with `sk-sim-`: `sk-sim-status=401#second-account`
- the queue: `Simulator.script([...], key=…, path=…)`, or `POST /_sim/script` with
  `{"scripts": [...], "key": null, "path": null}`. One script for each coming request, those for its key
  first. Paths are those below the version (`/models`); a script without one goes to any POST.

It is an OAuth provider too: discovery (RFC 8414), `/oauth/authorize`, which approves at once, and `/oauth/token`, with
PKCE and single-use refresh tokens. The API takes the newest access token of a login, until it expires. A scope
`sim:SCRIPT` at the login scripts the API requests of its access tokens, and a script's `key` may be the name of a login
(`login_hint`). Scripts for OAuth come from the queue only, and need its path (`/oauth/token`). `Simulator.logins`, or
`POST /_sim/oauth` with `{"do": "grant", "login": "work", "script": "", "expires": 3600}`, makes a login without a
browser and answers its tokens; `"do": "expire"` makes its access tokens useless until a refresh, `"revoke"` ends it.
Of the words below `status`, `ra`, `code`, `msg`, `html502`, `redirect`, `echo-secret`, time and connection apply to it.

`GET /_sim/journal[?since=N]` shows the journal as JSON lines. `POST /_sim/reset` forgets journal and queue, not the
logins.
In the table `n` counts events, `t` is a time (`20ms`, `1.5s`, `2`), `size` is `4096`, `64k` or `8m`, TYPE is an
error type (`failed`: send `response.failed`). Values of `text`, `call`, `msg`, `hdr` may be percent-encoded.

| word | what it does |
|---|---|
| `ok` | forget the faults of weaker sources and answer well |
| **the answer** | |
| `tool`, `tool=NAME`, `parallel=2` | call a tool (several), arguments made from its schema; not after a result |
| `call=NAME:INPUT` | call this tool with this input, if it is offered (repeatable); not after a result |
| `think` | reason first: signed thinking, reasoning item, `reasoning_content` |
| `text=…` | say this |
| `events=n`, `size=40` | n numbered text events of so many characters |
| `endless` | text events without end, as fast as the reader reads, or one each `gap` |
| `big-event=size` | one text event of this size |
| `stop=length/refusal/filter/pause` | end for this reason |
| `echo-headers` | the text is the received headers as JSON |
| `cache=read:5m:1h` | tokens read from and written to the prompt cache, on top of the fresh input |
| `usage=none/neg/huge/dup` | usage absent, negative, absurd, or reported twice |
| **time** | |
| `ttfb=t`, `gap=t` | wait before the head; before each content event |
| `drip=size:t` | the body in slices of so many bytes, one each t |
| `clock=t` | offset of the `Date` header |
| **headers** | |
| `rl=api/unified/openai/none` | which rate-limit headers; default: those of the protocol, almost unused |
| `u5h=0.4`, `u7d=…`, `u7d_opus=…` | utilization of a unified window; 1 or more is rejected |
| `used=0.9`, `limit=1000` | share used and request limit of api and openai headers |
| `reset=t`, `reset7d=t` | time until reset; of the weekly windows |
| `claim=…`, `overage=…` | unified: representative claim, overage status |
| `hdr=name:value` | a further response header (repeatable) |
| **errors** | |
| `status=code` | this status, with an error body if it is 300 or more |
| `ra=3`, `ra=date:30`, `ra=ms:250`, `ra=neg/huge/junk/nan` | `retry-after`, or `retry-after-ms` |
| `should-retry=true/false` | `x-should-retry` |
| `type=…`, `code=…`, `msg=…` | fields of error bodies and error events |
| `error-first=TYPE`, `error@n:TYPE` | an error event after n events; without a stream an HTTP error |
| `error200` | an error body with status 200 |
| `echo-secret=plain/b64/split` | an error body that repeats the received credential (split: over two writes) |
| `html502=size`, `wrong-type` | an HTML page with 502; with 200 |
| `empty200`, `redirect=code:target` | an empty 200; a redirect |
| **tokens** (path `/oauth/token`; `deny`: `/oauth/authorize`) | |
| `expires=t`, `expires=none` | the life of the access token; not told and endless. Default 3600 |
| `rotate`, `no-rotate` | with a new refresh token, the default; without one, the old one stays good |
| `keep-old` | access tokens issued before stay good until they expire |
| `reused` | as if the refresh token had been used before: `refresh_token_reused`, and the login is over |
| `commit-then-drop`, `commit-then-hang` | the tokens are issued, and the answer never comes (`rst`: a reset) |
| `deny` | the user says no |
| **the connection** | |
| `refuse`, `accept-no-read` | reset at once; never read. Next in the queue for all, they befall the next connection |
| `eof-before`, `eof-after-request` | close before the body is read (key and queue only, else after); after it |
| `rst`, `rst@n` | makes `cut` a reset; reset after n bytes of the answer, head included |
| `hang` | never answer |
| `early` | answer (413 unless `status`) as soon as the head is read (key and queue only) |
| `1xx-forever`, `header-drip`, `header-huge=size` | interim answers each `gap`; the head byte by byte; a huge header |
| `dup-cl`, `cl+te`, `bad-chunk` | contradicting lengths; length and chunks; a chunk size that is no number |
| `close-delimited`, `close` | the body ends with the connection; `Connection: close` |
| `gzip`, `gzip-broken`, `gzip-bomb=size` | content coding: good; damaged; unpacking to so many bytes |
| `json-for-sse`, `sse-for-json` | the other form than the one asked for |
| **the body** | |
| `cut@n`, `cut@bN` | close after n events (half of a whole body); after N body bytes |
| `stall@n` | n events, then silence |
| `no-terminal`, `no-done` | a clean end without the terminal event; only without `[DONE]` |
| `done-then-hang` | everything, but the response never ends |
| `bad-json@n`, `bad-utf8` | the n-th event is half; a byte that is not UTF-8 in the text |
| `crlf`, `cr`, `bom`, `multi-data`, `comments`, `no-space` | legal but unusual event streams |
"""

from __future__ import annotations

from backends.simulator.catalogue import Model
from backends.simulator.journal import Entry, Journal, TokenNote
from backends.simulator.script import Script, ScriptError
from backends.simulator.server import Simulator

__all__ = ["Entry", "Journal", "Model", "Script", "ScriptError", "Simulator", "TokenNote"]
