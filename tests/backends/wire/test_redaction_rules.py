"""What the rules find, which rules are refused and where they are wrong, and that no text makes them slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.wire.redaction import BUILTIN, Rule, RuleError, RuleSet, check_rule
from backends.wire.redaction.rules import REACH
from tests.backends.wire.redacting import RULES

AB = "aB3dE5gH7jK9"
HEX = "0123456789abcdef"

# Rule → texts with the value between « and ». Keys are put together so that nobody's scanner takes them for a leak.
FOUND: dict[str, list[str]] = {
    "anthropic-key": [f"«sk-ant-api03-{AB}-{AB}_x»", f'k="«sk-ant-oat01-{AB * 2}»"', f"\\n«sk-ant-{AB * 2}»"],
    "openrouter-key": ["«sk-or-v1-" + HEX * 4 + "»"],
    "openai-project-key": [f"«sk-proj-{AB * 3}», and", f"«sk-svcacct-{AB}_{AB}»"],
    "openai-key": [f"OPENAI=«sk-{AB * 4}»", f"\\n«sk-{AB * 2}»"],
    "google-api-key": ["?x=«AIza" + "Sy" + AB * 3 + "»&"],
    "groq-key": [f"«gsk_{AB * 4}»"],
    "xai-key": [f"«xai-{AB * 6}»"],
    "nvidia-key": [f"«nvapi-{AB * 5}»"],
    "hugging-face-token": ["«hf_" + "aBcDeFgHiJ" * 3 + "abcd»"],
    "replicate-key": [f"«r8_{AB * 3}»"],
    "perplexity-key": [f"«pplx-{AB * 4}»"],
    "fireworks-key": [f"«fw_{AB * 2}»"],
    "cerebras-key": [f"«csk-{AB * 4}»"],
    "patchbay-key": [f"«pb-{AB}-{AB}»"],
    "aws-access-key-id": ["id «AKIA" + "IOSFODNN7EXAMPLE»,", "«ASIA" + "2345672345672345»"],
    "aws-bedrock-key": [f"«bedrock-api-key-{AB * 3}=»", "«ABSK" + AB * 8 + "»"],
    "azure-storage-key": [f"AccountName=x;AccountKey=«{AB * 7}ab==»;Endpoint"],
    "azure-signature": [f"https://h/?se=2&sig=«{AB * 3}%3D»&x"],
    "google-oauth-token": [f"«ya29.{AB * 4}»"],
    "google-client-secret": [f"«GOCSPX-{AB * 2}»"],
    "digitalocean-token": ["«dop_v1_" + HEX * 4 + "»"],
    "databricks-token": ["«dapi" + HEX * 2 + "»"],
    "vault-token": [f"«hvs.{AB * 3}»"],
    "tailscale-key": [f"«tskey-auth-{AB}-{AB}»"],
    "doppler-token": [f"«dp.pt.{AB * 4}»"],
    "supabase-key": ["«sbp_" + HEX * 2 + "01234567»", f"«sb_secret_{AB * 2}»"],
    "new-relic-key": ["«NRAK-" + "ABC" * 9 + "»"],
    "grafana-token": [f"«glsa_{AB * 3}_abcdef12»"],
    "github-token": [f"«ghp_{AB * 3}»", f"«github_pat_11{AB}_{AB * 4}»", f"x-access-token:«ghs_{AB * 3}»"],
    "gitlab-token": [f"«glpat-{AB}-{AB}»"],
    "slack-token": [f"«xoxb-123456789012-{AB}»", f"«xapp-1-A123-{AB}»"],
    "slack-webhook": [f"https://hooks.slack.com/services/«T00000000/B00000000/{AB}»"],
    "stripe-key": [f"«sk_live_{AB * 2}»", f"«rk_test_{AB}»", f"«whsec_{AB * 2}»"],
    "npm-token": [f"_authToken=«npm_{AB * 3}»"],
    "pypi-token": [f"«pypi-AgEIcHlwaS5vcmc{AB * 5}»"],
    "sendgrid-key": [f"«SG.{AB}abcd.{AB * 3}»"],
    "twilio-key": ["«SK" + HEX * 2 + "»"],
    "shopify-token": ["«shpat_" + HEX * 2 + "»"],
    "atlassian-token": [f"«ATATT3xFf{AB * 5}»"],
    "linear-key": [f"«lin_api_{AB * 3}abcd»"],
    "notion-token": [f"«ntn_{AB * 4}»"],
    "postman-key": ["«PMAK-" + "0123456789abcdef01234567" + "-" + "0123456789abcdef0123456789abcdef01»"],
    "telegram-token": [f"bot «123456789:{AB * 2}abcdefghijk»"],
    "discord-token": [f"«M{AB * 2}.abcDEF.{AB * 2}abcdef»"],
    "private-key": [
        "«-----BEGIN RSA PRIVATE KEY-----\nMIIE/+x=\n-----END RSA PRIVATE KEY-----»\n",
        '"«-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----»\\n"',
        "«-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A1B\n\n"
        "MIIE\n-----END EC PRIVATE KEY-----»",
        "«-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x (y)\n\nlQ\n=aB\n-----END PGP PRIVATE KEY BLOCK-----»",
        "«-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n»[cut]",
        "«-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADAN/+\n" * 400 + "-----END PRIVATE KEY-----»",
    ],
    "age-key": ["«AGE-SECRET-KEY-1" + "QWERTYUIOP" * 6 + "»"],
    "jwt": [f"«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.{AB}», then", "«eyJhbGciOiJkaXIifQ..a.b.c»"],
    "bearer-token": [f"Authorization: Bearer «{AB}/{AB}=»"],
    "basic-authorization": ['"Authorization": "Basic «dXNlcjpwYXNz»"'],
    "url-password": ["postgres://app:«s3cr3t!»@db:5432/x", "amqp:\\/\\/u:«pass»@h", "redis://:«abc»@h"],
    "assigned-secret": [
        "password=«hunter2»",
        'DB_PASSWORD: "«correct-horse»"',
        "export API_KEY=«abcdefgh»\n",
        "aws_secret_access_key = «wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
        '{\\"client_secret\\": \\"«x9x9x9x9»\\"}',
        "'access_token' => '«a1b2c3d4»'",
        "Server=h;Password=«p4ssw0rd»;Database=x",
    ],
    "email-address": [
        "mail «jane.doe+x@mail.example.com», please",
        "<«o'hara@example.org»>",
        "«jürgen@müller.example.de»",
        "请联系«a@b.co»谢谢",
        "mailto:«a_b@c-d.io».",
        r"\n«john@example.com»",
    ],
    "iban": [
        "to «DE89370400440532013000».",
        "«GB29 NWBK 6016 1331 9268 19» AND NOW",
        "AA11 «FR14 2004 1010 0505 0001 3M02 606»",
        "«NO93 8601 1117 947»",
    ],
    "payment-card": [
        "card «4111 1111 1111 1111», exp",
        "«378282246310005»",
        "«5555-5555-5555-4444» 12/30",
        "1 2 «4012888888881881» 9",
    ],
    "phone-number": [
        "call «+49 (30) 1234-5678».",
        "tel:«+14155552671»",
        "«(212) 555-0123»",
        "«212-555-0123»",
    ],
    "ipv4-address": ["host «203.0.113.7»:80", "«10.0.0.1»/8"],
    "ipv6-address": ["at «2001:db8::8a2e:370:7334» now", "«fe80::1ff:fe23:4567:890a»"],
}
NOT_FOUND = [
    "task-12345678901234567890 and sk-learn-contrib-metric-learn-extras, risk-free",
    'password = request.POST[\'password\']; password: str | None = None; type="password" name="password"',
    "api_key=settings.api_key, secret=self._secret, token = tokens[i], max_tokens=4096",
    '{"secret": "secret_key", "password": "string", "credentials": "include"}',
    "git@github.com:org/repo.git, icon@2x.png, @app.route, user@localhost, a @ b.c, {{user}}@{{host}}",
    "4111 1111 1111 1112, 1234567890123456, 0000 0000 0000 0000, 20240101120000123",
    "DE89 3704 0044 0532 0130 01, AB12 CDEF GHIJ KLMN, ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "+1 (--) (--) 2 and +1234567890123456",
    "+1234.56789012 and 1+23456789 and\n+2024-01-01 10:00:00 of 12:34:56.789, 555-0123, 2024-01-01",
    "eyJhbGciOiJIUzI1NiJ9 without dots, Bearer realm=, Bearer authentication-is-required",
    "https://example.com:8080/a@b and http://[::1]:80/ and std::vector<a::b> at 127.0.0.1 and ::1, 1.2.3, 999.1.1.1",
    "550e8400-e29b-41d4-a716-446655440000 sha256:" + HEX * 4,
    "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
]
SAMPLES = [(name, text) for name, texts in FOUND.items() for text in texts]
ALL = RuleSet(Rule(rule.name, rule.label, rule.pattern, True, rule.check) for rule in BUILTIN)


def test_every_built_in_rule_has_samples_a_source_and_a_name_of_its_own() -> None:
    assert FOUND.keys() == {rule.name for rule in BUILTIN}
    assert len(FOUND) == len(BUILTIN)
    assert all(rule.source for rule in BUILTIN)


def test_only_the_rules_for_addresses_are_off() -> None:
    assert {rule.name for rule in BUILTIN if not rule.is_enabled} == {"ipv4-address", "ipv6-address"}


@pytest.mark.parametrize(("name", "sample"), SAMPLES)
def test_a_built_in_rule_finds_the_value_and_nothing_more(name: str, sample: str) -> None:
    before, value, after = re.split("[«»]", sample)
    rule = next(rule for rule in BUILTIN if rule.name == name)
    alone = RuleSet([Rule(name, rule.label, rule.pattern, True, rule.check)])
    text = (before + value + after).encode()
    assert [text[match.start : match.end].decode() for match in alone.find(text)] == [value]
    covered = b"".join(text[match.start : match.end] for match in ALL.find(text))
    assert value.encode() in covered


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    found = [text.encode()[match.start : match.end] for match in ALL.find(text.encode())]
    assert found == []


def test_rules_that_overlap_leave_nothing_of_either_behind() -> None:
    rules = RuleSet([Rule("one", "ONE", "b+c"), Rule("two", "TWO", "c+d"), Rule("three", "THREE", "e")])
    assert [(m.start, m.end, m.rule.name) for m in rules.find(b"abbccdea")] == [
        (1, 6, "one"),
        (6, 7, "three"),
    ]


def test_the_earlier_rule_names_an_overlap_also_where_the_later_one_begins_first() -> None:
    rules = RuleSet([Rule("one", "ONE", "bc"), Rule("two", "TWO", "ab"), Rule("three", "THREE", "cd")])
    assert [(m.start, m.end, m.rule.name) for m in rules.find(b"abcd")] == [(0, 4, "one")]


def test_a_match_inside_another_does_not_shorten_it() -> None:
    rules = RuleSet([Rule("one", "ONE", "a.*f"), Rule("two", "TWO", "cd"), Rule("three", "THREE", "fg")])
    assert [(m.start, m.end, m.rule.name) for m in rules.find(b"abcdefg")] == [(0, 7, "one")]


def test_a_placeholder_is_never_found_again() -> None:
    assert RULES.find(b"password=PB_SECRET_k3v7q2m5xa and PB_EMAIL_aaaaaaaaaa") == []


def test_only_the_group_value_is_replaced_and_all_where_it_took_no_part() -> None:
    rules = RuleSet([Rule("x", "CUSTOM", "id=(?P<value>[0-9]+)|ID[0-9]+")])
    assert [(m.start, m.end) for m in rules.find(b"id=12 ID34")] == [(3, 5), (6, 10)]


def test_no_rules_find_nothing() -> None:
    off = RuleSet([Rule("x", "CUSTOM", "(", is_enabled=False)])
    assert not off
    assert off.find(b"(") == []


# --- rules that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "place", "word"),
    [
        ("ab[cd", 2, "class"),
        ("é(a", 1, "group"),
        ("(a[(]\\()(b", 8, "group"),
        ("a)b", 1, "Remove it"),
        ("x(?<=a)b", 1, "Look-around"),
        ("x(?!a)", 1, "Look-around"),
        (r"(a)\1", 3, "Back-references"),
        (r"a\Z", 1, "\\z"),
        ("a{1,2000}", 1, "1000"),
        ("ab**", 2, "twice"),
        ("*a", 0, "before it"),
        ("[z-a]", 1, "range"),
        (r"\pX+", 0, "range"),
        (r"a\Cb", 1, "single byte"),
        (r"\Qab", 0, "quoting"),
        ("a\\", 1, "trailing"),
        ("(?P<value>a)(?P<value>b)", 12, "two rules"),
        ("\ud800", 0, "surrogate"),
    ],
)
def test_a_pattern_that_cannot_be_matched_is_refused_with_the_place(
    pattern: str, place: int, word: str
) -> None:
    with pytest.raises(RuleError) as caught:
        check_rule(Rule("mine", "CUSTOM", pattern))
    assert caught.value.place == place
    assert f"at character {place + 1}:" in caught.value.message
    assert word in caught.value.message
    assert caught.value.rule == "mine"


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        (Rule("", "CUSTOM", "a"), "name"),
        (Rule("x", "e-mail", "a"), "EMAIL"),
        (Rule("x", "E", "a"), "EMAIL"),
        (Rule("x", "CUSTOM", ""), "0 characters"),
        (Rule("x", "CUSTOM", "a" * 2001), "2001 characters"),
        (Rule("x", "CUSTOM", "a*"), "nothing at all"),
        (Rule("x", "CUSTOM", r"\b"), "nothing at all"),
        (Rule("x", "CUSTOM", r"(?:\pL{9}){9}"), "too large"),
        (Rule("x", "CUSTOM", "a", check="luhn"), "Choose one of email"),
    ],
)
def test_a_rule_that_is_no_use_is_refused(rule: Rule, word: str) -> None:
    with pytest.raises(RuleError, match=word) as caught:
        RuleSet([rule])
    assert caught.value.place is None


@given(pattern=st.text(max_size=20) | st.text(alphabet="ab(){}[]*+?|\\^$.,1d", max_size=12))
def test_any_pattern_is_taken_or_refused_in_words(pattern: str) -> None:
    fault = _fault_of(pattern)
    if fault is None:
        rules = RuleSet([Rule("x", "CUSTOM", pattern)])
        assert all(match.start < match.end for match in rules.find(b"aab 11 b"))
    else:
        assert fault.message.endswith(".")
        assert fault.place is None or 0 <= fault.place < len(pattern)


def _fault_of(pattern: str) -> RuleError | None:
    try:
        check_rule(Rule("x", "CUSTOM", pattern))
    except RuleError as exc:
        return exc
    return None


# --- all matches, in linear time ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=settings().max_examples)
@given(
    pattern=st.sampled_from(
        ["ab+c", "[0-9]{3,5}", "x[^y]{0,40}y", r"\bfoo\b", "a+", "[^z]+z", "foo|fo", "(?m)^b"]
    ),
    parts=st.lists(
        st.sampled_from(["a", "abbc", "foo", "x" + "b" * 20 + "y", "z", "\n", "12345 ", "é"]), max_size=60
    ),
    repeats=st.integers(1, 30),
)
def test_the_matches_are_those_of_a_search_without_windows(
    pattern: str, parts: list[str], repeats: int
) -> None:
    text = ("".join(parts) * repeats).encode()
    found = [(match.start, match.end) for match in RuleSet([Rule("x", "CUSTOM", pattern)]).find(text)]
    assert found == [match.span() for match in re.finditer(pattern.encode(), text)]


@pytest.mark.parametrize("size", [REACH - 1, 2 * REACH - 1, 2 * REACH, 2 * REACH + 1, 50 * REACH])
@pytest.mark.parametrize("before", [0, REACH, 3 * REACH - 2])
def test_a_match_is_whole_however_long_it_is(size: int, before: int) -> None:
    text = b" " * before + b"a" * size + b" a"
    rules = RuleSet([Rule("x", "CUSTOM", "a+")])
    assert [(m.start, m.end) for m in rules.find(text)] == [
        (before, before + size),
        (before + size + 1, len(text)),
    ]


@pytest.mark.parametrize("before", [0, REACH, 2 * REACH - 10, 2 * REACH - 1, 5 * REACH - 7])
def test_an_end_within_reach_is_seen_wherever_the_match_begins(before: int) -> None:
    text = b" " * before + b"a" + b"b" * (REACH - 100) + b"z"
    rules = RuleSet([Rule("x", "CUSTOM", "a(?:[^z]*z)?")])
    assert [(m.start, m.end) for m in rules.find(text)] == [(before, len(text))]


ADVERSARIAL = {
    "nested repetition": (
        RuleSet([Rule("x", "CUSTOM", "^(a+)+$"), Rule("y", "CUSTOM", "(a|aa)+b")]),
        "a" * 300_000 + "!",
    ),
    "far end": (RuleSet([Rule("x", "CUSTOM", "a([^z]*z)?")]), "a" * 20_000),
    "e-mail addresses": (RULES, "a@b.co " * 40_000),
    "at signs": (RULES, "a@" * 150_000),
    "one long word": (RULES, "a" * 300_000),
    "digits": (RULES, "1" * 300_000),
    "groups of digits": (RULES, "4111 " * 60_000),
    "capitals and digits": (RULES, "DE89 " * 60_000),
    "keys that do not end": (RULES, "-----BEGIN PRIVATE KEY-----" * 11_000),
    "tokens without dots": (RULES, "eyJaaaaaaaaaa" * 23_000),
    "passwords without values": (RULES, "password=" * 33_000),
    "addresses": (RULES, "://a:" * 60_000),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_no_text_makes_a_search_explode(name: str) -> None:
    """Backtracking would take years for some of these, a quadratic search minutes."""
    rules, text = ADVERSARIAL[name]
    begun = time.thread_time()
    rules.find(text.encode())
    assert time.thread_time() - begun < 5
