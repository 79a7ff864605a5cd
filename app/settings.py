"""
Settings: ``config.yaml``, the environment and the flags become one frozen :class:`Settings`.

A flag of the same name overrides the file; secrets come from the environment only, the file names the variables.
All mistakes are found in one pass and told together (:class:`SettingsError`). config.example.yaml explains every key.
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from app.secret_files import SUFFIX, SecretFileError, read_secret
from app.setting_rules import BEAT, CAPS, ENDPOINT, ENV, FLAT, Rule
from core.secrets import Secret, remember
from execution.caps import Caps
from runner.heartbeat import Auth, Endpoint, HeartbeatSettings, checked_url
from runner.mistakes import Explained, Mistake, render_text
from venues import VENUES, open_room

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

MAX_BYTES: Final = 1_000_000
PRICE_BAND_BPS: Final = 1_000
"""Ten percent, where the config says nothing."""
_KINDS: Final = {"null": "nothing", "map": "a group of keys", "seq": "a list"}
_SHOWN: Final[Mapping[str, Rule]] = {**FLAT, **CAPS, **BEAT}
"""Settings whose lines may be shown beside a mistake."""
_SECRET_KEY: Final = re.compile(r"(key|secret|token|passphrase|password|seed_hex|mnemonic)s?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a run is told from outside. It holds no account key: :func:`read_account` reads those."""

    venue: str = "backpack"
    symbol: str = "SOL"
    market: str = "perp"
    mode: str = "tracking_limit"
    qty: Decimal | None = None
    """Base units; None is the smallest size the venue allows (``min``)."""
    side: str = "buy"
    on: str = "sim"
    seed: int | None = None
    """None: the scenario's own, or one drawn for the run."""
    speed: float = 1.0
    interval_secs: float = 10.0
    timeout_secs: float = 120.0
    max_attempts: int = 12
    price_offset_ticks: int = 0
    state_dir: Path = Path("state")
    runs_dir: Path = Path("runs")
    logs_dir: Path = Path("logs")
    locks_dir: Path | None = None
    """One folder for all runs of this user; None: :func:`locks_folder` says where."""
    control_port: int | None = 0
    """Loopback port of a run's halt endpoint: 0 is a free one, None none at all."""
    log_level: str = "INFO"
    log_json: bool = False
    caps: Caps = field(default_factory=lambda: Caps(price_band_bps=PRICE_BAND_BPS))
    heartbeat: HeartbeatSettings = field(default_factory=HeartbeatSettings)
    accounts: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Venue → credential → name of the environment variable, where it differs from the venue's usual name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The credentials of one venue, as the environment has them."""

    venue: str
    secrets: Mapping[str, Secret]
    """Credential → value, for those that are set."""
    missing: tuple[str, ...]
    """Environment variables that are not set or empty."""


class SettingsError(Exception):
    """
    The settings cannot be used; nothing was started. ``mistakes`` has every fault: the file's, then the flags'.

    ``sources`` has the file's text by its name, with everything covered that is no known, harmless setting.
    """

    def __init__(self, mistakes: Iterable[Mistake], sources: Mapping[str, str] = MappingProxyType({})) -> None:
        self.mistakes = tuple(mistakes)
        self.sources = sources
        super().__init__(*self.mistakes)

    def __str__(self) -> str:
        return render_text(self.mistakes, self.sources, files=1)


SETTINGS_CODES: Final[Mapping[str, Explained]] = {
    "LIVE_NEEDS_CAPS": Explained(
        "A live run spends real money, so it needs limits.",
        "Set both order_notional_usd and total_notional_usd under caps.",
        "caps: {order_notional_usd: 25, total_notional_usd: 100}",
    ),
    "SECRET_FILE": Explained(
        "A file that holds a secret cannot be used: it is missing, no text, or others on the machine may read it.",
        "Make the file private to you, and check the name in the variable that ends in _FILE.",
        "chmod 600 backpack.secret",
    ),
    "MISSING_SECRET": Explained(
        "The settings name an environment variable that is not set.",
        "Set the variable before you start, or take the endpoint out.",
        "export HEARTBEAT_TOKEN=…",
    ),
}
"""What ``runner explain`` says about the codes that scenarios do not have."""


# -- reading


