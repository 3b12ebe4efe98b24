"""Fills in what docs/reference/python.md takes from the code: `python docs/api.py`.

The page says by comments what stands where, and is hand-written beside them:

    <!-- verb mailqueue.queue.Queue.submit -->     signature, docstring, arguments, errors
    <!-- class mailqueue.queue.Queue -->           the same of its constructor
    <!-- fields mailqueue.model.message.Message --> docstring and a table of its fields
    <!-- errors -->                                the tree of exceptions

each up to the next `<!-- end -->`. `tests/test_reference.py` fails where the page is not what this makes.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "reference/python.md"
MARKED = re.compile(r"<!-- (verb|class|fields|errors) ?(\S*) -->\n.*?<!-- end -->", re.DOTALL)
_SECTION = re.compile(r"^(Args|Raises|Raises, at first use|Attributes|Returns):\n", re.MULTILINE)
_ITEM = re.compile(r"([\w., ]+): ")
_WIDTH = 88


def filled(text: str) -> str:
    """Return the page with everything between the comments made anew."""

    def made(found: re.Match[str]) -> str:
        kind, name = found.groups()
        body = "\n\n".join(_MAKERS[kind](name))
        return f"<!-- {kind}{' ' * bool(name)}{name} -->\n\n{body}\n\n<!-- end -->"

    return MARKED.sub(made, text)


def resolved(name: str) -> Any:
    """Return what a dotted name stands for."""
    module, names = name, []
    while True:
        try:
            found: Any = import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            names.insert(0, last)
    for each in names:
        found = getattr(found, each)
    return found


# --- verbs and classes ------------------------------------------------------------------------
def verb(name: str) -> Iterator[str]:
    """Yield the parts of the description of a function or method."""
    found = resolved(name)
    prefix = "async " * inspect.iscoroutinefunction(found)
    yield _fenced(f"{prefix}{name.rpartition('.')[2]}", inspect.signature(found))
    yield from _described(inspect.getdoc(found) or "")


def class_(name: str) -> Iterator[str]:
    """Yield the parts of the description of a class and its constructor."""
    found = resolved(name)
    signature = inspect.signature(found.__init__)
    yield _fenced(found.__name__, signature.replace(return_annotation=inspect.Signature.empty))
    yield from _described(inspect.getdoc(found) or "")


def _fenced(name: str, signature: inspect.Signature) -> str:
    """Return a signature as a block; one parameter a line where it is too long for one."""
    parts = []
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        if each.name != "self":
            parts.append(_parameter(each))
    returns = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) > _WIDTH:
        line = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"
    return f"```py\n{line}\n```"


def _parameter(each: inspect.Parameter) -> str:
    default = "" if each.default is each.empty else f" = {_default(each.default)}"
    stars = "**" if each.kind is each.VAR_KEYWORD else ""
    return f"{stars}{each.name}: {each.annotation}{default}"


def _default(value: object) -> str:
    return repr(value.value) if isinstance(value, StrEnum) else repr(value)


def _described(doc: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring; its sections as lists."""
    before, *sections = _SECTION.split(doc)
    yield _joined(before)
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title.startswith("Raises"):
            yield f"{title}:"
        yield "\n".join(map(_item, re.split(r"\n(?! )", textwrap.dedent(body).strip())))


def _item(text: str) -> str:
    """Return `name: text` as an item of a list, the names as code."""
    text = " ".join(text.split())
    found = _ITEM.match(text)
    assert found, f"{text!r} does not begin with a name"
    names = ", ".join(f"`{name}`" for name in found[1].split(", "))
    return f"- {names}: {text[found.end() :]}"


def _joined(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


# --- nouns ------------------------------------------------------------------------------------
def noun(name: str) -> Iterator[str]:
    """Yield the docstring of a dataclass and the table of its fields and properties."""
    found = resolved(name)
    yield _joined(_SECTION.split(inspect.getdoc(found) or "")[0])
    rows = [f"| `{field}` | `{kind}` | {text} |" for field, kind, text in described_fields(found)]
    yield "\n".join(("| field | type | meaning |", "| --- | --- | --- |", *rows))


def described_fields(noun: type) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and docstring of every field, then of every property and method."""
    assert is_dataclass(noun)
    body = ast.parse(textwrap.dedent(inspect.getsource(noun))).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = dict(_attributes(inspect.getdoc(noun) or ""))
    for this, following in zip(body.body, body.body[1:], strict=False):
        match this, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = " ".join(text.split())
    for field in fields(noun):
        yield field.name, str(field.type).replace("|", r"\|"), texts.get(field.name, "")
    for name, member in vars(noun).items():
        if name.startswith("_") or not (isinstance(member, property) or inspect.isfunction(member)):
            continue
        function: Callable[..., object] = member.fget if isinstance(member, property) else member  # type: ignore[assignment]
        call = name if isinstance(member, property) else f"{name}()"
        kind = str(inspect.signature(function).return_annotation).replace("|", r"\|")
        yield call, kind, _joined(inspect.getdoc(function) or "").split("\n\n")[0]


def _attributes(doc: str) -> Iterator[tuple[str, str]]:
    """Yield the fields that a class's docstring describes, where they have none of their own."""
    parts = _SECTION.split(doc)
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        if title == "Attributes":
            for text in re.split(r"\n(?! )", textwrap.dedent(body).strip()):
                name, _, meaning = " ".join(text.split()).partition(": ")
                yield name, meaning[0].upper() + meaning[1:]


def tree(_: str) -> Iterator[str]:
    """Yield the exceptions, each below what it is a kind of."""
    errors = import_module("mailqueue.errors")
    lines = []
    for name, error in vars(errors).items():
        if isinstance(error, type) and error.__module__ == errors.__name__:
            depth = len([each for each in error.__mro__ if each.__module__ == errors.__name__]) - 1
            also = [each.__name__ for each in error.__bases__ if each.__module__ == "builtins"]
            kin = f" (also a `{also[0]}`)" if also and also != ["Exception"] else ""
            text = _joined(inspect.getdoc(error) or "").split("\n\n")[0]
            lines.append(f"{'  ' * depth}- `{name}`{kin}: {text}")
    yield "\n".join(lines)


_MAKERS: dict[str, Callable[[str], Iterator[str]]] = {
    "verb": verb,
    "class": class_,
    "fields": noun,
    "errors": tree,
}


def main() -> int:
    """Fill in the page."""
    PAGE.write_text(filled(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
