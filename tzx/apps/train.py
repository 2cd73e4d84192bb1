"""Train a model: `python -m tzx.apps.train --config x.config`."""

from tzx.apps.command import Parser, add_config_flags, run


def build_parser() -> Parser:
    """The flags of this app."""
    parser = Parser("Train a model, with an evaluation at each checkpoint.")
    add_config_flags(parser)
    parser.add_argument("--train_input_path", help="replaces train_input_path of the config")
    parser.add_argument("--eval_input_path", help="replaces eval_input_path of the config")
    parser.add_argument("--model_dir", help="replaces model_dir of the config")
    parser.add_argument("--continue_train", action="store_true", help="go on from the newest checkpoint in model_dir")
    parser.add_argument("--fine_tune_checkpoint", help="take parameters from this checkpoint, count from step 0")
    parser.add_argument("--plan", metavar="FILE", help="place tables as this plan says: a checkpoint's file plan")
    parser.add_argument("--ignore_restore_optimizer", action="store_true", help="restore parameters only")
    parser.add_argument("--seed", type=int, help="seed of all random generators")
    return parser


def main(argv: list[str]) -> int:
    """Parse, check and train."""
    args = build_parser().parse_args(argv)
    from tzx.apps.inputs import load_with_paths

    config = load_with_paths(args, ("train_input_path", "eval_input_path", "model_dir"))
    if args.fine_tune_checkpoint:
        config.train_config.fine_tune_checkpoint = args.fine_tune_checkpoint
    if args.plan:
        config.train_config.sharding_planner.plan_file = args.plan
    from tzx.runtime.training.jobs import TrainOptions, train  # torch only now: a bad config fails in under a second

    train(config, TrainOptions(args.continue_train, args.ignore_restore_optimizer, args.seed))
    return 0


if __name__ == "__main__":
    run(main)
