"""TorchX components: `torchx run tzx.components.train --config x.config`.

Each function is a command line: its parameters are the flags, its docstring is the help. TorchX reads this file's text,
so every function here is a component, with types that TorchX knows (no `X | None`, no `list[str]`).
"""

from typing import Dict, List, Optional

import torchx.specs as specs

from tzx.launch import resources, roles


@roles.user_errors
def train(
    *args: str,
    config: str,
    train_input_path: Optional[str] = None,
    eval_input_path: Optional[str] = None,
    model_dir: Optional[str] = None,
    continue_train: bool = False,
    fine_tune_checkpoint: Optional[str] = None,
    plan: Optional[str] = None,
    ignore_restore_optimizer: bool = False,
    edit_config_json: Optional[str] = None,
    user_module: Optional[str] = None,
    set: Optional[str] = None,
    j: str = "1x1",
    cpu: int = 0,
    gpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    image: str = "",
    name: str = "",
    max_retries: int = 0,
    max_restarts: int = 0,
    debug: bool = False,
) -> specs.AppDef:
    """Train a model, with an evaluation at each checkpoint.

    Args:
        args: more flags of the app, after --; e.g. -- --seed 1 --set=train_config.num_steps=10
        config: config file (protobuf text or JSON)
        train_input_path: training data instead of what the config names
        eval_input_path: evaluation data instead of what the config names
        model_dir: where checkpoints go instead of where the config says
        continue_train: go on from the newest checkpoint in model_dir
        fine_tune_checkpoint: start with the parameters of this checkpoint
        plan: place tables as this sharding plan says: a checkpoint's file plan, or what tzx.apps.plan --json prints
        ignore_restore_optimizer: take parameters but no optimizer state from a checkpoint
        edit_config_json: config overrides as a JSON object of path to value
        user_module: Python file that registers operators and models of your own
        set: config overrides, K=V,K2=V2; a comma inside brackets or quotes does not separate
        j: NODESxPROCESSES, e.g. 1x4, 2x8, or 1:4x8 for one to four nodes
        cpu: cores per node; 0 means 2 for each process
        gpu: GPUs per node
        memMB: memory per node in MB; 0 means 4096 for each process
        h: named resource, instead of cpu, gpu and memMB
        env: environment variables, K=V,K2=V2
        mounts: type=bind,src=/host,dst=/container[,readonly], for schedulers with containers
        image: container image, for schedulers with containers
        name: name of the job (default: from the config's file name)
        max_retries: how often the scheduler restarts a failed job
        max_restarts: how often torchrun restarts failed processes without leaving the job
        debug: show tracebacks and debug logs
    """
    demand = resources.Demand(cpu, gpu, memMB, h)
    job = roles.Job(j, demand, env or {}, mounts or (), image, name, max_retries, max_restarts, debug)
    return roles.app_def(
        roles.App(
            "tzx.apps.train",
            "trainer",
            {
                "config": config,
                "train_input_path": train_input_path,
                "eval_input_path": eval_input_path,
                "model_dir": model_dir,
                "continue_train": continue_train,
                "fine_tune_checkpoint": fine_tune_checkpoint,
                "plan": plan,
                "ignore_restore_optimizer": ignore_restore_optimizer,
                "edit_config_json": edit_config_json,
                "user_module": user_module,
            },
            set,
            args,
        ),
        job,
    )


@roles.user_errors
def eval(
    *args: str,
    config: str,
    checkpoint_path: Optional[str] = None,
    eval_input_path: Optional[str] = None,
    model_dir: Optional[str] = None,
    eval_result_filename: Optional[str] = None,
    edit_config_json: Optional[str] = None,
    user_module: Optional[str] = None,
    set: Optional[str] = None,
    j: str = "1x1",
    cpu: int = 0,
    gpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    image: str = "",
    name: str = "",
    max_retries: int = 0,
    debug: bool = False,
) -> specs.AppDef:
    """Evaluate a checkpoint and write its metrics.

    Args:
        args: more flags of the app, after --
        config: config file (protobuf text or JSON)
        checkpoint_path: a checkpoint or a model directory (default: the newest one in model_dir)
        eval_input_path: evaluation data instead of what the config names
        model_dir: where checkpoints lie instead of where the config says
        eval_result_filename: file in model_dir for the metrics
        edit_config_json: config overrides as a JSON object of path to value
        user_module: Python file that registers operators and models of your own
        set: config overrides, K=V,K2=V2; a comma inside brackets or quotes does not separate
        j: NODESxPROCESSES, e.g. 1x4 or 2x8
        cpu: cores per node; 0 means 2 for each process
        gpu: GPUs per node
        memMB: memory per node in MB; 0 means 4096 for each process
        h: named resource, instead of cpu, gpu and memMB
        env: environment variables, K=V,K2=V2
        mounts: type=bind,src=/host,dst=/container[,readonly], for schedulers with containers
        image: container image, for schedulers with containers
        name: name of the job (default: from the config's file name)
        max_retries: how often the scheduler restarts a failed job
        debug: show tracebacks and debug logs
    """
    return roles.app_def(
        roles.App(
            "tzx.apps.eval",
            "evaluator",
            {
                "config": config,
                "checkpoint_path": checkpoint_path,
                "eval_input_path": eval_input_path,
                "model_dir": model_dir,
                "eval_result_filename": eval_result_filename,
                "edit_config_json": edit_config_json,
                "user_module": user_module,
            },
            set,
            args,
        ),
        roles.Job(j, resources.Demand(cpu, gpu, memMB, h), env or {}, mounts or (), image, name, max_retries, 0, debug),
    )


