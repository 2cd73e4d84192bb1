"""Named resources (`-h tzx_a10_1`): what a job can ask of a machine, and what that machine is called at each cloud.

A machine keeps one core and a tenth of its memory for itself; the rest is the job's.
"""

from torchx import specs

# Keys of Resource.capabilities, which schedulers look up.
AWS, ALIYUN, GCP = "aws.instance_type", "aliyun.instance_type", "gcp.machine_type"


def tzx_cpu_4() -> specs.Resource:
    """4 cores, 16 GB."""
    return _machine(4, 16, aws="m6i.xlarge", aliyun="ecs.g7.xlarge", gcp="n2-standard-4")


def tzx_cpu_8() -> specs.Resource:
    """8 cores, 32 GB."""
    return _machine(8, 32, aws="m6i.2xlarge", aliyun="ecs.g7.2xlarge", gcp="n2-standard-8")


def tzx_cpu_16() -> specs.Resource:
    """16 cores, 64 GB."""
    return _machine(16, 64, aws="m6i.4xlarge", aliyun="ecs.g7.4xlarge", gcp="n2-standard-16")


def tzx_cpu_32() -> specs.Resource:
    """32 cores, 128 GB."""
    return _machine(32, 128, aws="m6i.8xlarge", aliyun="ecs.g7.8xlarge", gcp="n2-standard-32")


def tzx_t4_1() -> specs.Resource:
    """One T4 (16 GB), 4 cores, 15 GB."""
    return _machine(4, 15, 1, aws="g4dn.xlarge", aliyun="ecs.gn6i-c4g1.xlarge")


def tzx_a10_1() -> specs.Resource:
    """One A10 (24 GB), 8 cores, 30 GB."""
    return _machine(8, 30, 1, aws="g5.2xlarge", aliyun="ecs.gn7i-c8g1.2xlarge")


def tzx_a10_4() -> specs.Resource:
    """Four A10, 48 cores, 192 GB."""
    return _machine(48, 192, 4, aws="g5.12xlarge", aliyun="ecs.gn7i-c32g1.32xlarge")


def tzx_l4_1() -> specs.Resource:
    """One L4 (24 GB), 8 cores, 32 GB."""
    return _machine(8, 32, 1, aws="g6.2xlarge", gcp="g2-standard-8")


def tzx_v100_1() -> specs.Resource:
    """One V100 (16 GB), 8 cores, 32 GB."""
    return _machine(8, 32, 1, aws="p3.2xlarge", aliyun="ecs.gn6v-c8g1.2xlarge")


def tzx_v100_8() -> specs.Resource:
    """Eight V100, 64 cores, 256 GB."""
    return _machine(64, 256, 8, aws="p3.16xlarge", aliyun="ecs.gn6v-c8g1.16xlarge")


def tzx_a100_8() -> specs.Resource:
    """Eight A100 (40 GB), 96 cores, 680 GB."""
    return _machine(96, 680, 8, aws="p4d.24xlarge", aliyun="ecs.gn7-c13g1.26xlarge", gcp="a2-highgpu-8g")


def tzx_h100_8() -> specs.Resource:
    """Eight H100 (80 GB), 192 cores, 1,872 GB."""
    return _machine(192, 1872, 8, aws="p5.48xlarge", gcp="a3-highgpu-8g")


def _machine(cores: int, gigabytes: int, gpus: int = 0, **names: str) -> specs.Resource:
    keys = {"aws": AWS, "aliyun": ALIYUN, "gcp": GCP}
    return specs.Resource(
        cpu=cores - 1,
        gpu=gpus,
        memMB=gigabytes * 1024 * 9 // 10,
        capabilities={keys[cloud]: name for cloud, name in names.items()},
    )
