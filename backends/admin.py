"""Routes in the admin, with a preview by the router's own decision. Backends are registered by `accounts`,
whose credentials their buttons need.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path

from backends.django_types import ModelAdmin, ModelForm, TabularInline
from backends.forms import RouteForm, RouteTargetForm, RouteTargetFormSet
from backends.models import Route, RouteTarget
from backends.services import route_preview, route_warnings
from backends.wire.kinds import Protocol

MAX_MODEL_NAME = 200


class RouteTargetInline(TabularInline):
    """The targets of a route, in fallback order."""

    model = RouteTarget
    form = RouteTargetForm
    formset = RouteTargetFormSet
    verbose_name = "target"
    verbose_name_plural = "targets, in fallback order"

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
    list_display = ("pattern", "goes_to", "sort", "is_enabled", "updated_at")
    list_filter = ("is_enabled",)
    search_fields = ("pattern",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the targets, so that the list needs no query a row."""
        return super().get_queryset(request).prefetch_related("targets__backend")

    @admin.display(description="goes to")
    def goes_to(self, row: Route) -> str:
        """The targets in fallback order."""
        return " → ".join(str(target) for target in row.targets.all())

    @admin.display(description="kind")
    def sort(self, row: Route) -> str:
        """An alias, a pattern, or the default route."""
        return "alias" if row.is_alias else "default" if row.pattern == "*" else "pattern"

    def save_related(self, request: HttpRequest, form: ModelForm, formsets: Any, change: bool) -> None:
        """After the targets are stored: say where a request would go now."""
        super().save_related(request, form, formsets, change)
        route: Route = form.instance
        for warning in route_warnings(route):
            self.message_user(request, warning, messages.WARNING)
        if route.is_alias:
            self.message_user(request, route_preview(route.pattern, Protocol.OPENAI).text, messages.INFO)

    def get_urls(self) -> list[URLPattern]:
        """The preview beside the usual pages."""
        view = self.admin_site.admin_view(self.preview)
        return [path("preview/", view, name="backends_route_preview"), *super().get_urls()]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """Where a model would go. Reads only, so GET is right."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        model = request.GET.get("model", "")[:MAX_MODEL_NAME]
        asked = request.GET.get("protocol", "")
        protocol = Protocol(asked) if asked in set(Protocol) else Protocol.OPENAI
        context = {
            **self.admin_site.each_context(request),
            "title": "Where would it go?",
            "opts": self.opts,
            "model": model,
            "protocol": protocol.value,
            "preview": route_preview(model, protocol) if model.strip() else None,
        }
        return render(request, "admin/backends/route/preview.html", context)
