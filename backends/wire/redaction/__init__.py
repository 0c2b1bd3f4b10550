"""Redaction: secrets and personal data are replaced before a request leaves, and put back into the answer.

rules = RuleSet(BUILTIN)                                      once per configuration
vault = Vault(installation_key)                               once per request
edits, findings = redact_request(kind, body, rules, vault)    → splice(body, edits)
restore_body(answer, vault)                                   a whole answer or an error
Restorer(kind, vault).feed(chunk) … .end()                    a stream
"""

from __future__ import annotations

from backends.wire.redaction.answer import restore_body
from backends.wire.redaction.builtin import BUILTIN
from backends.wire.redaction.request import Finding, dry_run, redact_request, redact_text
from backends.wire.redaction.rules import Rule, RuleError, RuleSet, check_rule
from backends.wire.redaction.stream import Restorer
from backends.wire.redaction.vault import Vault

__all__ = [
    "BUILTIN",
    "Finding",
    "Restorer",
    "Rule",
    "RuleError",
    "RuleSet",
    "Vault",
    "check_rule",
    "dry_run",
    "redact_request",
    "redact_text",
    "restore_body",
]
