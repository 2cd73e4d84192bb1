"""Dropout rates as a bar chart in SVG that needs nothing from anywhere."""

from collections.abc import Sequence

from markupsafe import Markup

_ROW, _TOP, _BAR, _LETTER = 22, 64, 420, 7.2
_STYLE = Markup(
    "<style>text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#1d2430}.soft{fill:#667085;font-size:12px}"
    ".title{font-size:17px;font-weight:600}.track{fill:#e8edf5}.kept{fill:#3b73c8}.dropped{fill:#c7cdd8}</style>"
)
_LINE = Markup(
    '<text x="{names}" y="{base}" text-anchor="end">{name}</text>'
    '<rect class="track" x="{left}" y="{top}" width="{full}" height="14" rx="3"/>'
    '<rect class="{kind}" x="{left}" y="{top}" width="{width:.1f}" height="14" rx="3"/>'
    '<text class="soft" x="{end}" y="{base}">{rate:.3f}</text>'
)


def chart(group: str, features: Sequence[tuple[str, float, bool]]) -> str:
    """SVG text of a group's features with their rates, and whether each is kept."""
    left = 24 + int(_LETTER * max(len(name) for name, _, _ in features))
    total, height = left + _BAR + 70, _TOP + _ROW * len(features) + 16
    parts = [
        Markup('<rect width="{}" height="{}" fill="#ffffff"/>').format(total, height),
        Markup('<text class="title" x="16" y="26">{}: dropout rates</text>').format(group),
        Markup(
            '<text class="soft" x="16" y="46">low: the model needs it &#183; blue: kept &#183; grey: dropped</text>'
        ),
    ]
    for row, (name, rate, kept) in enumerate(features):
        top = _TOP + _ROW * row
        kind, width = "kept" if kept else "dropped", rate * _BAR
        parts.append(
            _LINE.format(
                names=left - 8, base=top + 12, name=name, left=left, top=top, full=_BAR, width=width, kind=kind,
                end=left + _BAR + 8, rate=rate,
            )
        )  # fmt: skip
    frame = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img">{2}{3}</svg>'
    )
    return str(frame.format(total, height, _STYLE, Markup("\n").join(parts))) + "\n"
