# Needs: the tables of curves. Makes: how sharp every curve is, without a model.


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
        mem_mb=2000,
    params:
        slice=lambda wildcards: canonical_json(
            slices.stage_slice(CONFIG, "sharpness", wildcards.model)
        ),
        call=lambda wildcards, threads: call(wildcards, threads),
    shell:
        "exec python -m plateaus.stages.sharpness --slice {params.slice:q} {params.call:q}"
