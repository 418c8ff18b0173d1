# Needs: the endpoints and the trace of every pair. Makes: freezing ablations, Jacobian norms and gains, spline codes.


rule freeze:
    input:
        [table(declared) for declared in tables_of("extract")],
        table(tables.INTERPOLATE),
        card=card,
        code=code("freeze"),
    output:
        [table(declared) for declared in tables_of("freeze")],
    log:
        log_of("freeze", shard="{shard}"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("freeze"),
        runtime=runtime_of("freeze"),
        gpu=GPU,
    params:
        slice=lambda wildcards: canonical_json(
            slices.stage_slice(CONFIG, "freeze", wildcards.model)
        ),
        call=lambda wildcards, threads: call(wildcards, threads),
    shell:
        "exec python -m plateaus.run.warm freeze --slice {params.slice:q} {params.call:q}"


rule jacobian:
    input:
        [table(declared) for declared in tables_of("extract")],
        [table(declared) for declared in tables_of("interpolate")],
        card=card,
        code=code("jacobian"),
    output:
        [table(declared) for declared in tables_of("jacobian")],
    log:
        log_of("jacobian", shard="{shard}"),
    priority: 1  # see interpolate
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("jacobian"),
        runtime=runtime_of("jacobian"),
        gpu=GPU,
    params:
        slice=lambda wildcards: canonical_json(
            slices.stage_slice(CONFIG, "jacobian", wildcards.model)
        ),
        call=lambda wildcards, threads: call(wildcards, threads),
    shell:
        "exec python -m plateaus.run.warm jacobian --slice {params.slice:q} {params.call:q}"


rule spline:
    input:
        [table(declared) for declared in tables_of("extract")],
        [table(declared) for declared in tables_of("interpolate")],
        card=card,
        code=code("spline"),
    output:
        [table(declared) for declared in tables_of("spline")],
    log:
        log_of("spline", shard="{shard}"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("spline"),
        runtime=runtime_of("spline"),
        gpu=GPU,
    params:
        slice=lambda wildcards: canonical_json(
            slices.stage_slice(CONFIG, "spline", wildcards.model)
        ),
        call=lambda wildcards, threads: call(wildcards, threads),
    shell:
        "exec python -m plateaus.run.warm spline --slice {params.slice:q} {params.call:q}"
