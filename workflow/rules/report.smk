# Needs: all tables. Makes: the figures, the report page and provenance.json.


rule figures:
    input:
        every("extract", *BETWEEN),
        CLAIMS,
        sum(MAPS.values(), []),
        list(ROBUSTNESS.values()),
        cards=[model_folder(model) / "card.json" for model in CONFIG["models"]],
        code=code("figures"),
    output:
        table(tables.FIGURES, "all", "all"),
        folder=report(
            directory(RESULTS / "figures"),
            patterns=["{figure}.svg"],
            caption="../report/figures.rst",
            category="Figures",
            subcategory=lambda wildcards: wildcards.figure.rpartition("/")[0]
            or "all models",
            labels=lambda wildcards: {"figure": wildcards.figure.rpartition("/")[2]},
        ),
    log:
        log_of("figures", "all"),
    conda:
        "../../environment.yml"
    threads: DRAWING_THREADS
    resources:
        mem_mb=memory_of("figures"),
        runtime=runtime_of("figures"),
    params:
        slice=canonical_json(slices.figures_slice(CONFIG, PAIRS, SHARDS)),
        call=lambda wildcards, threads: call(
            wildcards, threads, model_folders=model_folders()
        ),
    shell:
        "exec python -m plateaus.stages.figures --slice {params.slice:q} {params.call:q}"


rule report:
    input:
        every("extract", *BETWEEN),
        CLAIMS,
        sum(MAPS.values(), []),
        list(ROBUSTNESS.values()),
        figures=table(tables.FIGURES, "all", "all"),
        cards=[model_folder(model) / "card.json" for model in CONFIG["models"]],
        source=sorted(
            path
            for path in REPOSITORY.path("report").rglob("*")
            if path.is_file()
            and path.name[0] != "."
            and path.name not in ("bench.qmd", "compare.qmd")
        ),
        code=code("report"),
    output:
        page=report(
            RESULTS / "report" / "index.html",
            caption="../report/page.rst",
            category="Page",
        ),
        provenance=RESULTS / "provenance.json",
    log:
        log_of("report", "all"),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory_of("report"),
        runtime=runtime_of("report"),
    params:
        slice=canonical_json(slices.report_slice(CONFIG, PAIRS, SHARDS)),
        call=lambda wildcards, threads: call(
            wildcards,
            threads,
            source=str(REPOSITORY.path("report")),
            model_folders=model_folders(),
        ),
    shell:
        "exec python -m plateaus.stages.report --slice {params.slice:q} {params.call:q}"
