"""Read protobuf text format into a tree, keeping going after each mistake.

- Needs no schema: text format says by itself what is a block, a list or a scalar.
- A block that is never closed is found by its indentation, so one missing brace is one problem and not fifty.
- Full-width punctuation, which Chinese keyboards produce, is named and read as what it stands for.
"""

from tzx.runtime.config.lexer import Token, mend_marks, tokenize, unescape
from tzx.runtime.config.problems import Report, quoted
from tzx.runtime.config.source import Place, Source
from tzx.runtime.config.syntax import Block, Entry, Items, Node, Scalar

MAX_DEPTH = 64
_CLOSERS = {"{": "}", "<": ">", "[": "]"}


def read_text(source: Source, report: Report) -> Block:
    """The tree of a whole text; what is wrong with its syntax goes to the report."""
    tokens, troubled = mend_marks(tokenize(source.text), source, report)
    plain = _Reader(source, tokens, troubled)
    tree = plain.read_all()
    chosen = plain
    if plain.open_at_end:
        indented = _Reader(source, tokens, troubled, by_indent=True)
        better = indented.read_all()
        # In a text that is not indented, closing by indentation leaves a stray mark for each block.
        if indented.closed_by_indent and indented.stray * 2 <= indented.closed_by_indent:
            chosen, tree = indented, better
    report.problems += chosen.report.problems
    return tree


def read_value(source: Source, start: int, report: Report) -> Node | None:
    """The tree of a single value that fills a source from an offset to its end."""
    reader = _Reader(source, *mend_marks(tokenize(source.text, start), source, report))
    value = reader.read_value(0)
    reader.report_open_at_end()
    if value is None or reader.peek().kind != "end":
        token = reader.peek()
        reader.complain(token.start, token.end, "expected one value" if value is None else "text after the value")
    report.problems += reader.report.problems
    return value


def read_fields(source: Source, start: int, report: Report) -> Block:
    """The tree of the fields that fill a source from an offset to its end, without braces around them."""
    reader = _Reader(source, *mend_marks(tokenize(source.text, start), source, report))
    block = reader.read_all()
    report.problems += reader.report.problems
    return Block(start, len(source.text), block.entries)


