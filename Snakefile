# The full DAG: fetch -> extract -> interpolate -> (freeze, jacobian, spline) -> sharpness -> claims -> figures ->
# report; beside it extract -> map -> figures; and, if the config asks for it, extract -> robustness -> figures.
#
#   snakemake --cores 8                                   the default, on the embedded model
#   snakemake --cores 8 --configfile config/mine.yaml     another config (see config/README.md)
#   snakemake --workflow-profile profiles/slurm           on a SLURM cluster (see docs/cluster.md)


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/curves.smk"
include: "workflow/rules/mechanism.smk"
include: "workflow/rules/map.smk"
include: "workflow/rules/robustness.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/report.smk"


# On a cluster, models are fetched where Snakemake runs, which is where there is a network.
localrules:
    all,
    fetch,


rule all:
    default_target: True
    input:
        RESULTS / "report" / "index.html",
        # The page is made from these. Snakemake makes a table that was deleted again only if it is asked for.
        every("extract", *BETWEEN),
        CLAIMS,
        table(tables.FIGURES, "all", "all"),
        sum(MAPS.values(), []),
        list(ROBUSTNESS.values()),


onstart:
    # Jobs on SLURM outlive a Snakemake that is killed; their name tells the next start that they are still there.
    slurm_name = getattr(workflow.scheduler._executor, "run_uuid", None)
    try:
        queue.check(RESULTS)
        records.check_clock(read_by_jobs())
        if slurm_name is not None:
            queue.remember(RESULTS, slurm_name)
        for folder, pattern in ((RESULTS, "**/.*.tmp"), (MODELS_FOLDER, ".*.tmp")):
            temporary.remove_left(folder, pattern)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {from_system(error)}")


onsuccess:
    if (RESULTS / "report" / "index.html").is_file():
        print(f"report: {RESULTS / 'report' / 'index.html'}", file=sys.stderr)


onerror:
    print(
        f"the run stopped: the lines that begin with 'error:' say why, and the logs are in {RESULTS / 'logs'}",
        file=sys.stderr,
    )
