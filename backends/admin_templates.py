"""Request templates in the admin: written as JSON, every version kept, with a page to try them on a request."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse

from backends.django_types import ModelAdmin, ModelForm
from backends.forms import ReadField
from backends.models import RequestTemplate
from backends.presets import PRESETS
from backends.services import ServiceError
from backends.snapshot import template_config
from backends.template_preview import MAX_BODY, TemplatePreview, preview, sample
from backends.template_services import (
    checked_spec,
    read_json,
    routes_of,
    template_create,
    template_restore,
    template_update,
)
from backends.wire.kinds import Kind
from backends.wire.templates import parse_spec

_KINDS = {
    Kind.MESSAGES: "Messages (Anthropic)",
    Kind.CHAT: "Chat Completions",
    Kind.RESPONSES: "Responses",
    Kind.COUNT_TOKENS: "Token count (Anthropic)",
    Kind.COMPLETIONS: "Completions",
    Kind.EMBEDDINGS: "Embeddings",
}
SPEC_HELP = (
    'JSON, such as {"system": {"append": "Answer in German."}, "parameters": {"default": {"temperature": 0.2}}}.'
    " Fields: system, parameters, tools, replace_tools, rename_tools, headers, beta."
)


class SpecField(ReadField):
    """A template as indented JSON; cleaned, it is the template as it is stored."""

    widget = forms.Textarea(attrs={"rows": 24, "cols": 100, "spellcheck": "false", "autocomplete": "off"})

    def prepare_value(self, value: Any) -> Any:
        """Indented; what somebody typed stays."""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        """Read and check. Raises ValidationError that names the place."""
        text = value if isinstance(value, str) else ""
        try:
            return checked_spec(read_json(text)) if text.strip() else {}
        except ServiceError as exc:
            raise ValidationError(str(exc)) from exc

    def validate(self, value: Any) -> None:
        """An empty template is one: it changes nothing yet."""

    def run_validators(self, value: Any) -> None:
        """Everything has been checked."""


class TemplateForm(ModelForm):
    """A template's name and text. `edited` is the version that the page showed."""

    spec = SpecField(label="Template", required=False, help_text=SPEC_HELP)
    edited = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = RequestTemplate
        fields = ("name", "spec")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["edited"].initial = self.instance.version if self.instance.pk else None

    def clean(self) -> dict[str, Any] | None:
        """Nobody's work is undone unread."""
        data = super().clean() or {}
        edited = data.get("edited")
        if self.instance.pk and edited is not None and edited != self.instance.version:
            raise ValidationError(
                f"Version {self.instance.version} was saved while you edited version {edited}. Copy your text, load the"
                " page again, and make your change there."
            )
        return data


class PreviewForm(forms.Form):
    """A template, stored or not, and a request. Read only."""

    kind = forms.ChoiceField(label="Request", choices=[(kind.value, label) for kind, label in _KINDS.items()])
    preset = forms.ChoiceField(
        label="to", required=False, choices=[("", "any server"), *((name, name) for name in sorted(PRESETS))]
    )
    spec = SpecField(label="Template", required=False)
    body = forms.CharField(
        label="Body",
        required=False,
        max_length=MAX_BODY,
        widget=forms.Textarea(attrs={"rows": 14, "cols": 100, "spellcheck": "false", "autocomplete": "off"}),
        help_text="Empty: a sample of this kind of request.",
    )

    def result(self) -> TemplatePreview:
        """What a backend would get. Only after cleaning. Raises ServiceError."""
        data, kind = self.cleaned_data, Kind(self.cleaned_data["kind"])
        template = parse_spec(data["spec"])
        if settings.PATCHBAY_PRESERVE_TOOLS:
            template = template.keeping_tools()
        return preview(template, kind, data["body"] or sample(kind), data["preset"])


@admin.register(RequestTemplate)
class RequestTemplateAdmin(ModelAdmin):
    """What is put into the requests of routes."""

    form = TemplateForm
    fields = ("name", "spec", "edited")
    list_display = ("name", "version", "used_by", "problem", "updated_at")
    search_fields = ("name",)
    change_form_template = "admin/backends/requesttemplate/change_form.html"
    change_list_template = "admin/backends/requesttemplate/change_list.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the routes, so that the list needs no query a row."""
        return super().get_queryset(request).prefetch_related("routes")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Routes in exports name their template."""
        return ("name",) if obj else ()

    @admin.display(description="used by routes")
    def used_by(self, row: RequestTemplate) -> str:
        """The patterns."""
        return ", ".join(routes_of(row)) or "none"

    @admin.display(description="problem")
    def problem(self, row: RequestTemplate) -> str:
        """Why requests go without it."""
        return template_config(row).problem

    def save_model(self, request: HttpRequest, obj: RequestTemplate, form: Any, change: bool) -> None:
        """Through the services, which keep the versions."""
        if not change:
            obj.pk = template_create(obj.name, obj.spec).pk
            return
        try:
            saved = template_update(obj, obj.spec, expected=form.cleaned_data.get("edited"))
            obj.version = saved.version
        except ServiceError as exc:
            self.message_user(request, str(exc), messages.ERROR)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A template that routes use stays: without it their requests would silently be others."""
        deleted, counts, perms, protected = super().get_deleted_objects(objs, request)
        used = [f"Route {pattern}" for row in objs for pattern in routes_of(row)]
        return deleted, counts, perms, [*protected, *used]

    def get_urls(self) -> list[URLPattern]:
        """The preview, and the button behind each version."""
        view, restore = self.admin_site.admin_view(self.preview), self.admin_site.admin_view(self.restore)
        return [
            path("preview/", view, name="backends_requesttemplate_preview"),
            path("<path:object_id>/restore/<int:version>/", restore, name="backends_requesttemplate_restore"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With the versions below the form."""
        row: RequestTemplate | None = self.get_object(request, object_id)
        may = row is not None and self.has_change_permission(request, row)
        versions = [
            {"row": version, "text": json.dumps(version.spec, indent=2, ensure_ascii=False)}
            for version in (row.versions.all() if row is not None else ())
        ]
        context = {"versions": versions, "may_restore": may, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def restore(self, request: HttpRequest, object_id: str, version: int) -> HttpResponse:
        """An earlier text again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row: RequestTemplate | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        try:
            saved = template_restore(row, version)
        except ServiceError as exc:
            self.message_user(request, str(exc), messages.ERROR)
        else:
            text = f"Version {version} is in force again, as version {saved.version}."
            self.log_change(request, row, text)
            self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:backends_requesttemplate_change", args=[quote(row.pk)]))

    def preview(self, request: HttpRequest) -> HttpResponse:
        """What a backend would get, before and after. Nothing is stored or sent; a body may be long, hence POST."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = RequestTemplate.objects.filter(pk=_number(request.GET.get("template", ""))).first()
        form = PreviewForm(request.POST or None, initial={"spec": row.spec if row else {}})
        shown, problem = None, ""
        if form.is_bound and form.is_valid():
            try:
                shown = form.result()
            except ServiceError as exc:
                problem = str(exc)
        context = {
            **self.admin_site.each_context(request),
            "title": "What would a backend get?",
            "opts": self.opts,
            "form": form,
            "preview": shown,
            "problem": problem,
        }
        return render(request, "admin/backends/requesttemplate/preview.html", context)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
