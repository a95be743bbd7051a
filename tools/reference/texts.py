"""What the texts in a module's source can be, without running it. What is known only then is `…`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

HOLE = "…"
# So many ways of saying one sentence are enough; so many names are followed, one to the other.
_WAYS = 6
_DEPTH = 4
_Blocks = tuple[int, ...]


@dataclass(frozen=True)
class Given:
    """A value that a name is given, and in which blocks of the function."""

    value: ast.expr
    blocks: _Blocks = ()


@dataclass
class Scope:
    """What names stand for at one place of a module."""

    names: Mapping[str, list[Given]] = field(default_factory=dict)
    functions: Mapping[str, ast.FunctionDef] = field(default_factory=dict)
    above: Scope | None = None

    def texts(self, node: ast.expr | None, depth: int = _DEPTH) -> list[str]:
        """All that an expression may be as a text."""
        match node:
            case ast.Constant(value=str() as text):
                found = [text]
            case ast.JoinedStr(values=parts):
                found = _joined(self.texts(part, depth) for part in parts)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                found = _joined([self.texts(left, depth), self.texts(right, depth)])
            case ast.IfExp(body=body, orelse=orelse):
                found = [*self.texts(body, depth), *self.texts(orelse, depth)]
            case ast.FormattedValue(value=ast.Name() | ast.IfExp() | ast.Call() as inner):
                found = self.texts(inner, depth)
            case ast.Name(id=name) if depth:
                found = [text for value in self.values(name) for text in self.texts(value, depth - 1)]
            case ast.Call(func=ast.Name(id=name), args=arguments) if depth and name in self.functions:
                found = self._said_by(self.functions[name], arguments, depth)
            case _:
                found = []
        return found or [HOLE]

    def values(self, name: str) -> list[ast.expr]:
        """What a name may have been given."""
        if name in self.names:
            return [given.value for given in self.names[name]]
        return self.above.values(name) if self.above else []

    def _said_by(self, function: ast.FunctionDef, arguments: list[ast.expr], depth: int) -> list[str]:
        """What a function of the module says that does nothing but give a text."""
        match function.body:
            case [ast.Return(value=ast.JoinedStr() as said)]:
                pairs = zip(function.args.args, arguments, strict=False)
                names = {parameter.arg: [Given(value)] for parameter, value in pairs}
                return Scope(names, self.functions, self.above or self).texts(said, depth - 1)
        return [HOLE]


def calls(tree: ast.Module, names: Iterable[str]) -> Iterator[tuple[Scope, ast.Call]]:
    """Each call of a function or class of these names, and what other names stand for there."""
    wanted = set(names)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    module = Scope(_bound(tree.body, ()), functions)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        found: dict[str, list[Given]] = {}
        for statement, blocks in _statements(function.body, (0,)):
            for node in _own(statement):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in wanted:
                    yield Scope({name: _now(values, blocks) for name, values in found.items()}, functions, module), node
            for name, values in _bound([statement], blocks).items():
                found.setdefault(name, []).extend(values)
            if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
                _added(found.get(statement.target.id, []), statement.value)


def _added(values: list[Given], more: ast.expr) -> None:
    """`x += more`: whatever it was, with that behind it."""
    values[:] = [Given(ast.BinOp(given.value, ast.Add(), more), given.blocks) for given in values]


def _now(values: list[Given], blocks: _Blocks) -> list[Given]:
    """Those that can hold here: the last that was given for certain, and what came after it."""
    certain = [index for index, given in enumerate(values) if given.blocks == blocks[: len(given.blocks)]]
    return values[certain[-1] if certain else 0 :]


def _statements(body: list[ast.stmt], blocks: _Blocks) -> Iterator[tuple[ast.stmt, _Blocks]]:
    """The statements in their order, each with the blocks that it is in, from the outermost."""
    for statement in body:
        yield statement, blocks
        for _, inner in ast.iter_fields(statement):
            parts = inner if isinstance(inner, list) else []
            handled = [part.body for part in parts if isinstance(part, ast.ExceptHandler | ast.match_case)]
            plain = [parts] if parts and isinstance(parts[0], ast.stmt) else []
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                for block in [*handled, *plain]:
                    yield from _statements(block, (*blocks, id(block)))


def _own(statement: ast.stmt) -> Iterator[ast.AST]:
    """The expressions of a statement, and not those of the statements within it."""
    for node in ast.iter_child_nodes(statement):
        if not isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from ast.walk(node)


def _bound(statements: Iterable[ast.stmt], blocks: _Blocks) -> dict[str, list[Given]]:
    found: dict[str, list[Given]] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign):
            for name, value in _pairs(statement.targets[0], statement.value):
                found.setdefault(name, []).append(Given(value, blocks))
    return found


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, part in zip(target.elts, value.elts, strict=False):
            yield from _pairs(one, part)


def _joined(pieces: Iterable[list[str]]) -> list[str]:
    whole = ("".join(chosen) for chosen in product(*pieces))
    return [re.sub(f"{HOLE}+", HOLE, text) for _, text in zip(range(_WAYS), whole, strict=False)]
