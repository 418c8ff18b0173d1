# Needs: fetched models and the prompt table. Makes: the tables of all curves, one file per table, model and shard.


rule extract:
    input:
        card=card,
        code=code("extract"),
    output:
        [table(declared) for declared in tables_of("extract")],
    log:
        log_of("extract", shard="{shard}"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("extract"),
        runtime=runtime_of("extract"),
        gpu=GPU,
    params:
        slice=lambda wildcards: canonical_json(
            slices.extract_slice(CONFIG, wildcards.model, SHARDS[wildcards.shard])
        ),
        call=lambda wildcards, threads: call(
            wildcards,
            threads,
            prompts=CONFIG["prompts"],
        ),
    shell:
        "exec python -m plateaus.run.warm extract --slice {params.slice:q} {params.call:q}"


rule interpolate:
    input:
        [table(declared) for declared in tables_of("extract")],
        card=card,
        code=code("interpolate"),
    output:
        [table(declared) for declared in tables_of("interpolate")],
    log:
        log_of("interpolate", shard="{shard}"),
    # The longest chain of jobs goes first, so that it does not run alone at the end.
    priority: 2
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("interpolate"),
        runtime=runtime_of("interpolate"),
        gpu=GPU,
    params:
        slice=lambda wildcards: canonical_json(
            slices.stage_slice(CONFIG, "interpolate", wildcards.model)
        ),
        call=lambda wildcards, threads: call(wildcards, threads),
    shell:
        "exec python -m plateaus.run.warm interpolate --slice {params.slice:q} {params.call:q}"
