"""Buttons on an object's admin page: POST forms with a CSRF token. A link never acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse

from backends.django_types import ModelAdmin
from backends.services import ServiceError


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a button did: a line for the message box."""

    text: str
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Button:
    """One button. `run` calls a service; `shown` says for which objects the button is there.

    `question`: what has to be answered with yes first, on a page of its own.
    """

    name: str
    label: str
    run: Callable[[Any], Pressed]
    shown: Callable[[Any], bool] = lambda row: True
    is_change: bool = False  # whether the object's history gets a line
    question: str = ""


class ObjectButtons(ModelAdmin):
    """A ModelAdmin with `buttons` on its change page."""

    buttons: Sequence[Button] = ()
    change_form_template = "admin/object_buttons.html"

    def get_urls(self) -> list[URLPattern]:
        """One POST address for all buttons of the model."""
        view = self.admin_site.admin_view(self.press)
        own = path("<path:object_id>/do/<slug:name>/", view, name=self._url_name)
        return [own, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Give the template its buttons."""
        row = self.get_object(request, object_id)
        may = row is not None and self.has_change_permission(request, row)
        shown = [
            {"label": button.label, "url": reverse(f"admin:{self._url_name}", args=[object_id, button.name])}
            for button in (self.buttons if may else ())
            if button.shown(row)
        ]
        return super().change_view(
            request, object_id, form_url, {"object_buttons": shown, **(extra_context or {})}
        )

    def press(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Run a button and go back to the page with its message."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, object_id)
        button = next((found for found in self.buttons if found.name == name), None)
        if row is None or button is None:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[quote(row.pk)])
        if button.question and "confirmed" not in request.POST:
            return self._ask(request, button, row, back)
        pressed = run_safely(button, row)
        if button.is_change and pressed.ok:
            self.log_change(request, row, pressed.text)
        self.message_user(request, pressed.text, messages.SUCCESS if pressed.ok else messages.ERROR)
        return HttpResponseRedirect(back)

    def _ask(self, request: HttpRequest, button: Button, row: Model, back: str) -> HttpResponse:
        """The page with the question; its yes is the same POST again."""
        context = {
            **self.admin_site.each_context(request),
            "title": button.label,
            "opts": self.opts,
            "question": button.question,
            "row": row,
            "back": back,
        }
        return render(request, "admin/confirm_button.html", context)

    def press_for_all(self, request: HttpRequest, name: str, rows: Any) -> None:
        """A bulk action: the same button for each selected row, one message each."""
        button = next(found for found in self.buttons if found.name == name)
        for row in rows:
            pressed = run_safely(button, row)
            if button.is_change and pressed.ok:
                self.log_change(request, row, pressed.text)
            self.message_user(request, pressed.text, messages.SUCCESS if pressed.ok else messages.ERROR)

    @property
    def _url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_press"


def run_safely(button: Button, row: Model) -> Pressed:
    """The button's result; what a service refuses is a result too."""
    try:
        return button.run(row)
    except ServiceError as exc:
        return Pressed(str(exc), ok=False)
