# Needs: the pairs of all shards. Makes, if robustness.pairs is not 0: their strengths with one choice changed at a time.


rule robustness:
    input:
        [table(tables.ENDPOINTS, shard=shard) for shard in SHARDS],
        card=card,
        code=code("robustness"),
    output:
        table(tables.ROBUSTNESS, shard="all"),
    log:
        log_of("robustness"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("robustness"),
        runtime=runtime_of("robustness"),
        gpu=GPU,
    params:
        slice=lambda wildcards: canonical_json(
            slices.robustness_slice(CONFIG, wildcards.model, PAIRS)
        ),
        call=lambda wildcards, threads: call(
            wildcards,
            threads,
            shards=list(SHARDS),
            check=list(checked_pair(PAIRS)),
        ),
    shell:
        "exec python -m plateaus.run.warm robustness --slice {params.slice:q} {params.call:q}"
