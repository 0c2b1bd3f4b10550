"""Redaction rules in the admin: one's own with a check before they are saved, the built-in ones with a switch, and a
page to try them on a text. What is tried there is stored nowhere.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse

from backends.django_types import ModelAdmin, ModelForm
from backends.models import RedactionRule
from backends.redaction import BUILT_IN
from backends.redaction_services import LONGEST_SAMPLE, Trial, check_own, list_rules, rule_switch, try_rules
from backends.services import ServiceError
from backends.wire.kinds import Kind

LIST = "admin:backends_redactionrule_changelist"
_KINDS = {
    "": "Text",
    Kind.MESSAGES.value: "Body of a Messages request",
    Kind.CHAT.value: "Body of a Chat Completions request",
    Kind.RESPONSES.value: "Body of a Responses request",
    Kind.COMPLETIONS.value: "Body of a Completions request",
    Kind.EMBEDDINGS.value: "Body of an Embeddings request",
}
_SWITCH_WORDS = {"on": True, "off": False}


class RuleForm(ModelForm):
    """A rule of one's own."""

    class Meta:
        model = RedactionRule
        fields = ("name", "label", "pattern", "is_enabled")
        widgets = {
            "name": forms.TextInput(attrs={"size": 40, "spellcheck": "false"}),
            "label": forms.TextInput(
                attrs={"size": 20, "spellcheck": "false", "autocapitalize": "characters"}
            ),
            "pattern": forms.Textarea(attrs={"rows": 3, "cols": 80, "spellcheck": "false"}),
        }
        help_texts = {
            "label": "The type that stands in the placeholder, such as EMAIL: 2 to 16 capital letters or digits.",
            "pattern": (
                "A regular expression of RE2 (no look-around, no back-references). A group (?P<value>…) limits what is"
                " replaced. The page “Try the rules” shows what it finds."
            ),
        }

    def clean(self) -> dict[str, Any] | None:
        """The pattern is compiled before it is stored."""
        data = super().clean() or {}
        row = RedactionRule(**{name: data.get(name, "") for name in ("name", "label", "pattern")})
        if not self.errors:
            try:
                check_own(row)
            except ServiceError as exc:
                raise ValidationError(str(exc)) from exc
        return data


class TryForm(forms.Form):
    """A sample, and what it is."""

    kind = forms.ChoiceField(label="What it is", required=False, choices=list(_KINDS.items()))
    sample = forms.CharField(
        label="Sample",
        strip=False,
        max_length=LONGEST_SAMPLE,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "autocomplete": "off"}),
    )


@admin.register(RedactionRule)
class RedactionRuleAdmin(ModelAdmin):
    """What is replaced in requests to backends that redact."""

    form = RuleForm
    list_display = ("name", "label", "pattern", "is_enabled", "updated_at")
    change_list_template = "admin/backends/redactionrule/change_list.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """One's own rules. What only switches a built-in one stands in the table below them."""
        return super().get_queryset(request).exclude(pattern="", name__in=BUILT_IN)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With the built-in rules."""
        rules = list_rules()
        context = {
            "built_in": [rule for rule in rules if rule.is_built_in],
            "problems": [rule for rule in rules if rule.problem and rule.is_enabled],
            "may_switch": self.has_change_permission(request),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def get_urls(self) -> list[URLPattern]:
        """The trial and the switches beside the usual pages."""
        view = self.admin_site.admin_view
        return [
            path("try/", view(self.trial), name="backends_redactionrule_try"),
            path("switch/<slug:name>/", view(self.switch), name="backends_redactionrule_switch"),
            *super().get_urls(),
        ]

    def switch(self, request: HttpRequest, name: str) -> HttpResponse:
        """Turn a built-in rule on or off."""
        is_on = _SWITCH_WORDS.get(request.POST.get("to", ""))
        if request.method != "POST" or is_on is None:
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        try:
            rule = rule_switch(name, is_on=is_on)
        except ServiceError as exc:
            self.message_user(request, str(exc), messages.ERROR)
        else:
            self.message_user(request, f"Rule {rule.name} is {'on' if rule.is_enabled else 'off'}.")
        return HttpResponseRedirect(reverse(LIST))

    def trial(self, request: HttpRequest) -> HttpResponse:
        """What the rules would replace in a sample. It comes by POST, so that no log holds it; nothing is stored."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = TryForm(request.POST if request.method == "POST" else None)
        found = _tried(form) if form.is_bound and form.is_valid() else None
        context = {
            **self.admin_site.each_context(request),
            "title": "Try the rules",
            "opts": self.opts,
            "form": form,
            "found": found,
        }
        return render(request, "admin/backends/redactionrule/try.html", context)


def _tried(form: TryForm) -> Trial | None:
    """None, and an error in the form, for what cannot be read."""
    kind = form.cleaned_data["kind"]
    try:
        return try_rules(form.cleaned_data["sample"], Kind(kind) if kind else None)
    except ServiceError as exc:
        form.add_error("sample", str(exc))
        return None
