"""The command ``cache``: what is kept in the cache folder, and how it is deleted.

Each function below answers with the text to print and the exit code; nothing is made by looking.
"""

from __future__ import annotations

import calendar
import time
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.command import add_shared_options, answer, cache_root
from pytest_dockerbin.entries import Entries
from pytest_dockerbin.settings import read_age, read_size
from pytest_dockerbin.store import VERSION, collect, has_store, session_sizes
from pytest_dockerbin.tables import plain, size_text, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pytest_dockerbin.command import Answer
    from pytest_dockerbin.entries import Entry

_SHORT = 12  # signs of a key for a person, as docker shows them
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add ``cache`` and its actions to a parser; each sets ``answer`` to its function."""
    cache = commands.add_parser(
        "cache",
        help="show or delete what the cache folder holds",
        description="Show or delete what the cache folder holds.",
    )
    actions = cache.add_subparsers(metavar="ACTION", required=True, title="actions")
    for name, function, text in (
        ("dir", _dir, "print the path of the cache folder"),
        ("list", _list, "list the results of earlier sessions that are kept for later ones"),
        ("verify", _verify, "compare every byte of these results with its digest"),
        ("gc", _gc, "delete what is old or too much, and what ended sessions left"),
        ("clear", _clear, "delete all results, and what ended sessions left"),
    ):
        action = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        action.set_defaults(answer=function)
        add_shared_options(action)
    actions.choices["verify"].add_argument(
        "--delete", action="store_true", help="delete what is damaged"
    )
    actions.choices["gc"].add_argument(
        "--max-age", metavar="AGE", default="14 d", help="longest time unused (default: 14 d)"
    )
    actions.choices["gc"].add_argument(
        "--max-size", metavar="SIZE", default="5 GiB", help="most bytes to keep (default: 5 GiB)"
    )


# -- actions ---------------------------------------------------------------------------------------


def _dir(args: argparse.Namespace) -> Answer:
    root = cache_root(args)
    return answer(args, {"cache_dir": str(root)}, [str(root)])


def _list(args: argparse.Namespace) -> Answer:
    root = cache_root(args)
    entries = sorted(_entries(root), key=lambda entry: (-entry.used, entry.key))
    sessions = _sessions(root)
    results = [_facts(entry) for entry in entries]
    data = {
        "cache_dir": str(root),
        "results": results,
        "sessions": {"count": len(sessions), "size": sum(sessions.values())},
    }
    lines: list[str] = []
    if results:
        lines = table(
            ("KEY", "PLATFORM", "FILES", "SIZE", "LAST USED", "BUILT FROM"),
            [_row(facts) for facts in results],
            right=("FILES", "SIZE"),
        )
    lines.append(
        f"{_several(_sizes(entries), 'result')}, {_several(sessions, 'session')} in {root}"
    )
    return answer(args, data, lines)


def _verify(args: argparse.Namespace) -> Answer:
    root = cache_root(args)
    entries = Entries(root / VERSION)
    results, lines = [], []
    for entry in _entries(root):
        damage = entry.damage()
        if damage and args.delete:
            entries.discard(entry.key)
        results.append(
            {"key": entry.key, "damage": damage, "deleted": bool(damage and args.delete)}
        )
        if damage:
            lines.append(f"{'deleted' if args.delete else 'damaged'}: {entry.key}: {plain(damage)}")
    damaged = len(lines)
    lines.append(f"{len(results) - damaged} of {len(results)} results are whole")
    code = 1 if damaged and not args.delete else 0
    return answer(args, {"cache_dir": str(root), "results": results}, lines, code)


def _gc(args: argparse.Namespace) -> Answer:
    max_age = read_age(args.max_age, "--max-age")
    max_size = read_size(args.max_size, "--max-size")
    return _deleting(args, lambda entries: entries.collect(max_age=max_age, max_size=max_size))


def _clear(args: argparse.Namespace) -> Answer:
    return _deleting(args, Entries.clear)


def _deleting(args: argparse.Namespace, delete: Callable[[Entries], object]) -> Answer:
    root = cache_root(args)
    before, sessions = _sizes(_entries(root)), _sessions(root)
    if has_store(root):
        collect(root)
        delete(Entries(root / VERSION))
    gone = {key: before[key] for key in before.keys() - _sizes(_entries(root)).keys()}
    ended = {name: sessions[name] for name in sessions.keys() - _sessions(root).keys()}
    freed = sum(gone.values()) + sum(ended.values())
    data = {
        "cache_dir": str(root),
        "deleted_results": len(gone),
        "deleted_sessions": len(ended),
        "freed": freed,
    }
    text = f"deleted {_several(gone, 'result')}, {_several(ended, 'session')}"
    return answer(args, data, [f"{text}; freed {size_text(freed)} in {root}"])


# -- what is there ---------------------------------------------------------------------------------


def _entries(root: Path) -> Iterable[Entry]:
    return list(Entries(root / VERSION)) if has_store(root) else []


def _sessions(root: Path) -> Mapping[str, int]:
    return session_sizes(root) if has_store(root) else {}


def _sizes(entries: Iterable[Entry]) -> Mapping[str, int]:
    return {entry.key: entry.size for entry in entries}


def _facts(entry: Entry) -> dict[str, Any]:
    manifest = entry.manifest()
    return {
        "key": entry.key,
        "platform": str(manifest.platform) if manifest else None,
        "files": len(manifest.files) if manifest else None,
        "size": entry.size,
        "last_used": time.strftime(_TIME, time.gmtime(entry.used)),
        "built_from": entry.label() or None,
    }


# -- how it is told --------------------------------------------------------------------------------


def _row(facts: Mapping[str, Any]) -> tuple[str, ...]:
    used = time.strptime(facts["last_used"], _TIME)
    return (
        facts["key"][:_SHORT],
        facts["platform"] or "damaged",
        "?" if facts["files"] is None else str(facts["files"]),
        size_text(facts["size"]),
        time.strftime("%Y-%m-%d %H:%M", time.localtime(calendar.timegm(used))),
        plain(facts["built_from"] or ""),
    )


def _several(sizes: Mapping[str, int], noun: str) -> str:
    """Return ``2 results (1.5 MiB)``."""
    count = len(sizes)
    return f"{count} {noun}{'' if count == 1 else 's'} ({size_text(sum(sizes.values()))})"
