"""Forms for routes: their fields, and what is checked before anything is saved."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.models import ClientKey
from backends.conditions import FEATURES, BadCondition, parse_conditions
from backends.django_types import InlineFormSet, ModelForm
from backends.forms import ReadField
from backends.models import Route, RouteTarget
from backends.services import route_findings
from backends.targets import BadTarget, TargetSpec, conditions_text, parse_conditions_text
from backends.wire.kinds import Protocol

MAX_MODEL_NAME = 200
CONDITIONS_HELP = "needs=tools,images&min_tokens=100000&hours=22:00-06:00&days=fri&keys=ci. Empty: always."
ANYWAY_HELP = "Tick this after reading the warnings above; without warnings it changes nothing."


class ConditionsField(ReadField):
    """Conditions, typed as `routes add` takes them."""

    widget = forms.TextInput(attrs={"size": 40, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        """Stored conditions as text; what somebody typed stays."""
        if not isinstance(value, dict):
            return value
        try:
            return conditions_text(parse_conditions(value))
        except BadCondition:
            return ""  # a restored database: the operator says them anew

    def to_python(self, value: Any) -> Any:
        """The text as stored."""
        try:
            return parse_conditions_text(value if isinstance(value, str) else "").as_json()
        except BadTarget as exc:
            raise ValidationError(str(exc)) from exc


class RouteTargetForm(ModelForm):
    """One line of a route."""

    position = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=32_767,
        help_text="Fallback order. Empty: below the others.",
        widget=forms.NumberInput(attrs={"class": "vIntegerField"}),
    )
    weight = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=32_767,
        initial=1,
        help_text="Share among targets of the same position.",
        widget=forms.NumberInput(attrs={"class": "vIntegerField"}),
    )
    conditions = ConditionsField(required=False, help_text=CONDITIONS_HELP)

    class Meta:
        model = RouteTarget
        fields = ("position", "backend", "model", "weight", "conditions")
        widgets = {"model": forms.TextInput(attrs={"size": 40, "spellcheck": "false"})}

    def clean_weight(self) -> int:
        """Empty: 1."""
        return self.cleaned_data["weight"] or 1

    def spec(self) -> TargetSpec:
        """The target as the checks take it. Only after it was cleaned."""
        data = self.cleaned_data
        conditions = parse_conditions(data["conditions"])
        return TargetSpec(data["backend"].name, data["model"], data["weight"], data["position"], conditions)


class RouteTargetFormSet(InlineFormSet):
    """The targets of one route. A new line goes below the others; warnings have to be read before they are saved."""

    warnings: tuple[str, ...] = ()

    def clean(self) -> None:
        """Check the whole route: pattern and targets. Raises ValidationError."""
        super().clean()
        if any(self.errors):
            return
        lines = [form for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        self._place(lines)
        keys = set(ClientKey.objects.filter(revoked_at=None).values_list("name", flat=True))
        specs = sorted((line.spec() for line in lines), key=lambda spec: spec.position)
        findings = route_findings(self.instance.pattern, specs, keys)
        if findings.errors:
            raise ValidationError(list(findings.errors))
        self.warnings = findings.warnings
        if self.warnings and not self.data.get("save_anyway"):
            cure = "Nothing was saved. Correct the route, or tick “Save in spite of warnings” and save again."
            raise ValidationError([*self.warnings, cure])

    def _place(self, lines: list[Any]) -> None:
        """Lines without a position go below those that have one, each by itself."""
        placed = [line.cleaned_data["position"] for line in lines]
        last = max((position for position in placed if position is not None), default=-1)
        for line, position in zip(lines, placed, strict=True):
            if position is None:
                last += 1
                line.cleaned_data["position"] = line.instance.position = last


class RouteForm(ModelForm):
    """A route's own fields; its targets are inline."""

    save_anyway = forms.BooleanField(label="Save in spite of warnings", required=False, help_text=ANYWAY_HELP)

    class Meta:
        model = Route
        fields = ("pattern", "template", "is_enabled")
        widgets = {"pattern": forms.TextInput(attrs={"size": 40, "spellcheck": "false"})}


class PreviewForm(forms.Form):
    """A request that somebody imagines. Read only."""

    model = forms.CharField(
        label="Where would a model go?",
        max_length=MAX_MODEL_NAME,
        widget=forms.TextInput(
            attrs={"placeholder": "claude-opus-4", "spellcheck": "false", "autocapitalize": "off"}
        ),
    )
    protocol = forms.ChoiceField(
        label="asked over",
        required=False,
        choices=[
            ("", "its own protocol"),
            (Protocol.OPENAI.value, "OpenAI"),
            (Protocol.ANTHROPIC.value, "Anthropic"),
        ],
    )
    key = forms.CharField(label="with client key", max_length=64, required=False)
    tokens = forms.IntegerField(label="tokens", min_value=0, max_value=100_000_000, required=False)
    at = forms.CharField(
        label="at",
        max_length=20,
        required=False,
        widget=forms.TextInput(attrs={"placeholder": "fri 23:00", "size": 10}),
    )
    session = forms.CharField(label="session", max_length=80, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for word in FEATURES:
            self.fields[word] = forms.BooleanField(label=word, required=False)