@roles.user_errors
def export(
    *args: str,
    config: str,
    export_dir: str,
    checkpoint_path: Optional[str] = None,
    model_dir: Optional[str] = None,
    asset_files: Optional[str] = None,
    edit_config_json: Optional[str] = None,
    user_module: Optional[str] = None,
    set: Optional[str] = None,
    cpu: int = 0,
    gpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    image: str = "",
    name: str = "",
    max_retries: int = 0,
    debug: bool = False,
) -> specs.AppDef:
    """Write a checkpoint as a bundle for prediction and serving.

    Args:
        args: more flags of the app, after --
        config: config file (protobuf text or JSON)
        export_dir: where the bundle goes; must not exist
        checkpoint_path: a checkpoint or a model directory (default: the newest one in model_dir)
        model_dir: where checkpoints lie instead of where the config says
        asset_files: more files for the bundle, separated by commas
        edit_config_json: config overrides as a JSON object of path to value
        user_module: Python file that registers operators and models of your own
        set: config overrides, K=V,K2=V2; a comma inside brackets or quotes does not separate
        cpu: cores; 0 means 2
        gpu: GPUs
        memMB: memory in MB; 0 means 4096
        h: named resource, instead of cpu, gpu and memMB
        env: environment variables, K=V,K2=V2
        mounts: type=bind,src=/host,dst=/container[,readonly], for schedulers with containers
        image: container image, for schedulers with containers
        name: name of the job (default: from the config's file name)
        max_retries: how often the scheduler restarts a failed job
        debug: show tracebacks and debug logs
    """
    demand = resources.Demand(cpu, gpu, memMB, h)
    return roles.app_def(
        roles.App(
            "tzx.apps.export",
            "exporter",
            {
                "config": config,
                "export_dir": export_dir,
                "checkpoint_path": checkpoint_path,
                "model_dir": model_dir,
                "asset_files": asset_files,
                "edit_config_json": edit_config_json,
                "user_module": user_module,
            },
            set,
            args,
        ),
        roles.Job("1x1", demand, env or {}, mounts or (), image, name, max_retries, 0, debug),
    )


