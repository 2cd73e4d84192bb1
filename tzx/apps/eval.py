"""Evaluate a checkpoint: `python -m tzx.apps.eval --config x.config`."""

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Evaluate a checkpoint and write its metrics.")
    add_config_flags(parser)
    parser.add_argument("--checkpoint_path", help="a checkpoint or a model directory; default: the newest in model_dir")
    parser.add_argument("--eval_input_path", help="replaces eval_input_path of the config")
    parser.add_argument("--model_dir", help="replaces model_dir of the config")
    parser.add_argument("--eval_result_filename", default="eval_result.txt", help="file in model_dir for the metrics")
    return parser


def main(argv: list[str]) -> int:
    """Parse, check and evaluate; prints one line per metric."""
    args = build_parser().parse_args(argv)
    from tzx.apps.inputs import load_with_paths

    config = load_with_paths(args, ("eval_input_path", "model_dir"))
    from tzx.runtime.training.jobs import evaluate_checkpoint

    metrics = evaluate_checkpoint(config, args.checkpoint_path, args.eval_result_filename)
    for name, value in metrics.items():
        print(f"{name} {value:.6f}")
    return 0


if __name__ == "__main__":
    run(main)