class _Reader:
    """Walks the nodes of one file and collects values and mistakes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.source = ""
        self.mistakes: list[Mistake] = []

    def fault(self, code: str, message: str, node: Node | None = None, **more: Any) -> None:
        mark = node.start_mark if node is not None else None
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        one_line = node is not None and isinstance(node.value, str) and node.end_mark.line == node.start_mark.line
        length = node.end_mark.column - node.start_mark.column if node is not None and one_line else 0
        place: dict[str, Any] = {"file": self.file, "line": line, "column": column, "length": length} | more
        self.mistakes.append(Mistake(code=code, message=message, **place))

    def table(self, node: Node | None, known: Iterable[str] | None, where: str) -> dict[str, tuple[Node, Node]]:
        """Key → (key, value) of a mapping; ``known`` None lets every key through."""
        if node is None or _tag(node) == "null":
            return {}
        name = f"`{where}`" if where else "The file"
        if _tag(node) != "map":
            self.fault("WRONG_TYPE", f"{name} must be a list of `key: value` lines.", node)
            return {}
        found: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            word = key.value if isinstance(key.value, str) else ""
            dotted = f"{where}.{word}" if where else word
            if word in found:
                self.fault("DUPLICATE_KEY", f"`{dotted}` stands here twice.", key, length=len(word))
            elif known is None or word in known:
                found[word] = (key, value)
            else:
                self.unknown(key, word, dotted, tuple(known))
        return found

    def unknown(self, key: Node, word: str, dotted: str, known: tuple[str, ...]) -> None:
        if _SECRET_KEY.search(word):
            name = f"{word.lower()}_env"
            self.fault(
                "SECRET_IN_FILE",
                f"`{dotted}` looks like a secret, and a secret does not belong into this file (it is not shown here). "
                f"Put it into an environment variable and write the name of that variable here, as `{name}`.",
                key,
                suggestion=name if name in known else None,
                length=len(word),
            )
            return
        near = _nearest(word, known)
        message = f"There is no setting `{dotted[:80]}`."
        self.fault("UNKNOWN_KEY", message, key, suggestion=near, length=max(1, len(word)))

    def value(self, rule: Rule, node: Node, dotted: str) -> Any:
        """The value of a node, or None after recording why there is none."""
        tag = _tag(node)
        if tag == "null" and rule.optional:
            return None
        if tag not in rule.tags or not isinstance(node.value, str):
            found = _KINDS.get(tag) or _shown(node.value, rule)
            if tag == "str" and rule.shown:
                found = f"the text {found}"
            code = rule.code if not rule.shown and tag not in _KINDS else "WRONG_TYPE"
            self.fault(code, f"`{dotted}` has the wrong kind of value.", node, found=found, expected=rule.expected)
            return None
        return self.text(rule, node.value, dotted, node)

    def text(self, rule: Rule, text: str, dotted: str, node: Node | None = None) -> Any:
        try:
            return rule.read(text)
        except ValueError as error:
            near = _nearest(text, rule.options)
            message = f"`{dotted}` does not fit."
            if rule.read is checked_url:
                message = f"`{dotted}` does not fit: {error}."
            elif rule.code == "SECRET_IN_FILE":
                message = f"`{dotted}` holds something that is no variable name (it is not shown here)."
            self.fault(
                rule.code,
                message,
                node,
                found=_shown(text, rule),
                expected=rule.expected,
                suggestion=near,
                length=max(1, len(text)),
            )
            return None

    def section(self, node: Node | None, rules: Mapping[str, Rule], where: str) -> dict[str, Any]:
        """The values given in a section without deeper ones; what is wrong or left out is not in it."""
        given: dict[str, Any] = {}
        for name, (_, value) in self.table(node, rules, where).items():
            read = self.value(rules[name], value, f"{where}.{name}")
            if read is not None or (rules[name].optional and _tag(value) == "null"):
                given[name] = read
        return given


def _tag(node: Node) -> str:
    return str(node.tag).rpartition(":")[2]


def _shown(text: Any, rule: Rule) -> str | None:
    if not rule.shown or not isinstance(text, str):
        return None
    return repr(text if len(text) <= 40 else text[:40] + "…")


def _nearest(word: str, options: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(word[:80].lower(), list(options), n=1, cutoff=0.6)
    return near[0] if near else None


def load_settings(path: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """
    Read the settings.

    Args:
        path: The config file; None for none, then the defaults hold.
        overrides: Flags by setting name (keys of ``FLAT``); None means the flag was not given. Texts are fine.
        environ: Where the heartbeat's tokens and secrets come from; each is masked in all logs from then on.

    Raises:
        SettingsError: with every mistake at once.
    """
    reader = _Reader(str(path) if path is not None else "settings")
    root = _compose(path, reader) if path is not None else None
    sections = ("caps", "heartbeat", "accounts")
    table = reader.table(root, (*FLAT, *sections), "")
    values: dict[str, Any] = {}
    for name, (_, node) in table.items():
        if name in FLAT:
            read = reader.value(FLAT[name], node, name)
            if read is not None or (FLAT[name].optional and _tag(node) == "null"):
                values[name] = read
    nodes = {name: table[name][1] if name in table else None for name in sections}
    values["caps"] = Caps(**{"price_band_bps": PRICE_BAND_BPS, **reader.section(nodes["caps"], CAPS, "caps")})
    heartbeat = _heartbeat(nodes["heartbeat"], reader, environ)
    values["accounts"] = _accounts(nodes["accounts"], reader)
    reader.mistakes.sort(key=lambda mistake: (mistake.line, mistake.column))
    _override(values, overrides, reader)
    heartbeat.setdefault("fallback_file", values.get("logs_dir", Settings().logs_dir) / "heartbeat.jsonl")
    settings = Settings(**values, heartbeat=HeartbeatSettings(**heartbeat))
    if not reader.mistakes:
        _together(settings, reader, table)
    if reader.mistakes:
        raise SettingsError(reader.mistakes, {reader.file: _covered(reader.source)} if reader.source else {})
    return settings


def locks_folder(settings: Settings, environ: Mapping[str, str]) -> Path:
    """
    Where the locks of accounts are: the same for all runs of a user, whatever their state folder, or two of them could
    trade one account. ``locks_dir``, else ``roundtrip/locks`` in the user's folder for state (XDG base directories);
    a user without a home has only the state folder.
    """
    if settings.locks_dir is not None:
        return settings.locks_dir
    # The specification tells programs to ignore a relative path here.
    given = Path(environ.get("XDG_STATE_HOME", ""))
    try:
        state = given if given.is_absolute() else Path("~/.local/state").expanduser()
    except RuntimeError:
        return settings.state_dir / "locks"
    return state / "roundtrip" / "locks"


def _covered(text: str) -> str:
    """A config as it may be shown: only values of known settings that hold no secret and no address; columns stay."""
    return "\n".join(_covered_line(line) for line in re.split(r"\r\n|\n|\r", text))


def _covered_line(line: str) -> str:
    named = re.match(r"\s*(?:-\s+)?([A-Za-z_]+)\s*:", line)
    rule = _SHOWN.get(named[1]) if named else None
    shown = rule is not None and rule.shown
    # A comment may say anything, so none is shown.
    if line.lstrip().startswith("#"):
        return "#"
    comment = re.search(r"\s+#", line) if shown else None
    if comment:
        return line[: comment.start()]
    kept = len(line) if shown else named.end() if named else 0
    return line[:kept] + re.sub(r"\S", "•", line[kept:])


def read_account(settings: Settings, venue: str, environ: Mapping[str, str]) -> Account:
    """
    The credentials of ``venue`` from the environment, under the venue's usual names or those of the config.

    Every value found is masked in all logs from then on.

    Raises:
        SettingsError: SECRET_FILE - a file that holds a secret cannot be used.
    """
    names = {**open_room(venue).CREDENTIALS, **settings.accounts.get(venue, {})}
    found: dict[str, str] = {}
    mistakes = []
    for credential, name in names.items():
        try:
            found[credential] = read_secret(name, environ)
        except SecretFileError as error:
            mistakes.append(Mistake("SECRET_FILE", name + SUFFIX, 1, 1, str(error)))
    if mistakes:
        raise SettingsError(mistakes)
    return Account(
        venue=venue,
        secrets=MappingProxyType({credential: remember(text) for credential, text in found.items() if text}),
        missing=tuple(names[credential] for credential, text in found.items() if not text),
    )


def _compose(path: Path, reader: _Reader) -> Node | None:
    """The node tree of the file: it keeps the exact text of numbers and the place of every word."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        code = {errno.ENOENT: "FILE_MISSING", errno.EISDIR: "FILE_IS_FOLDER"}.get(error.errno or 0, "FILE_UNREADABLE")
        reader.fault(code, f"The config file cannot be opened: {error.strerror or 'it cannot be read'}.")
        return None
    if len(raw) > MAX_BYTES:
        reader.fault("FILE_TOO_BIG", "The config file is larger than 1 MB; this cannot be a config.")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        reader.fault("FILE_ENCODING", "The config file is not UTF-8 text.", line=line, column=column)
        return None

    reader.source = text

    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
        return node
    except MarkedYAMLError as error:
        mark = error.problem_mark
        # What stands in quotes may be a piece of a secret.
        problem = re.sub(r"'[^']{3,}'", "something", str(error.problem or "it cannot be read"))
        place = {} if mark is None else {"line": mark.line + 1, "column": mark.column + 1}
        reader.fault("YAML_SYNTAX", f"This is not valid YAML: {problem}.", **place)
    except YAMLError:
        reader.fault("YAML_SYNTAX", "The config file holds characters that YAML does not allow.")
    except RecursionError:
        reader.fault("YAML_DEEP", "The config file is nested too deeply.")
    return None


