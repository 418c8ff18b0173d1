# Needs: the models of the config. Makes: resources/models/<model>-<hash>/ with a card, shared by all runs.


rule fetch:
    input:
        files=fetch_files,
        code=code("fetch"),
    output:
        MODELS_FOLDER / "{model}-{key}" / "card.json",
    log:
        log_of("fetch", shard="{key}"),
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        mem_mb=memory_of("fetch"),
        runtime=runtime_of("fetch"),
    params:
        slice=lambda wildcards: canonical_json(
            slices.fetch_slice(CONFIG, wildcards.model)
        ),
        call=lambda wildcards, threads: call(
            wildcards, threads, **like_folder(wildcards.model)
        ),
    shell:
        "exec python -m plateaus.run.warm fetch --slice {params.slice:q} {params.call:q}"
