"""Strings that must stay words and secrets that must stay hidden, for the tests of every backend."""

import unicodedata
from pathlib import Path

FRAMES = ["{}", "'{}'", '"{}"', "'; {}; '", '"; {}; "', "a'\"'\"'{}", "\\{}", "\n{}\n", "\r\n{}\r\n", "x){}", "{}\\"]
OPTIONS = "- -- -n --wrap=true --output=/x -c -h --help --kubeconfig=/x --master=local"
SHELL = "* ? [a-z] ~ ~root {a,b} !! !x \\ \\\\ \\n a\\ ' \" ` $ $x $IFS ${IFS} $'\\x41' $\"x\" %j % %%s %n$s = a=b"
MARKUP = ["A=b c", "@", "@file", "<<EOF", "EOF", "#SBATCH --wrap=x", "\n#SBATCH --uid=0\n", "#!/bin/sh"]
YAML = ["!!python/object/apply:os.system [id]", "&a *a", "{a: b}", "- a", "a: b", "---", "...", "|\n x", "yes", "null"]
TEMPLATES = ["$(PATH)", "$(TORCHX_REPLICA_IDX)", "$(", "$()", "{{.Values}}", "${x"]
# What TorchX's own macros would change, unless each dollar sign is written twice.
DOLLARS = ["$$", "$$(PATH)", "a$$b", "${app_id}", "${replica_id}"]
CONTROL = [*"\t\n\r\x0b\x1b\x7f\x85\xa0\u2028\u2029\u202e\u200b\ufeff", "\x1b[31m"]
OTHERS = ["", " ", "  a  b ", "caf\u00e9", "\u65e5\u672c", "\U0001f600", "\udcff", "../../etc/passwd", "0", "-1"]
LONG = ["a" * 100_000, ("'" + '"') * 20_000]


def corpus(canary: Path) -> list[str]:
    """At least 200 strings; one that is executed makes the canary."""
    act = f"touch {canary}"
    cores = [f"$({act})", f"`{act}`", f"; {act}", f"&& {act}", f"| {act}", f"|| {act}", f"& {act} &", f"<({act})"]
    cores += [f"${{x:-$({act})}}", f"$(({canary}))", f">{canary}", f">>{canary}", f"#{act}", f"${{!x@P}} {act}"]
    framed = [frame.format(core) for frame in FRAMES for core in cores]
    return [
        *framed,
        *OPTIONS.split(),
        f"--wrap={act}",
        *SHELL.split(),
        *MARKUP,
        *YAML,
        *TEMPLATES,
        *CONTROL,
        *OTHERS,
        *LONG,
    ]


def has_control(word: str) -> bool:
    """Whether a word has a character that no name, path or number has."""
    return any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in word)


# Twenty secrets as users hand them over, and the names of the variables.
_NAMES = (
    "MY_TOKEN HF_TOKEN AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN OSS_ACCESS_KEY_SECRET "
    "OSS_ACCESS_KEY_ID ODPS_SECRET ALIBABA_CLOUD_ACCESS_KEY_SECRET DB_PASSWORD REDIS_PASSWD API_KEY OPENAI_APIKEY "
    "WANDB_API_KEY SSH_PRIVATE_KEY GOOGLE_CREDENTIALS my_secret Token_Of_Mine X_SK X_AK"
)
SECRETS = {name: f"canary{number:02d}x{number * 7919:x}" for number, name in enumerate(_NAMES.split())}
