#!/bin/sh
# What Spark runs on a node to learn its GPUs, when a job asks for some.
nvidia-smi --query-gpu=index --format=csv,noheader |
    awk '{ all = all sep "\"" $1 "\""; sep = ", " } END { print "{\"name\": \"gpu\", \"addresses\": [" all "]}" }'