class _Reader:
    """One pass over the tokens. On lines that are `troubled` already, what follows from that is not reported."""

    def __init__(self, source: Source, tokens: list[Token], troubled: set[int], by_indent: bool = False) -> None:
        self.source = source
        self.tokens = tokens
        self.by_indent = by_indent
        self.position = 0
        self.report = Report()
        self.open_at_end: list[tuple[Token, Token]] = []
        self.closed_by_indent = 0
        self.stray = 0
        self._troubled = set(troubled)

    def peek(self) -> Token:
        """The token to be read next."""
        return self.tokens[self.position]

    def complain(self, start: int, end: int, message: str) -> None:
        """Report a syntax problem, but only the first one of a line: the others follow from it."""
        line = self.source.line_of(start)
        if line not in self._troubled:
            self._troubled.add(line)
            self.report.error(Place(self.source, start, end), message)

    def read_all(self) -> Block:
        root = Block(0, len(self.source.text))
        while True:
            self._read_entries(root, None, 0)
            token = self.peek()
            if token.kind == "end":
                self.report_open_at_end()
                return root
            self.complain(token.start, token.end, f'nothing is open that "{token.text}" could close')
            self.stray += 1
            self.position += 1

    def _read_entries(self, block: Block, opener: Token | None, depth: int) -> None:
        """Read fields until something closes the block; that closing mark is left for the caller."""
        entries = block.entries
        while True:
            kind, start, end, text = token = self.tokens[self.position]
            if kind in ("word", "number", "type"):
                if self.by_indent and opener is not None and self._is_outside(token, opener):
                    return
                self._read_entry(entries, depth)
            elif kind == "end" or text in ("}", ">"):
                return
            elif text == "[":
                self.complain(start, end, "expected a field name; [brackets] name a message type before a block only")
                self._skip_balanced()
                self._skip_value()
            elif text == "{" or text == "<":
                self.complain(start, end, f'expected a field name before "{text}"')
                self._skip_balanced()
            else:
                self.complain(start, end, f"expected a field name, found {quoted(text)}")
                self.position += 1

    def _is_outside(self, token: Token, opener: Token) -> bool:
        """Whether a token begins a line no deeper than the name of the block that is open."""
        line = self.source.line_of(token.start)
        if line == self.source.line_of(opener.start):
            return False
        start = self.source.line_starts[line - 1]
        return not self.source.text[start : token.start].strip() and token.start - start <= self._indent(opener)

    def _indent(self, token: Token) -> int:
        text = self.source.line_text(self.source.line_of(token.start))
        return len(text) - len(text.lstrip())

    def _read_entry(self, entries: list[Entry], depth: int) -> None:
        tokens = self.tokens
        name = tokens[self.position]
        self.position += 1
        mark = tokens[self.position]
        has_colon = mark.text == ":" and mark.kind == "mark"
        if has_colon:
            self.position += 1
            mark = tokens[self.position]
        if mark.kind == "mark" and (mark.text == "{" or mark.text == "<"):
            value: Node | None = self._read_block(name, depth + 1)
        else:
            value = self._read_value_of(name, mark, has_colon, depth)
        if value is not None:
            entries.append(Entry(name.start, name.end, name.text, value))
        mark = tokens[self.position]
        if mark.text in (",", ";") and mark.kind == "mark":
            self.position += 1

    def _read_value_of(self, name: Token, token: Token, has_colon: bool, depth: int) -> Node | None:
        """The scalar or list after a name; None, with a problem reported, when there is none."""
        value = None if token.kind == "word" and self._begins_field() else self.read_value(depth)
        if value is None:
            expected = "value" if has_colon else '":" and a value'
            self.complain(
                name.start, name.end, f"expected a {expected} after {quoted(name.text)}".replace('a ":"', '":"')
            )
        elif not has_colon and not (isinstance(value, Items) and all(isinstance(v, Block) for v in value.values)):
            self.complain(name.start, name.end, f'expected ":" between {quoted(name.text)} and its value')
        return value

    def _begins_field(self) -> bool:
        """Whether the word to be read next is a field name, as what follows it shows."""
        follows = self.tokens[self.position + 1]
        return follows.kind == "mark" and follows.text in (":", "{", "<")

    def read_value(self, depth: int) -> Node | None:
        """Any value, or None when the next token cannot begin one."""
        kind, start, end, text = self.tokens[self.position]
        if kind == "word" or kind == "number":
            self.position += 1
            return Scalar(start, end, kind, text)
        if kind == "string" or kind == "open":
            return self._read_string()
        if text == "[" and kind == "mark":
            return self._read_items(depth)
        if (text == "{" or text == "<") and kind == "mark":
            return self._read_block(self.tokens[max(0, self.position - 1)], depth + 1)
        return None

    def _read_string(self) -> Scalar:
        """Adjacent strings, joined."""
        first = self.peek()
        raw = b""
        while (token := self.peek()).kind in ("string", "open"):
            self.position += 1
            body = token.text[1:-1] if token.kind == "string" else token.text[1:]
            if token.kind == "open":
                self.complain(token.start, token.end, f"string without a closing {token.text[0]}")
            piece, unknown = unescape(body)
            raw += piece
            for escape in dict.fromkeys(unknown):
                self._warn_escape(token, escape)
        end = self.tokens[self.position - 1].end
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            self.complain(first.start, end, "string is not valid UTF-8 after its escapes are resolved")
            text = raw.decode("utf-8", "replace")
        return Scalar(first.start, end, "string", text)

    def _warn_escape(self, token: Token, escape: str) -> None:
        place = Place(self.source, token.start, token.end)
        self.report.warn(
            place, f'{quoted(escape)} is not an escape and is kept as written; write "\\\\" for a backslash'
        )

    def _read_block(self, name: Token, depth: int) -> Block | None:
        """A block from its opening mark on."""
        opener = self.peek()
        if depth > MAX_DEPTH:
            self.complain(opener.start, opener.end, f"blocks are nested more than {MAX_DEPTH} deep")
            self._skip_balanced()
            return None
        self.position += 1
        block = Block(opener.start, opener.end)
        self._read_entries(block, name, depth)
        token = self.peek()
        block.end = token.end
        if token.text == _CLOSERS[opener.text] and not (self.by_indent and self._closes_outer(token, name)):
            self.position += 1
        elif token.kind == "mark" and token.text in ("}", ">") and not self.by_indent:
            self.complain(token.start, token.end, f'"{token.text}" closes the "{opener.text}" of {self._where(opener)}')
            self.position += 1
        else:
            self._report_unclosed(name, opener, token)
        return block

    def _where(self, token: Token) -> str:
        return f"line {self.source.line_of(token.start)}"

    def _closes_outer(self, token: Token, name: Token) -> bool:
        """Whether a closing mark that begins a line stands left of the block's name."""
        line = self.source.line_of(token.start)
        start = self.source.line_starts[line - 1]
        begins_line = not self.source.text[start : token.start].strip()
        return begins_line and token.start - start < self._indent(name)

    def _report_unclosed(self, name: Token, opener: Token, token: Token) -> None:
        if token.kind == "end":
            self.open_at_end.append((name, opener))
            return
        self.closed_by_indent += 1
        message = (
            f'{quoted(name.text)} is not closed: a "{_CLOSERS[opener.text]}" is missing before {self._where(token)}'
        )
        self.report.error(Place(self.source, name.start, opener.end), message)

    def report_open_at_end(self) -> None:
        """Report all blocks that are open at the end as one problem, at the innermost."""
        if self.open_at_end:
            name, opener = self.open_at_end[0]
            closers = "".join(_CLOSERS[opener.text] for _, opener in self.open_at_end[:MAX_DEPTH])
            message = f'{quoted(name.text)} is not closed: "{closers}" is missing before the end of the text'
            self.report.error(Place(self.source, name.start, opener.end), message)

    def _read_items(self, depth: int) -> Items:
        """A list from its "[" on."""
        opener = self.peek()
        self.position += 1
        items = Items(opener.start, opener.end)
        if self._take("]"):
            return self._end_items(items)
        while True:
            value = self.read_value(depth)
            if value is not None:
                items.values.append(value)
                if self._take(","):
                    continue
                if self._take("]"):
                    return self._end_items(items)
            token = self.peek()
            self.complain(token.start, token.end, self._item_expected(items, token, value))
            self._skip_to_list_end()
            return self._end_items(items)

    def _item_expected(self, items: Items, token: Token, value: Node | None) -> str:
        found = quoted(token.text) if token.text else "the end of the text"
        expected = '"," or "]"' if value is not None else "a value"
        line = self.source.line_of(items.start)
        return f"expected {expected} in the list that begins on line {line}, found {found}"

    def _end_items(self, items: Items) -> Items:
        items.end = self.tokens[self.position - 1].end
        return items

    def _take(self, mark: str) -> bool:
        token = self.peek()
        if token.text == mark and token.kind == "mark":
            self.position += 1
            return True
        return False

    def _skip_to_list_end(self) -> None:
        """Leave a broken list: after its "]" when that comes before anything that a list does not hold."""
        while (token := self.peek()).kind != "end":
            if token.kind == "mark" and token.text in ("{", "}", "<", ">", ":"):
                return
            if token.kind == "word" and self._begins_field():
                return
            self.position += 1
            if token.kind == "mark" and token.text == "]":
                return

    def _skip_balanced(self) -> None:
        """Skip from an opening mark to behind the mark that closes it, or to the end."""
        depth = 0
        while (token := self.peek()).kind != "end":
            self.position += 1
            if token.kind == "mark":
                depth += token.text in _CLOSERS
                depth -= token.text in ("}", ">", "]")
            if depth <= 0:
                return

    def _skip_value(self) -> None:
        """Skip what follows a name that is not understood."""
        self._take(":")
        token = self.peek()
        if token.kind == "mark" and token.text in _CLOSERS:
            self._skip_balanced()
        elif token.kind in ("word", "number", "string"):
            self.position += 1
