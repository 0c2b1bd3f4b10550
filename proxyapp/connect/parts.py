"""The words of `connect`: where things are, what a tool is to be told, and how a tool's files change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

PLACEHOLDER = "patchbay"
"""What a tool gets as its key where it insists on one and Patchbay asks for none."""
KEY_TO_COME = "***"
"""Stands for a client key that will be made after the yes."""
KEY_HEADER = "x-patchbay-key"
UNKNOWN_FORMAT = "Is it of another version than Patchbay knows? Nothing was changed."
UNSAFE_TO_EDIT = (
    "it is written in a way that cannot be edited safely. Nothing was changed; docs/connect.md says what to add by"
    " hand."
)


class ConnectError(Exception):
    """The tool cannot be connected. The text is one line that says why and what to do; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whose configuration, on which machine."""

    home: Path
    environ: Mapping[str, str]
    patchbay_home: Path
    platform: str = "linux"  # as in sys.platform

    def folder(self, variable: str, *default: str) -> Path:
        """The folder that an environment variable names, else one below the home directory."""
        return Path(self.environ.get(variable) or self.home.joinpath(*default)).expanduser()

    @property
    def config(self) -> Path:
        """The folder of configurations by the XDG base directory specification."""
        return self.folder("XDG_CONFIG_HOME", ".config")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a tool is to be told. `url` has no version; the first of `models` is the one to use by default.

    `key` is "" where Patchbay asks for none. `serves_own`: whether the names that the tool asks for by itself are
    answered, so that no model has to be named. `callers_login`: whether the tool's own login is what pays upstream,
    so it must stay where it is.
    """

    url: str
    key: str = field(default="", repr=False)
    models: tuple[str, ...] = ()
    serves_own: bool = True
    callers_login: bool = False

    @property
    def token(self) -> str:
        """The key, or what stands in for one."""
        return self.key or PLACEHOLDER

    @property
    def model(self) -> str:
        """The model to use by default; "" leaves the tool's own choice."""
        return self.models[0] if self.models else ""

    @property
    def openai_url(self) -> str:
        """The base URL for tools that speak an OpenAI API."""
        return f"{self.url}/v1"


@dataclass(frozen=True, slots=True)
class Edit:
    """One file of a tool. `rewrite` takes its text ("" when it does not exist) and returns the new one.

    Of a file that `is_secret`, nothing is ever shown.
    """

    path: Path
    rewrite: Callable[[str], str]
    is_secret: bool = False


class Needs(StrEnum):
    """Whether a tool must be told a model."""

    ALWAYS = "always"
    UNLESS_SERVED = "unless served"  # not if the names it asks for by itself are answered
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that can be connected.

    `dialect` is what it speaks, a key of `proxyapp.asking.DIALECTS`. `own_model` is a name of the kind that it asks
    for without being told. `keeps_key`: whether a key may stand in its files. A tool without edits can only be told
    about: its notes say what works and what does not.
    """

    name: str
    title: str
    dialect: str
    edits: Callable[[Place, Wish], list[Edit]] = lambda place, wish: []
    notes: Callable[[Place, Wish], list[str]] = lambda place, wish: []
    needs_model: Needs = Needs.ALWAYS
    own_model: str = ""
    keeps_key: bool = True
    is_guide: bool = False
