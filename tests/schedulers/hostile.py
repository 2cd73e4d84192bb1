"""Strings that must stay words, for the tests of every backend."""

from pathlib import Path


def corpus(canary: Path) -> list[str]:
    """Strings that do something if any of them is ever read as shell, script, option or pattern."""
    act = f"touch {canary}"
    cores = [f"$({act})", f"`{act}`", f"; {act}", f"&& {act}", f"| {act}", f"|| {act}", f"& {act} &", f"<({act})"]
    cores += [f"${{x:-$({act})}}", f"$(({canary}))", f">{canary}", f">>{canary}", f"#{act}", f"${{!x@P}} {act}"]
    frames = [
        "{}",
        "'{}'",
        '"{}"',
        "'; {}; '",
        '"; {}; "',
        "a'\"'\"'{}",
        "\\{}",
        "\n{}\n",
        "\r\n{}\r\n",
        "x){}",
        "{}\\",
    ]
    found = [frame.format(core) for frame in frames for core in cores]
    found += ["", " ", "  a  b ", "-", "--", "-n", "--wrap=true", f"--wrap={act}", "--output=/x", "-c", "-h", "--help"]
    found += [
        "*",
        "?",
        "[a-z]",
        "~",
        "~root",
        "{a,b}",
        "!!",
        "!x",
        "\\",
        "\\\\",
        "\\n",
        "a\\",
        "'",
        '"',
        "`",
        "$",
        "$x",
    ]
    found += [
        "$IFS",
        "${IFS}",
        "$'\\x41'",
        '$"x"',
        "%j",
        "%",
        "%%s",
        "%n$s",
        "=",
        "a=b",
        "A=b c",
        "@",
        "@file",
        "<<EOF",
        "EOF",
    ]
    found += [
        "\t",
        "\n",
        "\r",
        "\x0b",
        "\x1b[31m",
        "\x7f",
        "\x85",
        "\xa0",
        "\u2028",
        "\u2029",
        "\u202e",
        "\u200b",
        "\ufeff",
    ]
    found += [
        "caf\u00e9",
        "\u65e5\u672c",
        "\U0001f600",
        "\udcff",
        "#SBATCH --wrap=x",
        "\n#SBATCH --uid=0\n",
        "#!/bin/sh",
    ]
    return [*found, "a" * 100_000, ("'" + '"') * 20_000, "../../etc/passwd", "null", "0", "-1", "${SLURM_JOB_ID}"]
