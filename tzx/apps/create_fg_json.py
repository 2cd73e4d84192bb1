"""Write fg.json for another engine: `python -m tzx.apps.create_fg_json --config x.config --fg_output_dir fg`."""

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Write the features of a config as fg.json, or read an fg.json as feature_configs.")
    add_config_flags(parser, required=False)
    parser.add_argument("--fg_output_dir", help="folder for fg.json and the files that it names")
    parser.add_argument("--reserves", default="", help="columns that pass through feature generation, by commas")
    parser.add_argument("--remove_bucketizer", action="store_true", help="for data to be read with FG_BUCKETIZE")
    parser.add_argument("--from_fg_json", metavar="FILE", help="instead: print this fg.json as feature_configs")
    parser.add_argument("--embedding_dim", type=int, default=16, help="with --from_fg_json: width of the tables")
    return parser


def main(argv: list[str]) -> int:
    """Parse; write fg.json, or print what one says."""
    args = (parser := build_parser()).parse_args(argv)
    if (args.config is None) == (args.from_fg_json is None):
        parser.error("give either --config with --fg_output_dir, or --from_fg_json")
    if args.config is not None and args.fg_output_dir is None:
        parser.error("--config needs --fg_output_dir, the folder to write fg.json to")
    if args.from_fg_json is not None:
        return _read(args.from_fg_json, args.embedding_dim)
    from tzx.apps.inputs import split_list
    from tzx.runtime.config import load_config
    from tzx.runtime.features.fgjson import make_fg_json, write_fg_json

    config = load_config(args.config, args.sets, args.edit_config_json)
    made = make_fg_json(config.feature_configs, split_list(args.reserves), args.remove_bucketizer)
    place = write_fg_json(made, args.fg_output_dir)
    files = f" with {', '.join(made.assets)}" if made.assets else ""
    print(f"{len(made.content['features'])} entries in {place}{files}")
    return 0


def _read(path: str, embedding_dim: int) -> int:
    import os
    from pathlib import Path

    from google.protobuf import text_format

    from tzx.runtime.features.fgjson import feature_configs_from_fg_json
    from tzx.runtime.protos.pipeline_pb2 import EasyRecConfig

    found = feature_configs_from_fg_json(Path(path).read_text(), os.path.dirname(path), embedding_dim)
    print(text_format.MessageToString(EasyRecConfig(feature_configs=found), as_utf8=True), end="")
    return 0


if __name__ == "__main__":
    run(main)
