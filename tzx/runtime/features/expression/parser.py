"""The compiler of all formulas: recursive descent from text to a tree of known operators and functions.

Nothing of the text is ever executed as code, and its size is bounded.
Rising precedence: `?:`, `||`, `&&`, comparisons, `+ -`, `* /`, sign, `^` (which groups to the right).
"""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass

from tzx.runtime.errors import ConfigError
from tzx.runtime.features.expression.functions import BINARY, CONSTANTS, FUNCTIONS, arity
from tzx.runtime.features.expression.reductions import REDUCTIONS
from tzx.runtime.features.expression.tree import (
    Call,
    Choice,
    Expression,
    Negative,
    Node,
    Number,
    Operation,
    Power,
    Random,
    Reduction,
    Variable,
)

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[^\W\d]\w*)|(?P<symbol>\|\||&&|<=|>=|==|!=|[-+*/^<>|&?:(),]))"
)
MAX_CHARACTERS = 10_000
MAX_TOKENS = 500
MAX_DEPTH = 50
END = "end of the formula"
RANDOM = "rnd"


class ExpressionError(ConfigError):
    """A formula that cannot be read; the message shows where."""


@dataclass(frozen=True)
class Token:
    """A piece of the formula; `kind` is number, name, symbol or end."""

    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[Token]:
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"the formula has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    tokens = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            at = len(text) - len(text[at:].lstrip())
            raise _error(text, at, f"unexpected {text[at]!r}")
        assert match.lastgroup is not None
        tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    if len(tokens) > MAX_TOKENS:
        raise ExpressionError(f"the formula has {len(tokens)} parts; at most {MAX_TOKENS} are allowed")
    return [*tokens, Token("end", END, end)]


def _error(text: str, at: int, problem: str) -> ExpressionError:
    return ExpressionError(f"formula {text!r}: {problem} at position {at + 1}")


class _Parser:
    def __init__(self, text: str, variables: Collection[str]) -> None:
        self.text, self.variables = text, variables
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0
        self.randoms = 0
        self.used: dict[str, None] = {}

    def error(self, token: Token, problem: str) -> ExpressionError:
        return _error(self.text, token.at, problem)

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, *symbols: str) -> Token | None:
        token = self.next
        if token.kind != "symbol" or token.text not in symbols:
            return None
        self.at += 1
        return token

    def expect(self, symbol: str) -> None:
        if not self.take(symbol):
            raise self.error(self.next, f"expected {symbol!r}, found {self.next.text!r}")

    def whole(self) -> Node:
        node = self.choice()
        if self.next.kind != "end":
            raise self.error(self.next, f"unexpected {self.next.text!r}")
        return node

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(self.next, f"nested more than {MAX_DEPTH} deep")
        node = self.operation(0)
        if self.take("?"):
            yes = self.choice()
            self.expect(":")
            node = Choice(node, yes, self.choice())
        self.depth -= 1
        return node

    def operation(self, level: int) -> Node:
        if level == len(BINARY):
            return self.signed()
        node = self.operation(level + 1)
        while operator := self.take(*BINARY[level]):
            node = Operation(level, operator.text, node, self.operation(level + 1))
        return node

    def signed(self) -> Node:
        negative = False
        while sign := self.take("-", "+"):
            negative ^= sign.text == "-"
        node = self.power()
        return Negative(node) if negative else node

    def power(self) -> Node:
        base = self.primary()
        if not self.take("^"):
            return base
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(self.next, f"nested more than {MAX_DEPTH} deep")
        node = Power(base, self.signed())
        self.depth -= 1
        return node

    def primary(self) -> Node:
        token = self.next
        self.at += 1
        if token.kind == "number":
            return Number(float(token.text))
        if token.kind == "name":
            return self.call(token) if self.take("(") else self.named(token)
        if token.text == "(" and token.kind == "symbol":
            node = self.choice()
            self.expect(")")
            return node
        raise self.error(token, f"expected a value, found {token.text!r}")

    def named(self, token: Token) -> Node:
        if token.text in self.variables:
            self.used[token.text] = None
            return Variable(token.text)
        if token.text in CONSTANTS:
            return Number(CONSTANTS[token.text])
        raise self.error(token, f"unknown name {token.text!r}{_near(token.text, [*self.variables, *CONSTANTS])}")

    def call(self, token: Token) -> Node:
        name = token.text
        function = FUNCTIONS.get(name) or REDUCTIONS.get(name)
        if function is None and name != RANDOM:
            raise self.error(token, f"unknown function {name!r}{_near(name, [*FUNCTIONS, *REDUCTIONS, RANDOM])}")
        least, most = (function.least, function.most) if function else (0, 0)
        arguments = self.arguments()
        if len(arguments) < least or (most is not None and len(arguments) > most):
            raise self.error(token, f"{name} takes {arity(least, most)}, {len(arguments)} given")
        if function is None:
            self.randoms += 1
            return Random(self.randoms)
        return (Call if name in FUNCTIONS else Reduction)(name, tuple(arguments))

    def arguments(self) -> list[Node]:
        found: list[Node] = []
        if not self.take(")"):
            found.append(self.choice())
            while self.take(","):
                found.append(self.choice())
            self.expect(")")
        return found


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"


def parse_expression(text: str, variables: Collection[str]) -> Expression:
    """Parse a formula over these variables.

    Raises:
        ExpressionError: it does not parse, or names something unknown; the message gives the position.
    """
    parser = _Parser(text, variables)
    return Expression(text, parser.whole(), tuple(parser.used))
