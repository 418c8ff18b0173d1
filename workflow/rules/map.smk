# Needs: the pairs of all shards. Makes, unless map.points is 0: the planes through three prompts' activations.


rule map:
    input:
        [
            table(declared, shard=shard)
            for declared in tables_of("extract")
            for shard in SHARDS
        ],
        card=card,
        code=code("map"),
    output:
        [table(declared, shard="all") for declared in tables_of("map")],
    log:
        log_of("map"),
    priority: 1  # see interpolate
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("map"),
        runtime=runtime_of("map"),
        gpu=GPU,
    params:
        slice=lambda wildcards: canonical_json(
            slices.map_slice(CONFIG, wildcards.model, PAIRS)
        ),
        call=lambda wildcards, threads: call(
            wildcards,
            threads,
            shards=list(SHARDS),
            check=list(checked_pair(PAIRS)),
        ),
    shell:
        "exec python -m plateaus.run.warm map --slice {params.slice:q} {params.call:q}"
