# Needs: the tables of earlier stages. Makes, without a model: the sharpness of every curve, and the claims' verdicts.


rule sharpness:
    input:
        table(tables.INTERPOLATE),
        table(tables.FREEZE),
        code=code("sharpness"),
    output:
        [table(declared) for declared in tables_of("sharpness")],
    log:
        log_of("sharpness", shard="{shard}"),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory_of("sharpness"),
        runtime=runtime_of("sharpness"),
    params:
        slice=lambda wildcards: canonical_json(
            slices.stage_slice(CONFIG, "sharpness", wildcards.model)
        ),
        call=lambda wildcards, threads: call(wildcards, threads),
    shell:
        "exec python -m plateaus.stages.sharpness --slice {params.slice:q} {params.call:q}"


rule claims:
    input:
        every("extract", *BETWEEN),
        code=code("claims"),
        own=OWN_CLAIMS,
    output:
        CLAIMS,
        page=RESULTS / "claims.md",
        data=report(
            RESULTS / "claims.json",
            caption="../report/claims.rst",
            category="Claims",
        ),
    log:
        log_of("claims", "all"),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory_of("claims"),
        runtime=runtime_of("claims"),
    params:
        slice=canonical_json(slices.claims_slice(CONFIG, SHARDS)),
        call=lambda wildcards, threads: call(wildcards, threads),
    shell:
        "exec python -m plateaus.stages.claims --slice {params.slice:q} {params.call:q}"
