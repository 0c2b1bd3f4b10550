"""Form fields and forms for backends and routes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from backends.django_types import ModelForm
from backends.models import Backend
from backends.presets import PRESETS, find_preset
from backends.services import ServiceError, refuse_own_address

GLOBS_HELP = "One a line, such as gpt-* or o3. Empty: every model."


class ReadField(forms.CharField):
    """A text that `to_python` reads into something else: what counts is what it says, whatever its layout."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the two mean something else; what cannot be read does."""
        try:
            return bool((initial or self.to_python("")) != self.to_python(data))
        except ValidationError:
            return True


class GlobsField(ReadField):
    """A list of globs, typed one a line or with commas."""

    widget = forms.Textarea(attrs={"rows": 3, "cols": 40, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        """A list as lines."""
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Lines as a list."""
        text = value if isinstance(value, str) else ""
        return [part.strip() for part in text.replace(",", "\n").splitlines() if part.strip()]


class BackendForm(ModelForm):
    """A backend; for a known name the base URL and protocol may be left empty."""

    base_url = forms.CharField(
        label="Base URL",
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"size": 60, "spellcheck": "false"}),
        help_text=(
            "OpenAI: ends in the version (https://api.openai.com/v1). Anthropic: without it."
            f" May stay empty for a known name: {', '.join(sorted(PRESETS))}."
        ),
    )
    model_globs = GlobsField(label="Models", required=False, help_text=GLOBS_HELP)

    class Meta:
        model = Backend
        fields = (
            "name",
            "base_url",
            "protocol",
            "is_enabled",
            "model_globs",
            "responses",
            "capabilities",
            "strategy",
            "connect_timeout_s",
            "first_byte_timeout_s",
            "first_byte_plain_timeout_s",
            "idle_timeout_s",
            "redacts",
            "keeps_bodies",
        )

    def clean_capabilities(self) -> Any:
        """Empty: nothing is said."""
        return self.cleaned_data["capabilities"] or {}

    def clean(self) -> dict[str, Any] | None:
        """Fill in what a known name tells; refuse our own address."""
        data = super().clean() or {}
        found = find_preset(data.get("name", ""))
        if not data.get("base_url") and "base_url" not in self.errors:
            if found is None:
                self.add_error("base_url", "This name is not a known provider, so it needs a base URL.")
            else:
                data["base_url"], data["protocol"] = found[1].base_url, found[1].protocol.value
        if found and not self.instance.pk:
            self.instance.preset = found[0]
        return data

    def _post_clean(self) -> None:
        """After the row has been checked: it must not be Patchbay itself."""
        super()._post_clean()  # type: ignore[misc]  # not in the stubs
        if self.errors:
            return
        try:
            refuse_own_address(self.instance)
        except ServiceError as exc:
            self.add_error("base_url", ValidationError(str(exc)))
