"""The rules that come with the product, as data. All but those for IP addresses are on.

A key's prefix is its issuer's; lengths are least lengths, since issuers lengthen their keys. The order matters: where
two rules overlap, the first one names the type.
"""

from __future__ import annotations

from backends.wire.redaction.rules import Rule

# What an issuer that publishes no page of its own is listed on.
_LISTED = "docs.github.com/code-security/reference/secret-security/supported-secret-scanning-patterns"
_AFTER = r"(?:\b|\\[nrt])"  # where a word begins, also behind an escape that is spelled out


def _rule(
    name: str, label: str, pattern: str, source: str = _LISTED, check: str = "", on: bool = True
) -> Rule:
    return Rule(name, label, pattern, is_enabled=on, check=check, source=source)


_MODEL_KEYS = (
    _rule("anthropic-key", "KEY", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    _rule(
        "openrouter-key",
        "KEY",
        r"sk-or-(?:v1-)?[A-Za-z0-9]{16,}",
        "openrouter.ai/docs/api-reference/authentication",
    ),
    _rule("openai-project-key", "KEY", r"sk-(?:proj|svcacct|admin|service)-[A-Za-z0-9_-]{16,}"),
    _rule("openai-key", "KEY", _AFTER + r"(?P<value>sk-[A-Za-z0-9]{20,})"),
    _rule(
        "google-api-key", "KEY", r"AIza[A-Za-z0-9_-]{30,}", "cloud.google.com/docs/authentication/api-keys"
    ),
    _rule("groq-key", "KEY", r"gsk_[A-Za-z0-9]{20,}"),
    _rule("xai-key", "KEY", _AFTER + r"(?P<value>xai-[A-Za-z0-9]{20,})"),
    _rule("nvidia-key", "KEY", r"nvapi-[A-Za-z0-9_-]{20,}"),
    _rule(
        "hugging-face-token",
        "KEY",
        _AFTER + r"(?P<value>hf_[A-Za-z0-9]{20,})",
        "huggingface.co/docs/hub/security-tokens",
    ),
    _rule("replicate-key", "KEY", _AFTER + r"(?P<value>r8_[A-Za-z0-9]{20,})"),
    _rule("perplexity-key", "KEY", r"pplx-[A-Za-z0-9]{20,}"),
    _rule("fireworks-key", "KEY", _AFTER + r"(?P<value>fw_[A-Za-z0-9]{20,})", check="mixed"),
    _rule("cerebras-key", "KEY", _AFTER + r"(?P<value>csk-[A-Za-z0-9]{20,})"),
    _rule("patchbay-key", "KEY", _AFTER + r"(?P<value>pb-[A-Za-z0-9_-]{20,})", "docs/accounts.md", "mixed"),
)
_CLOUD_KEYS = (
    _rule(
        "aws-access-key-id",
        "KEY",
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        "docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids",
    ),
    _rule(
        "aws-bedrock-key",
        "KEY",
        r"bedrock-api-key-[A-Za-z0-9+/=]{20,}|ABSK[A-Za-z0-9+/]{80,}={0,2}",
        "docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html",
    ),
    _rule(
        "azure-storage-key",
        "KEY",
        r"(?:AccountKey|SharedAccessKey)=(?P<value>[A-Za-z0-9+/]{40,}={0,2})",
        "learn.microsoft.com/azure/storage/common/storage-configure-connection-string",
    ),
    _rule(
        "azure-signature",
        "KEY",
        r"[?&]sig=(?P<value>[A-Za-z0-9%+/]{20,}={0,2})",
        "learn.microsoft.com/rest/api/storageservices/create-service-sas",
    ),
    _rule(
        "google-oauth-token",
        "TOKEN",
        r"ya29\.[A-Za-z0-9_-]{20,}",
        "cloud.google.com/docs/authentication/token-types",
    ),
    _rule("google-client-secret", "KEY", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    _rule("digitalocean-token", "KEY", r"do[opr]_v1_[a-f0-9]{64}"),
    _rule("databricks-token", "KEY", _AFTER + r"(?P<value>dapi[a-f0-9]{32})"),
    _rule(
        "vault-token",
        "KEY",
        _AFTER + r"(?P<value>hv[sbr]\.[A-Za-z0-9_-]{24,})",
        "developer.hashicorp.com/vault/docs/concepts/tokens",
    ),
    _rule("tailscale-key", "KEY", r"tskey-[a-z]+-[A-Za-z0-9-]{20,}", "tailscale.com/kb/1252/key-prefixes"),
    _rule("doppler-token", "KEY", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,}"),
    _rule("supabase-key", "KEY", r"sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,}"),
    _rule("new-relic-key", "KEY", r"NRAK-[A-Z0-9]{27}"),
    _rule("grafana-token", "KEY", r"gl(?:sa|c)_[A-Za-z0-9_+/=-]{32,}"),
)
_SERVICE_KEYS = (
    _rule(
        "github-token",
        "KEY",
        r"gh[pousr]_[A-Za-z0-9_.-]{30,}|github_pat_[A-Za-z0-9_]{22,}",
        "github.blog/changelog/2021-03-31-authentication-token-format-updates-are-generally-available",
    ),
    _rule(
        "gitlab-token",
        "KEY",
        r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|wt|soat|ffct|oas)-[A-Za-z0-9_.=-]{20,}",
        "docs.gitlab.com/security/tokens/#token-prefixes",
    ),
    _rule(
        "slack-token",
        "KEY",
        r"xox[abcdeoprs]-[A-Za-z0-9%-]{10,}|xapp-[A-Za-z0-9-]{10,}",
        "docs.slack.dev/authentication/tokens",
    ),
    _rule(
        "slack-webhook",
        "KEY",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<value>[A-Za-z0-9/_-]{20,})",
        "docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    ),
    _rule(
        "stripe-key",
        "KEY",
        r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{20,}",
        "docs.stripe.com/keys",
    ),
    _rule("npm-token", "KEY", r"npm_[A-Za-z0-9]{36}"),
    _rule("pypi-token", "KEY", r"pypi-AgE[A-Za-z0-9_-]{50,}", "pypi.org/help/#apitoken"),
    _rule("sendgrid-key", "KEY", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    _rule("twilio-key", "KEY", _AFTER + r"(?P<value>SK[0-9a-f]{32})\b", "twilio.com/docs/iam/api-keys"),
    _rule("shopify-token", "KEY", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    _rule("atlassian-token", "KEY", r"ATATT3[A-Za-z0-9_=-]{50,}"),
    _rule("linear-key", "KEY", r"lin_(?:api|oauth)_[A-Za-z0-9]{30,}"),
    _rule("notion-token", "KEY", r"ntn_[A-Za-z0-9]{40,}"),
    _rule("postman-key", "KEY", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    _rule(
        "telegram-token",
        "KEY",
        _AFTER + r"(?P<value>[0-9]{8,10}:[A-Za-z0-9_-]{35})\b",
        "core.telegram.org/bots/api",
    ),
    _rule(
        "discord-token",
        "KEY",
        _AFTER + r"(?P<value>[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38})",
    ),
)
_FORMATS = (
    _rule(
        "private-key",
        "KEY",
        # The end may be missing where a tool cut its output; line ends may be spelled out as \n.
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?:\s|\\[nr])*[A-Za-z-]{4,20}: [^\n\\]*)*"
        r"[A-Za-z0-9+/=\s\\]*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?",
        "RFC 7468, RFC 9580 section 6.2",
    ),
    _rule("age-key", "KEY", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", "age-encryption.org/v1"),
    _rule("jwt", "TOKEN", r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}", "RFC 7519, RFC 7516"),
    _rule(
        "basic-authorization",
        "SECRET",
        r"(?i)authorization\\?[\"']?\s*[:=]\s*\\?[\"']?basic\s+(?P<value>[A-Za-z0-9+/=]{8,})",
        "RFC 7617",
    ),
    _rule(
        "url-password",
        "SECRET",
        r":\\?/\\?/[^\s/:@\"'<>{}]*:(?P<value>[^\s/:@\"'<>{}$]{3,})@",
        "RFC 3986 section 3.2.1",
    ),
)
# Letters of addresses beyond ASCII: Latin, Greek and Cyrillic. Scripts that put no spaces between words stay out.
_L = r"A-Za-z0-9_\x{00C0}-\x{024F}\x{0370}-\x{052F}"
_PERSONAL = (
    _rule(
        "email-address",
        "EMAIL",
        r"(?:\\[nrt])?"
        rf"(?P<value>[{_L}][{_L}.%+'-]*@(?:[{_L}-]+\.)+[A-Za-z\x{{00C0}}-\x{{024F}}\x{{0370}}-\x{{052F}}]{{2,24}})",
        "RFC 5321 section 4.1.2, RFC 6531",
        "email",
    ),
    _rule(
        "iban",
        "IBAN",
        r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,}",
        "ISO 13616; www.swift.com/standards/data-standards/iban-international-bank-account-number",
        "iban",
    ),
    _rule("payment-card", "CARD", r"[0-9](?:[ -]?[0-9]){11,}", "ISO/IEC 7812", "card"),
    _rule(
        "phone-number",
        "PHONE",
        r"\+[1-9][0-9 ().\x{00A0}-]{6,22}[0-9]|\(?[2-9][0-9]{2}\)?[ .-][2-9][0-9]{2}[.-][0-9]{4}",
        "ITU-T E.164, E.123; North American Numbering Plan",
        "phone",
    ),
)
# Told by what stands before them, whatever they are: so a type that is known by itself comes first.
_NAMED = (
    _rule(
        "bearer-token",
        "TOKEN",
        r"(?i)\bbearer\s{1,4}(?P<value>[A-Za-z0-9._~+/=-]{16,})",
        "RFC 6750 section 2.1",
        "mixed",
    ),
    _rule(
        "assigned-secret",
        "SECRET",
        r"(?i)(?:pass(?:word|wd|phrase)|pwd|secret|api[_-]?key|(?:access|account|private|signing|encryption|master)[_-]?key"
        r"|(?:access|auth|api|bot|refresh|id|session|bearer)[_-]?token|credentials?)[a-z0-9_]{0,20}"
        r"\\?[\"']?\s{0,4}(?:=>|:=|[:=])\s{0,4}\\?[\"'`]?(?P<value>[^\s\"'`<>(){}\[\];,$\\]{6,})",
        "CWE-798",
        "assigned",
    ),
)
_ADDRESSES = (
    _rule("ipv4-address", "IP", r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", "RFC 1166", "ip", on=False),
    _rule(
        "ipv6-address",
        "IP",
        r"(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15}",
        "RFC 4291 section 2.2",
        "ip",
        on=False,
    ),
)

BUILTIN: tuple[Rule, ...] = (
    *_MODEL_KEYS,
    *_CLOUD_KEYS,
    *_SERVICE_KEYS,
    *_FORMATS,
    *_PERSONAL,
    *_NAMED,
    *_ADDRESSES,
)