def _heartbeat(node: Node | None, reader: _Reader, environ: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, (_, value) in reader.table(node, (*BEAT, "endpoints"), "heartbeat").items():
        if name == "endpoints":
            given[name] = _endpoints(value, reader, environ)
        elif (read := reader.value(BEAT[name], value, f"heartbeat.{name}")) is not None:
            given[name] = read
    settings = HeartbeatSettings(**given)
    if settings.timeout_secs >= settings.interval_secs:
        reader.fault("OUT_OF_RANGE", "`heartbeat.timeout_secs` must be shorter than `heartbeat.interval_secs`.", node)
    return given


def _endpoints(node: Node, reader: _Reader, environ: Mapping[str, str]) -> tuple[Endpoint, ...]:
    if _tag(node) == "null":
        return ()
    if _tag(node) != "seq":
        reader.fault("WRONG_TYPE", "`heartbeat.endpoints` must be a list; begin each entry with `- url:`.", node)
        return ()
    endpoints = []
    for index, item in enumerate(node.value):
        where, before = f"heartbeat.endpoints[{index}]", len(reader.mistakes)
        given = reader.section(item, ENDPOINT, where)
        auth = given["auth"] = Auth(given.get("auth", Auth.NONE))
        if len(reader.mistakes) > before:
            continue
        if "url" not in given:
            reader.fault("MISSING_KEY", f"`{where}` has no `url`.", item)
            continue
        wanted = {Auth.BEARER: "token_env", Auth.HMAC: "secret_env"}.get(auth)
        for name in ("token_env", "secret_env"):
            if name in given and name != wanted:
                reader.fault("OUT_OF_RANGE", f"`{where}.{name}` does not go with `auth: {auth}`.", item)
        if wanted is not None and wanted not in given:
            reader.fault("MISSING_KEY", f"`{where}` has `auth: {auth}` and no `{wanted}`.", item)
        elif wanted is not None:
            given["key"] = _from_environment(given[wanted], where, item, reader, environ)
        endpoints.append(Endpoint(**given))
    return tuple(endpoints)


def _from_environment(name: str, where: str, node: Node, reader: _Reader, environ: Mapping[str, str]) -> Secret | None:
    try:
        text = read_secret(name, environ)
    except SecretFileError as error:
        reader.fault("SECRET_FILE", str(error), node)
        return None
    if not text:
        reader.fault("MISSING_SECRET", f"`{where}` needs the environment variable {name}, and it is not set.", node)
        return None
    secret = remember(text)
    if not text.isascii() or not text.isprintable():
        message = f"The environment variable {name} holds characters that no HTTP header can carry."
        reader.fault("OUT_OF_RANGE", message, node)
    return secret


def _accounts(node: Node | None, reader: _Reader) -> Mapping[str, Mapping[str, str]]:
    accounts: dict[str, Mapping[str, str]] = {}
    if node is None or _tag(node) == "null":
        return MappingProxyType(accounts)
    for venue, (key, value) in reader.table(node, None, "accounts").items():
        if venue not in VENUES:
            reader.fault(
                "UNKNOWN_VENUE",
                f"`accounts` names an exchange that is not here: {venue[:40]!r}.",
                key,
                expected="one of " + ", ".join(VENUES),
                suggestion=_nearest(venue, VENUES),
                length=max(1, len(venue)),
            )
            continue
        rules = {f"{credential}_env": ENV for credential in open_room(venue).CREDENTIALS}
        given = reader.section(value, rules, f"accounts.{venue}")
        accounts[venue] = MappingProxyType({name.removesuffix("_env"): env for name, env in given.items()})
    return MappingProxyType(accounts)


def _override(values: dict[str, Any], overrides: Mapping[str, Any], reader: _Reader) -> None:
    for name, value in overrides.items():
        if value is None:
            continue
        flag = "--" + name.replace("_", "-")
        if name not in FLAT:
            near = _nearest(name, FLAT)
            hint = near and "--" + near.replace("_", "-")
            reader.fault("UNKNOWN_KEY", f"There is no setting `{name[:80]}`.", suggestion=hint, file=flag)
            continue
        before = len(reader.mistakes)
        read = reader.text(FLAT[name], str(value).strip(), name)
        if len(reader.mistakes) > before:
            reader.mistakes[-1] = replace(reader.mistakes[-1], file=flag)
        else:
            values[name] = read


def _together(settings: Settings, reader: _Reader, table: Mapping[str, tuple[Node, Node]]) -> None:
    """What no single value shows."""
    on = table["on"][0] if "on" in table else None
    if settings.on == "live":
        missing = [
            name for name in ("order_notional_usd", "total_notional_usd") if getattr(settings.caps, name) is None
        ]
        if missing:
            words = " and ".join(f"`caps.{name}`" for name in missing)
            wanted = "two limits in USD in config.yaml, like caps: {order_notional_usd: 25, total_notional_usd: 100}"
            reader.fault("LIVE_NEEDS_CAPS", f"A live run needs {words} in the config.", on, expected=wanted)
    if settings.on != "sim" and settings.speed != 1:
        reader.fault("OUT_OF_RANGE", "`speed` is for simulated runs; a real exchange keeps its own time.", on)
