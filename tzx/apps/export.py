"""Export a trained model: `python -m tzx.apps.export --config x.config --export_dir export`."""

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Write a bundle that predicts by itself, after checking that it scores real rows like the model.")
    add_config_flags(parser)
    parser.add_argument("--checkpoint_path", help="a checkpoint or a model directory; default: that of the config")
    parser.add_argument("--export_dir", required=True, help="directory to make; must not exist")
    parser.add_argument("--model_dir", help="replaces model_dir of the config")
    parser.add_argument("--asset_files", default="", help="comma-separated files to put into the bundle's assets")
    parser.add_argument("--parity_input_path", default="", help="rows to check with; default: eval, else train input")
    parser.add_argument("--parity_rows", type=int, default=1000, help="number of rows to check with")
    return parser


def main(argv: list[str]) -> int:
    """Parse and export; of several processes only the first does anything."""
    args = build_parser().parse_args(argv)
    from tzx.apps.inputs import load_with_paths, split_list

    config = load_with_paths(args, ("model_dir",))
    from tzx.runtime.serving.export import ExportOptions, export_bundle
    from tzx.runtime.training.process import Process

    if not Process.from_env().is_chief:
        return 0
    options = ExportOptions(split_list(args.asset_files), args.parity_input_path, args.parity_rows)
    report = export_bundle(config, args.checkpoint_path, args.export_dir, options)
    worst = max(report.manifest.parity["max_difference"].values())
    print(f"bundle {report.path} ({report.manifest.total_bytes / 1e6:,.1f} MB)")
    print(f"step {report.manifest.checkpoint_step}, outputs {', '.join(o.name for o in report.manifest.outputs)}")
    print(f"parity: {report.manifest.parity['rows']} rows, largest difference {worst:.2g}")
    return 0


if __name__ == "__main__":
    run(main)