@roles.user_errors
def predict(
    *args: str,
    predict_input_path: str,
    predict_output_path: str,
    bundle: Optional[str] = None,
    scripted_model_path: Optional[str] = None,
    config: Optional[str] = None,
    checkpoint_path: Optional[str] = None,
    reserved_columns: Optional[str] = None,
    output_columns: Optional[str] = None,
    batch_size: int = 0,
    dataset_type: Optional[str] = None,
    writer_type: Optional[str] = None,
    edit_config_json: Optional[str] = None,
    user_module: Optional[str] = None,
    set: Optional[str] = None,
    j: str = "1x1",
    cpu: int = 0,
    gpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    image: str = "",
    name: str = "",
    max_retries: int = 0,
    debug: bool = False,
) -> specs.AppDef:
    """Score rows with an exported bundle, or with a checkpoint.

    Args:
        args: more flags of the app, after --
        predict_input_path: data to score
        predict_output_path: directory for the scores, one file for each process
        bundle: what export has written
        scripted_model_path: another name for bundle
        config: config file, together with checkpoint_path, when there is no bundle
        checkpoint_path: a checkpoint or a model directory, when there is no bundle
        reserved_columns: input columns to copy to the output, separated by commas; ALL_COLUMNS for all
        output_columns: which predictions to write, separated by commas (default: all)
        batch_size: rows scored at a time; 0 means as the config says
        dataset_type: format of the input instead of what the config says, e.g. CsvDataset
        writer_type: ParquetWriter or CsvWriter (default: as the input)
        edit_config_json: config overrides as a JSON object of path to value
        user_module: Python file that registers operators and models of your own
        set: config overrides, K=V,K2=V2; a comma inside brackets or quotes does not separate
        j: NODESxPROCESSES, e.g. 1x4 or 2x8
        cpu: cores per node; 0 means 2 for each process
        gpu: GPUs per node
        memMB: memory per node in MB; 0 means 4096 for each process
        h: named resource, instead of cpu, gpu and memMB
        env: environment variables, K=V,K2=V2
        mounts: type=bind,src=/host,dst=/container[,readonly], for schedulers with containers
        image: container image, for schedulers with containers
        name: name of the job (default: from the model's name)
        max_retries: how often the scheduler restarts a failed job
        debug: show tracebacks and debug logs
    """
    return roles.app_def(
        roles.App(
            "tzx.apps.predict",
            "predictor",
            {
                "bundle": bundle or scripted_model_path,
                "config": config,
                "checkpoint_path": checkpoint_path,
                "predict_input_path": predict_input_path,
                "predict_output_path": predict_output_path,
                "reserved_columns": reserved_columns,
                "output_columns": output_columns,
                "batch_size": batch_size or None,
                "dataset_type": dataset_type,
                "writer_type": writer_type,
                "edit_config_json": edit_config_json,
                "user_module": user_module,
            },
            set,
            args,
        ),
        roles.Job(j, resources.Demand(cpu, gpu, memMB, h), env or {}, mounts or (), image, name, max_retries, 0, debug),
    )


@roles.user_errors
def generate_features(
    *args: str,
    config: str,
    output_path: str,
    form: str = "none",
    train_input_path: Optional[str] = None,
    eval_input_path: Optional[str] = None,
    reserved_columns: Optional[str] = None,
    no_labels: bool = False,
    writer_type: str = "parquet",
    threads: int = 0,
    edit_config_json: Optional[str] = None,
    user_module: Optional[str] = None,
    set: Optional[str] = None,
    j: str = "1x1",
    cpu: int = 0,
    gpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    image: str = "",
    name: str = "",
    max_retries: int = 0,
    debug: bool = False,
) -> specs.AppDef:
    """Make features ahead of training, and a config to train on them.

    Args:
        args: more flags of the app, after --
        config: config file (protobuf text or JSON)
        output_path: folder for train/, eval/ and pipeline.config
        form: none (final ids and numbers) or bucketize (values before bucketizing)
        train_input_path: training data instead of what the config names
        eval_input_path: evaluation data instead of what the config names
        reserved_columns: more input columns to keep, separated by commas; ALL_COLUMNS for all
        no_labels: the data has no labels or sample weights
        writer_type: parquet or csv
        threads: threads of each process that make features; 0 means its cores
        edit_config_json: config overrides as a JSON object of path to value
        user_module: Python file that registers operators and models of your own
        set: config overrides, K=V,K2=V2; a comma inside brackets or quotes does not separate
        j: NODESxPROCESSES, e.g. 1x4 or 2x8
        cpu: cores per node; 0 means 2 for each process
        gpu: GPUs per node
        memMB: memory per node in MB; 0 means 4096 for each process
        h: named resource, instead of cpu, gpu and memMB
        env: environment variables, K=V,K2=V2
        mounts: type=bind,src=/host,dst=/container[,readonly], for schedulers with containers
        image: container image, for schedulers with containers
        name: name of the job (default: from the config's file name)
        max_retries: how often the scheduler restarts a failed job
        debug: show tracebacks and debug logs
    """
    return roles.app_def(
        roles.App(
            "tzx.apps.generate_features",
            "generator",
            {
                "config": config,
                "output_path": output_path,
                "form": form,
                "train_input_path": train_input_path,
                "eval_input_path": eval_input_path,
                "reserved_columns": reserved_columns,
                "no_labels": no_labels,
                "writer_type": writer_type,
                "threads": threads or None,
                "edit_config_json": edit_config_json,
                "user_module": user_module,
            },
            set,
            args,
        ),
        roles.Job(j, resources.Demand(cpu, gpu, memMB, h), env or {}, mounts or (), image, name, max_retries, 0, debug),
    )


