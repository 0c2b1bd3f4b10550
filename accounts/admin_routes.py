"""Routes in the admin, checked before they are saved, with the preview that `routes explain` prints. Here, not in
`backends`, because both need the accounts and the client keys.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path

from accounts.forms_routes import PreviewForm, RouteForm, RouteTargetForm, RouteTargetFormSet
from accounts.preview import Preview, preview_of
from backends.django_types import ModelAdmin, ModelForm, TabularInline
from backends.models import Route, RouteTarget
from backends.route_checks import kind_of
from backends.services import target_specs
from backends.targets import target_texts


class RouteTargetInline(TabularInline):
    """The targets of a route, in fallback order."""

    model = RouteTarget
    form = RouteTargetForm
    formset = RouteTargetFormSet
    verbose_name = "target"
    verbose_name_plural = "targets, in fallback order; those of the same position share by weight"

    def get_formset(self, request: HttpRequest, obj: Route | None = None, **kwargs: Any) -> Any:
        """A route without a target would lead nowhere."""
        formset: Any = super().get_formset(request, obj, min_num=1, validate_min=True, **kwargs)
        widget = formset.form.base_fields["backend"].widget
        widget.can_add_related = widget.can_change_related = widget.can_view_related = False
        return formset

    def get_extra(self, request: HttpRequest, obj: Route | None = None, **kwargs: Any) -> int:
        """An empty line to begin with; later the link below the table adds one."""
        return 0


@admin.register(Route)
class RouteAdmin(ModelAdmin):
    """Rules: model pattern → ordered targets."""

    form = RouteForm
    inlines = (RouteTargetInline,)
    list_display = ("pattern", "goes_to", "sort", "template", "is_enabled", "updated_at")
    list_filter = ("is_enabled",)
    search_fields = ("pattern",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the targets, so that the list needs no query a row."""
        return super().get_queryset(request).select_related("template").prefetch_related("targets__backend")

    @admin.display(description="goes to")
    def goes_to(self, row: Route) -> str:
        """The targets in fallback order, as `routes add` takes them."""
        return " → ".join(target_texts(target_specs(row)))

    @admin.display(description="kind")
    def sort(self, row: Route) -> str:
        """An alias, a pattern, or the default route."""
        return kind_of(row.pattern)

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool) -> None:
        """After the targets are stored: say where a request would go now."""
        super().save_related(request, form, formsets, change)
        route: Route = form.instance
        for formset in formsets:
            for warning in getattr(formset, "warnings", ()):
                self.message_user(request, warning, messages.WARNING)
        if route.is_alias:
            preview = preview_of({"model": route.pattern})
            self.message_user(request, preview.title, messages.INFO)

    def get_urls(self) -> list[URLPattern]:
        """The preview beside the usual pages."""
        view = self.admin_site.admin_view(self.preview)
        return [path("preview/", view, name="backends_route_preview"), *super().get_urls()]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """What would happen to a request, and why. Reads only, so GET is right."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = PreviewForm(request.GET if request.GET.get("model", "").strip() else None)
        shown: Preview | None = preview_of(form.cleaned_data) if form.is_bound and form.is_valid() else None
        context = {
            **self.admin_site.each_context(request),
            "title": "Where would it go?",
            "opts": self.opts,
            "form": form,
            "preview": shown,
        }
        return render(request, "admin/backends/route/preview.html", context)