@roles.user_errors
def pipeline(
    *args: str,
    config: str,
    export_dir: str,
    stages: str = "train,eval,export,predict",
    predict_input_path: Optional[str] = None,
    predict_output_path: Optional[str] = None,
    train_input_path: Optional[str] = None,
    eval_input_path: Optional[str] = None,
    model_dir: Optional[str] = None,
    continue_train: bool = False,
    reserved_columns: Optional[str] = None,
    edit_config_json: Optional[str] = None,
    user_module: Optional[str] = None,
    set: Optional[str] = None,
    j: str = "1x1",
    cpu: int = 0,
    gpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    image: str = "",
    name: str = "",
    max_retries: int = 0,
    max_restarts: int = 0,
    debug: bool = False,
) -> specs.AppDef:
    """Train, evaluate, export and predict in one job, each after the other.

    Args:
        args: more flags of train, after --
        config: config file (protobuf text or JSON)
        export_dir: where the bundle goes; must not exist, and all nodes must see it
        stages: which of train, eval, export and predict, separated by commas
        predict_input_path: data to score; without it there is no predict
        predict_output_path: directory for the scores
        train_input_path: training data instead of what the config names
        eval_input_path: evaluation data instead of what the config names
        model_dir: where checkpoints go instead of where the config says
        continue_train: go on from the newest checkpoint in model_dir
        reserved_columns: input columns to copy to the scores, separated by commas; ALL_COLUMNS for all
        edit_config_json: config overrides as a JSON object of path to value
        user_module: Python file that registers operators and models of your own
        set: config overrides, K=V,K2=V2; a comma inside brackets or quotes does not separate
        j: NODESxPROCESSES, e.g. 1x4 or 2x8; export is one process of the first node
        cpu: cores per node; 0 means 2 for each process
        gpu: GPUs per node
        memMB: memory per node in MB; 0 means 4096 for each process
        h: named resource, instead of cpu, gpu and memMB
        env: environment variables, K=V,K2=V2
        mounts: type=bind,src=/host,dst=/container[,readonly], for schedulers with containers
        image: container image, for schedulers with containers
        name: name of the job (default: from the config's file name)
        max_retries: how often the scheduler restarts a failed job, which goes on with the stage that failed
        max_restarts: how often torchrun restarts failed processes without leaving the job
        debug: show tracebacks and debug logs
    """
    edits = {"edit_config_json": edit_config_json, "user_module": user_module}
    shared = {"config": config, "model_dir": model_dir, **edits}
    trained = {**shared, "train_input_path": train_input_path, "eval_input_path": eval_input_path}
    scored = {"predict_input_path": predict_input_path, "predict_output_path": predict_output_path}
    apps = [
        roles.App("tzx.apps.train", "trainer", {**trained, "continue_train": continue_train}, set, args),
        roles.App("tzx.apps.eval", "evaluator", {**shared, "eval_input_path": eval_input_path}, set),
        roles.App("tzx.apps.export", "exporter", {**shared, "export_dir": export_dir}, set),
        roles.App(
            "tzx.apps.predict", "predictor", {"bundle": export_dir, **scored, "reserved_columns": reserved_columns}
        ),
    ]
    chosen = roles.chosen_stages(apps, stages, scored)
    demand = resources.Demand(cpu, gpu, memMB, h)
    job = roles.Job(j, demand, env or {}, mounts or (), image, name, max_retries, max_restarts, debug)
    return roles.pipeline_def(chosen, ["exporter"], f"{export_dir.rstrip('/')}.stages.json", job)


@roles.user_errors
def tensorboard(
    *args: str,
    logdir: str,
    port: int = 6006,
    host: str = "localhost",
    cpu: int = 1,
    memMB: int = 2048,
    h: Optional[str] = None,
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    image: str = "",
    name: str = "",
) -> specs.AppDef:
    """Show the curves of trainings in the browser.

    Args:
        args: more flags of tensorboard, after --
        logdir: a model directory, or a folder of several
        port: where it listens
        host: for whom; localhost is this machine or pod alone, 0.0.0.0 everybody who can reach it
        cpu: cores
        memMB: memory in MB
        h: named resource, instead of cpu and memMB
        env: environment variables, K=V,K2=V2
        mounts: type=bind,src=/host,dst=/container[,readonly], for schedulers with containers
        image: container image, for schedulers with containers
        name: name of the job
    """
    argv = ["-m", "tensorboard.main", "--logdir", logdir, "--port", str(port), "--host", host, *args]
    job = roles.Job(
        demand=resources.Demand(cpu, 0, memMB, h), env=env or {}, mounts=mounts or (), image=image, name=name
    )
    return roles.tool_def("tensorboard", argv, {"http": port}, job)
